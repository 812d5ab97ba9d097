//! The three columns of a file of identities.

pub use super::super::csv::Fault;
use super::super::csv::records;

/// A line of the file, by the number of the line where it begins.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    pub line: usize,
    pub kind: String,
    pub identifier: String,
    pub subject_id: String,
}

const HEADER: [&str; 3] = ["kind", "identifier", "subject_id"];

/// All rows but the header.
pub fn rows(text: &str) -> Result<Vec<Row>, Fault> {
    let mut records = records(text)?.into_iter();
    let header = records.next().map(|(_, fields)| fields);
    if header.is_none_or(|fields| fields != HEADER) {
        let what = "the first line must be kind,identifier,subject_id";
        return Err(Fault { line: 1, what });
    }
    let row = |(line, fields): (usize, Vec<String>)| {
        let [kind, identifier, subject_id] = <[String; 3]>::try_from(fields)
            .map_err(|_| Fault { line, what: "a line has three fields" })?;
        Ok(Row { line, kind, identifier, subject_id })
    };
    records.map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_may_be_quoted_and_lines_may_end_either_way() {
        let text = "\u{feff}kind,identifier,subject_id\r\nemail,a@b.c,kim\r\n\r\n\
                    loyalty,\"a,\"\"b\"\"\nc\",\"lee\"\nemail,x,y";
        let rows = rows(text).unwrap_or_else(|fault| panic!("{fault:?}"));
        let found: Vec<(usize, &str, &str, &str)> = rows
            .iter()
            .map(|it| (it.line, it.kind.as_str(), it.identifier.as_str(), it.subject_id.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                (2, "email", "a@b.c", "kim"),
                (4, "loyalty", "a,\"b\"\nc", "lee"),
                (6, "email", "x", "y")
            ]
        );
    }

    #[test]
    fn a_fault_names_its_line_and_nothing_that_stands_there() {
        let fault = |text: &str| rows(text).err().map(|fault| fault.line);
        let header = "kind,identifier,subject_id\n";
        assert_eq!(fault(""), Some(1));
        assert_eq!(fault("email,a,b\n"), Some(1));
        assert_eq!(fault(&format!("{header}a,b\n")), Some(2));
        assert_eq!(fault(&format!("{header}a,b,c\na,b,c,d\n")), Some(3));
        assert_eq!(fault(&format!("{header}a,\"b,c\n")), Some(2));
        assert_eq!(fault(&format!("{header}a,\"b\"x,c\n")), Some(2));
        assert_eq!(fault(header), None);
    }
}

//! Three columns of a CSV file (RFC 4180): fields may be quoted, and a quoted one may have commas, quotes and
//! line ends.

/// A line of the file, by the number of the line where it begins.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    pub line: usize,
    pub kind: String,
    pub identifier: String,
    pub subject_id: String,
}

/// What is wrong, and where; nothing of what stands there.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    pub line: usize,
    pub what: &'static str,
}

const HEADER: [&str; 3] = ["kind", "identifier", "subject_id"];

/// All rows but the header.
pub fn rows(text: &str) -> Result<Vec<Row>, Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
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

/// Fields by record; empty lines are none.
fn records(text: &str) -> Result<Vec<(usize, Vec<String>)>, Fault> {
    let mut records = Vec::new();
    let (mut fields, mut field): (Vec<String>, String) = (Vec::new(), String::new());
    let (mut line, mut began, mut was_quoted) = (1, 1, false);
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '"' if field.is_empty() && !was_quoted => {
                was_quoted = true;
                loop {
                    match rest.next() {
                        None => return Err(Fault { line: began, what: "a quote is not closed" }),
                        Some('"') if rest.next_if_eq(&'"').is_some() => field.push('"'),
                        Some('"') => break,
                        Some(other) => {
                            line += usize::from(other == '\n');
                            field.push(other);
                        }
                    }
                }
            }
            ',' => {
                fields.push(std::mem::take(&mut field));
                was_quoted = false;
            }
            '\n' => {
                let is_blank = fields.is_empty() && field.is_empty() && !was_quoted;
                fields.push(std::mem::take(&mut field));
                let whole = std::mem::take(&mut fields);
                if !is_blank {
                    records.push((began, whole));
                }
                line += 1;
                (began, was_quoted) = (line, false);
            }
            '\r' if rest.peek() == Some(&'\n') => {}
            _ if was_quoted => {
                return Err(Fault { line, what: "something follows a closing quote" });
            }
            other => field.push(other),
        }
    }
    if !fields.is_empty() || !field.is_empty() || was_quoted {
        fields.push(field);
        records.push((began, fields));
    }
    Ok(records)
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

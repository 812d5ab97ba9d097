//! Lines of a CSV file (RFC 4180): fields may be quoted, and a quoted one may have commas, quotes and line ends.

/// What is wrong, and where; nothing of what stands there.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    pub line: usize,
    pub what: &'static str,
}

/// The fields of each line, and the number of the line where they begin; empty lines are none.
pub fn records(text: &str) -> Result<Vec<(usize, Vec<String>)>, Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
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

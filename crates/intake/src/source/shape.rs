//! Reads JSON of a stranger's: bounded in depth before anything is built of it, its first fault named by field.
//! Its size is bounded by whoever received it.

use serde::de::DeserializeOwned;

use super::reading::Refused;
use assent_contract::domain::foreign_text::shown;

/// The documented bodies have at most 8 levels.
const DEPTH_MAX: usize = 32;

/// The value, or what is wrong with the bytes.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    if is_deeper(bytes, DEPTH_MAX) {
        return Err(Refused::field("", format!("is nested deeper than {DEPTH_MAX} levels")));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { String::new() } else { path };
        let inner = error.into_inner();
        if !inner.is_data() {
            return Refused::Malformed;
        }
        let said = without_place(&inner);
        let name = said.strip_prefix("duplicate field `").and_then(|rest| rest.strip_suffix('`'));
        let field = match name {
            Some(name) if path.is_empty() => name.to_owned(),
            Some(name) => format!("{path}.{name}"),
            None => path,
        };
        Refused::field(&field, said)
    })?;
    json.end().map_err(|_| Refused::Malformed)?;
    Ok(value)
}

/// Are there more open brackets than that at any place? Those in strings don't count.
fn is_deeper(bytes: &[u8], most: usize) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                depth += 1;
                if depth > most {
                    return true;
                }
            }
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    shown(text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_of_strings() {
        assert!(!is_deeper(br#"[["[[[[", "\"[["]]"#, 2));
        assert!(is_deeper(b"[[[", 2));
        assert!(!is_deeper(b"[[],[],[]]", 2));
        assert!(is_deeper(&b"[".repeat(1 << 20), DEPTH_MAX));
    }
}

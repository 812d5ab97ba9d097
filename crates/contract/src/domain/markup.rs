//! Text that came from outside, so that no character of it is markup.

/// Every character that could be markup has a backslash before it; a control character becomes a space.
pub fn markdown(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    let mut before = None;
    let mut characters = words.chars().peekable();
    while let Some(character) = characters.next() {
        let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        match character {
            c if c.is_control() => out.push(' '),
            // Within a word it is no emphasis.
            '_' if is_word(before) && is_word(characters.peek().copied()) => out.push('_'),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '~' | '&' | '!' => {
                out.push('\\');
                out.push(character);
            }
            // At the start it would begin a list.
            '-' | '+' | '=' if before.is_none() => {
                out.push('\\');
                out.push(character);
            }
            _ => out.push(character),
        }
        before = Some(character);
    }
    out
}

/// For a text and for an attribute in quotes. A page holds no control character: it becomes a space.
pub fn html(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for character in words.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            character if character.is_control() => out.push(' '),
            character => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_text_stays_text() {
        for (words, expected) in [
            ("a_b and _c_", "a_b and \\_c\\_"),
            ("<script>|`x`", "\\<script\\>\\|\\`x\\`"),
            ("- no list\nno line", "\\- no list no line"),
            ("[a](b) &lt; #1 **", "\\[a\\](b) \\&lt; \\#1 \\*\\*"),
        ] {
            assert_eq!(markdown(words), expected);
        }
        assert_eq!(
            html("<img src=x onerror='a' b=\"c\">&amp;\u{0}"),
            "&lt;img src=x onerror=&#39;a&#39; b=&quot;c&quot;&gt;&amp;amp; "
        );
    }
}

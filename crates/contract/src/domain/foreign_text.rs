//! Text that comes from outside (a schema's name, a key, a header, another program's message), made
//! fit to be shown: in a message, a dead letter, a log line or on a terminal.
//!
//! At most [`CHARACTERS_MAX`] characters, and none that moves a cursor, starts a line, turns the
//! direction of text or can't be seen: those are escaped as Rust writes them (`\n`, `\u{1b}`), a
//! backslash as two, so that nobody can forge an escape. A byte that is no UTF-8 is `\xNN`.

/// Most characters that are shown of one foreign text
/// (docs/contract/bad-input.md#sizes-and-foreign-text).
pub const CHARACTERS_MAX: usize = 200;

/// Stands where text was left out.
const CUT: char = '…';

/// Looks at no more of the text than is shown.
pub fn shown(text: &str) -> String {
    shown_bytes(text.as_bytes())
}

/// The same without the bound, for what is bounded by itself, such as an id that its owner asks for.
pub fn whole(text: &str) -> String {
    text.chars().map(|character| Piece::Character(character).shown()).collect()
}

/// The same for bytes that are meant to be text, such as a record's key.
pub fn shown_bytes(bytes: &[u8]) -> String {
    let mut line = Line::default();
    for chunk in bytes.utf8_chunks() {
        let text = chunk.valid().chars().map(Piece::Character);
        let rest = chunk.invalid().iter().copied().map(Piece::Byte);
        for piece in text.chain(rest) {
            if !line.takes(&piece.shown()) {
                return line.cut();
            }
        }
    }
    line.text
}

enum Piece {
    Character(char),
    Byte(u8),
}

impl Piece {
    fn shown(self) -> String {
        match self {
            Self::Character(quote @ ('"' | '\'')) => quote.to_string(),
            Self::Character(character) => character.escape_debug().to_string(),
            Self::Byte(byte) => format!("\\x{byte:02x}"),
        }
    }
}

#[derive(Default)]
struct Line {
    text: String,
    characters: usize,
    /// Where the text ends that leaves room for [`CUT`].
    end: usize,
}

impl Line {
    /// Appends a piece where it fits whole.
    fn takes(&mut self, piece: &str) -> bool {
        self.characters += piece.chars().count();
        if self.characters > CHARACTERS_MAX {
            return false;
        }
        self.text.push_str(piece);
        if self.characters < CHARACTERS_MAX {
            self.end = self.text.len();
        }
        true
    }

    fn cut(mut self) -> String {
        self.text.truncate(self.end);
        self.text.push(CUT);
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &str) {
        assert_eq!(shown(text), expect);
    }

    #[test]
    fn plain_text_of_any_script_stays_as_it_is() {
        for plain in ["", "com.shop.Click", "it's \"quoted\"", "Grüße 🧸 שלום 東京", "ÿ"]
        {
            check(plain, plain);
        }
    }

    #[test]
    fn what_moves_a_terminal_is_escaped() {
        check("a\u{1b}[2J\rb\n\t\0\u{7f}", "a\\u{1b}[2J\\rb\\n\\t\\0\\u{7f}");
        check("\u{9b}31m", "\\u{9b}31m");
        check("txt.\u{202e}gpj", "txt.\\u{202e}gpj");
        check("a\u{2028}b\u{200b}c\u{2066}\u{feff}", "a\\u{2028}b\\u{200b}c\\u{2066}\\u{feff}");
        check("\\u{1b}", "\\\\u{1b}");
    }

    #[test]
    fn no_character_that_is_shown_is_a_control_or_a_turn_of_direction() {
        let turns = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202e}\u{2066}\u{2069}";
        for character in ('\0'..=char::MAX).filter(|&c| c.is_control() || turns.contains(c)) {
            let shown = shown(&character.to_string());
            assert!(shown.chars().all(|c| c.is_ascii_graphic()), "{shown}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_bytes() {
        assert_eq!(shown_bytes(b"id-\xff\xfe\xc3("), "id-\\xff\\xfe\\xc3(");
        assert_eq!(shown_bytes("é".as_bytes()), "é");
    }

    #[test]
    fn a_whole_text_is_escaped_and_not_cut() {
        let long = "x".repeat(512);
        assert_eq!(whole(&format!("{long}\u{1b}\u{202e}")), format!("{long}\\u{{1b}}\\u{{202e}}"));
    }

    #[test]
    fn no_more_than_two_hundred_characters_are_shown() {
        check(&"x".repeat(200), &"x".repeat(200));
        check(&"x".repeat(201), &format!("{}…", "x".repeat(199)));
        check(&"é".repeat(230_000), &format!("{}…", "é".repeat(199)));
        check(&format!("{}\n", "x".repeat(198)), &format!("{}\\n", "x".repeat(198)));
        check(&format!("{}\n", "x".repeat(199)), &format!("{}…", "x".repeat(199)));
        check(&"\u{1b}".repeat(90), &format!("{}…", "\\u{1b}".repeat(33)));
    }
}

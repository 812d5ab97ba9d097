//! What a checkpoint says: which log it is of, how many entries it has, and the root of their tree
//! (C2SP tlog-checkpoint). It is worth something only inside a signed note.
//!
//! ```text
//! shop.example/audit
//! 70000
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hash::Hash;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// Entries.
    pub size: u64,
    pub root: Hash,
}

impl Checkpoint {
    /// Three lines.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// Lines beyond the third are extensions, which say nothing to us. `None`: this is no checkpoint.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let checkpoint = Self {
            origin: origin.to_owned(),
            size: size.parse().ok().filter(|it: &u64| it.to_string() == size)?,
            root: STANDARD.decode(root).ok()?.try_into().ok()?,
        };
        let is_one = !origin.is_empty() && lines.all(|line| !line.is_empty());
        is_one.then_some(checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_lines_and_whatever_follows_them() {
        let checkpoint = Checkpoint { origin: "shop.example/audit".into(), size: 7, root: [1; 32] };
        let text = checkpoint.text();
        assert_eq!(text, "shop.example/audit\n7\nAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n");
        assert_eq!(Checkpoint::parse(&text).as_ref(), Some(&checkpoint));
        assert_eq!(Checkpoint::parse(&format!("{text}more\n")), Some(checkpoint));
        for wrong in [
            "",
            "\n",
            "a\n7\n",
            text.trim_end(),
            &text.replace("\n7\n", "\n07\n"),
            &text.replace("\n7\n", "\n-7\n"),
            &text.replace("shop.example/audit", ""),
            &text.replace("AQE=", "AQ=="),
            &format!("{text}\n"),
        ] {
            assert_eq!(Checkpoint::parse(wrong), None, "{wrong:?}");
        }
    }
}

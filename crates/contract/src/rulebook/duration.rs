//! Durations as a rulebook writes them: a whole number and one of s, m, h, d.

use crate::domain::time::Span;

/// 50 years: no click counts that is older, so every one that counts lies after 1970.
const DAYS_MAX: i64 = 18_262;

/// `None`: not a duration, zero, or longer than 50 years.
pub(super) fn parse(text: &str) -> Option<Span> {
    let unit = match text.bytes().next_back()? {
        b's' => Span::SECOND,
        b'm' => Span::MINUTE,
        b'h' => Span::HOUR,
        b'd' => Span::DAY,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let span = digits.parse::<i64>().ok()?.checked_mul(unit.0)?;
    (1..=DAYS_MAX * Span::DAY.0).contains(&span).then_some(Span(span))
}

/// The shortest way to write it: `7d`, `36h`, `90s`.
pub(super) fn render(span: Span) -> String {
    let units = [(Span::DAY, 'd'), (Span::HOUR, 'h'), (Span::MINUTE, 'm')];
    match units.into_iter().find(|(unit, _)| span.0 % unit.0 == 0) {
        Some((unit, letter)) => format!("{}{letter}", span.0 / unit.0),
        None => format!("{}s", span.0 / Span::SECOND.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_numbers_of_one_unit() {
        for (text, millis) in
            [("90s", 90_000), ("30m", 1_800_000), ("48h", 172_800_000), ("7d", 604_800_000)]
        {
            assert_eq!(parse(text), Some(Span(millis)), "{text}");
        }
        for text in [
            "",
            "d",
            "7",
            "0d",
            "-1d",
            "+1d",
            "1.5h",
            "7 d",
            "7w",
            "1h30m",
            "18263d",
            "99999999999999999999d",
            "9223372036854775807d",
            "é",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_rendered_as_a_person_writes_them() {
        for text in ["7d", "36h", "90m", "90s", "1s", "18262d"] {
            assert_eq!(parse(text).map(render).as_deref(), Some(text));
        }
    }
}

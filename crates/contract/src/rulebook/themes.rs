//! What no id or title may name: an exact age, a birth date, a sensitive theme.
//!
//! Words, not meanings: it stops the honest mistake, and a person still reads the rulebook.

/// Sensitive personal information of Civ. Code 1798.140(ae), as words a shop might use. `*` ends a
/// stem; several words are a phrase.
const SENSITIVE: [(&str, &str); 10] = [
    (
        "pregnancy",
        "pregnan*, expecting*, expectant*, maternity, prenatal, postpartum, fertil*, infertil*, ivf, \
         trimester*, childbirth*, due \
         date, mom to be, mum to be, mother to be, mothers to be, parents to be, \
         miscarriage*, abortion*",
    ),
    (
        "health",
        "health*, diagnos*, disease*, illness*, disab*, disorder*, diabet*, \
         cancer, asthma*, allerg*, adhd, autis*, epilep*, depressi*, anxiety, obes*, hiv, \
         syndrome*, symptom*, medical*, medicine*, medicat*, patient, patients, therap*, \
         prescription*, mental, special needs, vaccin*, hospital*, wheelchair*",
    ),
    (
        "religion",
        "religio*, christian*, catholic*, protestant*, muslim*, islam*, jewish, judaism, \
         hindu*, buddhis*, sikh*, mormon*, atheis*, church*, mosque*, synagogue*, \
         belief*, faith*, kosher, halal",
    ),
    (
        "race or ethnic origin",
        "race, races, racial*, ethnic*, hispanic*, latino*, latina*, latinx, caucasian*, \
         african american*, asian american*, native american*, skin color*",
    ),
    (
        "sex life or sexual orientation",
        "sex, sexual*, sexuality, gay, lesbian*, bisexual*, homosexual*, heterosexual*, \
         transgender*, queer, lgbt*, lgb, lgbtq",
    ),
    ("union membership", "union*"),
    (
        "citizenship or immigration status",
        "immigra*, migrant*, citizen*, nationalit*, national origin*, refugee*, asylum, undocumented, green card*, visa \
         status",
    ),
    (
        "precise geolocation",
        "geolocat*, geofenc*, precise geo*, location history, precise location*, exact location*, gps, latitude, longitude, \
         home address*",
    ),
    (
        "genetic, biometric or neural data",
        "genetic*, genom*, dna, biometric*, fingerprint*, faceprint*, voiceprint*, face \
         recognition, facial recognition, neural",
    ),
    (
        "government ids, financial accounts or private messages",
        "ssn, social security, passport*, driver license*, drivers license*, driver s \
         license*, state id, financial account*, bank account*, account number*, account \
         balance*, credit card*, debit card*, card number*, credit score*, password*, login*, log in credential*, email \
         content*, mail content*, text message*, private message*",
    ),
];

/// Phrases of a toy shop that a theme's word is part of.
const HARMLESS: &str = "race car*, race track*, race set*, race game*, race bike*, race driver*, gps watch*, \
    union jack, healthy, credit card game*";

const NUMBERS: &str = "zero, one, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, \
    thirteen, fourteen, fifteen, sixteen, seventeen, eighteen, nineteen";

/// Words that speak of when somebody was born.
const BIRTH: &str = "birth, birthdate*, birthyear*, dob, exact age*, born in, born on, born before, \
    born after, born 19*, born 20*";

/// The sensitive theme that a text names, if any.
pub(super) fn sensitive_theme(text: &str) -> Option<&'static str> {
    let mut words = words(text);
    for phrase in listed(HARMLESS) {
        while let Some(at) = find(&words, phrase) {
            words.drain(at..at + phrase.split(' ').count());
        }
    }
    let names = |phrases| listed(phrases).any(|phrase| find(&words, phrase).is_some());
    SENSITIVE.iter().find(|(_, phrases)| names(phrases)).map(|(theme, _)| *theme)
}

/// Does a text name one exact age or a birth date? Ranges ("ages 3 to 5", "13 and up") do not.
pub(super) fn names_exact_age(text: &str) -> bool {
    let words = words(text);
    listed(BIRTH).any(|phrase| find(&words, phrase).is_some())
        || (0..words.len()).any(|at| is_exact_age(&words, at))
}

/// Is this the name of a field that would hold an age or a birth date?
pub(super) fn is_age_field(name: &str) -> bool {
    let words = words(name);
    let has = |word: &str| words.iter().any(|w| w == word);
    let birth = words.iter().any(|word| word.starts_with("birth") || word == "dob");
    birth || ((has("age") || has("ages")) && !has("band") && !has("range"))
}

/// Is the word here a number that stands alone and is said to be an age?
fn is_exact_age(words: &[String], at: usize) -> bool {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let before = if at == 0 { "" } else { word(at - 1) };
    if !is_number(word(at)) || is_of_range(words, at) {
        return false;
    }
    let unit = matches!(word(at + 1), "year" | "years" | "yr" | "yrs" | "month" | "months");
    let of_age = word(at + 2) == "of" && word(at + 3) == "age";
    matches!(word(at + 1), "yearold" | "yearolds")
        || matches!(before, "age" | "aged" | "ages" | "turning" | "turns")
        || (unit && (matches!(word(at + 2), "old" | "olds") || of_age))
        || matches!(word(at + 1), "yo" | "yos")
        || (word(at + 1) == "y" && word(at + 2) == "o")
}

/// Is the number here one end of a range: "3 to 5", "5-7", "3+", "under 13", "13 and up"?
fn is_of_range(words: &[String], at: usize) -> bool {
    let word = |at: Option<usize>| at.and_then(|at| words.get(at)).map_or("", String::as_str);
    let joins = |word: &str| matches!(word, "to" | "through" | "thru" | "and" | "or");
    let opens = |word: &str| {
        matches!(word, "plus" | "up" | "over" | "older" | "above" | "under" | "younger" | "below")
    };
    let (next, after) = (word(Some(at + 1)), word(Some(at + 2)));
    let (before, earlier) = (word(at.checked_sub(1)), word(at.checked_sub(2)));
    is_number(next)
        || opens(next)
        || (joins(next) && (is_number(after) || opens(after)))
        || is_number(before)
        || opens(before)
        || (joins(before) && is_number(earlier))
}

fn is_number(word: &str) -> bool {
    listed(NUMBERS).any(|number| number == word) || word.parse::<u8>().is_ok()
}

/// Lower case; a word is letters or digits, never both; `+` is the word "plus".
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars().flat_map(char::to_lowercase).chain([' ']) {
        let continues = word
            .chars()
            .next_back()
            .is_some_and(|last| c.is_alphanumeric() && last.is_ascii_digit() == c.is_ascii_digit());
        if !continues && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.push(c);
        } else if c == '+' {
            words.push("plus".to_owned());
        }
    }
    words
}

fn listed(phrases: &str) -> impl Iterator<Item = &str> {
    phrases.split(", ")
}

/// Where a phrase begins among the words.
fn find(words: &[String], phrase: &str) -> Option<usize> {
    let length = phrase.split(' ').count();
    words.windows(length).position(|window| {
        window.iter().zip(phrase.split(' ')).all(|(word, pattern)| {
            pattern.strip_suffix('*').map_or(word == pattern, |stem| word.starts_with(stem))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_age_is_one_number_that_is_said_to_be_an_age() {
        for text in [
            "age-7",
            "Age 7",
            "age7",
            "aged seven",
            "7-year-olds",
            "7 years old",
            "a 7yo",
            "dob-known",
            "Date of birth",
            "birthdate",
            "turning 7",
            "7 years of age",
            "18-month-old babies",
            "7yearolds",
            "born-2019",
        ] {
            assert!(names_exact_age(text), "{text}");
        }
        for text in [
            "ages 3 to 5",
            "age 3+",
            "ages 5-7",
            "5-7-year-olds",
            "ages 13 and up",
            "age under 13",
            "birthday-gifts",
            "age-band-13-to-15",
            "2-year warranty",
            "top-10",
            "product_age_range",
            "3 toys in 7 days",
            "stage 2 readers",
            "Born to play",
            "Newborn basics",
            "Age range of the toy",
            "",
        ] {
            assert!(!names_exact_age(text), "{text}");
        }
    }

    #[test]
    fn a_field_of_an_exact_age_is_known_by_its_name() {
        for name in
            ["age", "child_age", "birth_date", "birthday", "dob", "date_of_birth", "childAge"]
        {
            assert_eq!(is_age_field(name), name != "childAge", "{name}");
        }
        for name in ["product_age_range", "age_band", "page", "within", "stage"] {
            assert!(!is_age_field(name), "{name}");
        }
    }

    #[test]
    fn sensitive_themes_are_known_by_their_words() {
        for (text, theme) in [
            ("Pregnant or expecting", "pregnancy"),
            ("expecting-parents", "pregnancy"),
            ("Asthma sufferers", "health"),
            ("religious-gifts", "religion"),
            ("race-and-ethnicity", "race or ethnic origin"),
            ("sexual-orientation", "sex life or sexual orientation"),
            ("union-members", "union membership"),
            ("Citizenship", "citizenship or immigration status"),
            ("Precise location", "precise geolocation"),
            ("biometric-login", "genetic, biometric or neural data"),
            ("bank_account", "government ids, financial accounts or private messages"),
        ] {
            assert_eq!(sensitive_theme(text), Some(theme), "{text}");
        }
        for text in [
            "race-car-fans",
            "Embraced brands",
            "Grace's picks",
            "healthy-snacks",
            "unicorns",
            "toys",
            "",
        ] {
            assert_eq!(sensitive_theme(text), None, "{text}");
        }
    }
}

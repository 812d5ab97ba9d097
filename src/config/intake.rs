//! `intake`: which consent platforms may post here, and what their words mean.
//!
//! Knows no rulebook: that a purpose is one of it is asked by `assent serve`. A table (`purposes`, `statuses`,
//! `age_questions`) comes as one JSON text, since its names are a stranger's and may have dots in them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use assent_contract::domain::consent::{AgeBand, ConsentStatus};
use assent_contract::domain::foreign_text::shown;
use assent_contract::domain::ids::is_slug;
use assent_intake::source::{GuardianTerms, Mapping, Source};

use super::entries::{Entries, INTAKE_SOURCES};
use super::keys::PERMISSIONS;
use super::read::{path, value};
use super::values;
use crate::failure::{Failure, Result};

/// One platform.
#[derive(Clone, Debug)]
pub struct IntakeSource {
    pub source: Source,
    /// Holds what the platform sends as `Authorization: Bearer`.
    pub secret_file: PathBuf,
    pub mapping: Mapping,
    /// Where its own lists are; only TrustArc and OneTrust have one.
    pub api: Option<Api>,
}

#[derive(Clone, Debug)]
pub struct Api {
    /// Without its last slash.
    pub url: String,
    pub token_file: PathBuf,
    /// `None`: the system's certificates.
    pub ca_file: Option<PathBuf>,
}

pub(super) fn sources(entries: &Entries) -> Result<Vec<IntakeSource>> {
    entries.ids(INTAKE_SOURCES).into_iter().map(|id| source(entries, id)).collect()
}

fn source(entries: &Entries, id: &str) -> Result<IntakeSource> {
    let refuse = |message: String| Failure::config(format!("{INTAKE_SOURCES}{id}: {message}"));
    let key = |name: &str| format!("{INTAKE_SOURCES}{id}.{name}");
    let Some(source) = Source::of_word(id) else {
        let known: Vec<&str> = Source::ALL.map(Source::word).into();
        return Err(refuse(format!("is no source that is known; use {}", known.join(", "))));
    };
    for (name, what) in [
        ("secret_file", "a file that holds the secret which the source sends"),
        ("identifier_kind", "the kind of its identifiers in the identity map, such as email"),
    ] {
        if entries.get(&key(name)).is_none() {
            return Err(refuse(format!("{name} is not set; set it to {what}")));
        }
    }
    let api = api(entries, &key)?;
    if source == Source::TrustArc && api.is_none() {
        let message = "api.url is not set; a callback is a hint, and consents are read back from \
                       there";
        return Err(refuse(message.to_owned()));
    }
    let kind = value(entries, &key("identifier_kind"), "", kind)?;
    let mapping = Mapping::new(
        kind,
        value(entries, &key("purposes"), "{}", purposes)?,
        value(entries, &key("statuses"), "{}", statuses)?,
        value(entries, &key("age_questions"), "{}", age_questions)?,
        guardian(entries, &key)?,
    );
    let mapping = mapping.map_err(|alike| {
        let id = shown(&alike.0);
        let message = format!("`{id}` is there twice; upper and lower case are the same here");
        entries.refuse(&key("purposes"), &message)
    })?;
    Ok(IntakeSource { source, secret_file: path(entries, &key("secret_file"), "")?, mapping, api })
}

fn api(entries: &Entries, key: &dyn Fn(&str) -> String) -> Result<Option<Api>> {
    let (url, token) = (key("api.url"), key("api.token_file"));
    match (entries.get(&url).is_some(), entries.get(&token).is_some()) {
        (false, false) => Ok(None),
        (true, false) => {
            Err(entries.refuse(&url, "api.token_file is not set; set it to a file with its token"))
        }
        (false, true) => {
            Err(entries.refuse(&token, "api.url is not set; set it to the address of the API"))
        }
        (true, true) => {
            let ca = key("api.ca_file");
            let has_ca = entries.get(&ca).is_some();
            Ok(Some(Api {
                url: value(entries, &url, "", values::platform_url)?,
                token_file: path(entries, &token, "")?,
                ca_file: has_ca.then(|| path(entries, &ca, "")).transpose()?,
            }))
        }
    }
}

fn guardian(entries: &Entries, key: &dyn Fn(&str) -> String) -> Result<Option<GuardianTerms>> {
    let (method, permits) = (key("guardian.method"), key("guardian.permits"));
    match (entries.get(&method).is_some(), entries.get(&permits).is_some()) {
        (false, false) => Ok(None),
        (true, false) => Err(entries
            .refuse(&method, "guardian.permits is not set; set it to what such a consent permits")),
        (false, true) => Err(entries.refuse(
            &permits,
            "guardian.method is not set; say how the source verifies a guardian (16 CFR 312.5(b))",
        )),
        (true, true) => {
            let permits = value(entries, &permits, "", permissions)?;
            let has = |word: &str| permits.iter().any(|it| it == word);
            Ok(Some(GuardianTerms {
                method: value(entries, &method, "", values::non_empty)?,
                coppa_consent: has("coppa_consent"),
                coppa_disclosure: has("coppa_disclosure"),
                ccpa_authorization: has("ccpa_authorization"),
            }))
        }
    }
}

type Checked<T> = std::result::Result<T, String>;

fn permissions(text: &str) -> Checked<Vec<String>> {
    let check = |word: &str| {
        let is_known = PERMISSIONS.contains(&word);
        let unknown = || format!("`{word}` is not allowed; use {}", PERMISSIONS.join(", "));
        is_known.then(|| word.to_owned()).ok_or_else(unknown)
    };
    values::list(text).map(check).collect()
}

/// In lower case: an identity map that has `Email` and `email` would be two.
pub fn kind(text: &str) -> Checked<String> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c);
    let is_kind = (1..=64).contains(&text.len()) && text.chars().all(legal);
    is_kind.then(|| text.to_owned()).ok_or_else(|| {
        format!("`{}` is not a kind; use 1 to 64 of a-z, 0-9, `.`, `_` and `-`", shown(text))
    })
}

fn table<T: serde::de::DeserializeOwned>(text: &str) -> Checked<BTreeMap<String, T>> {
    serde_json::from_str(text).map_err(|_| {
        "is not a table of names and words; in a variable, write it as a JSON object".to_owned()
    })
}

fn purposes(text: &str) -> Checked<BTreeMap<String, String>> {
    let purposes: BTreeMap<String, String> = table(text)?;
    match purposes.values().find(|ours| !is_slug(ours)) {
        None => Ok(purposes),
        Some(odd) => Err(format!("`{}` is not the id of a purpose", shown(odd))),
    }
}

fn statuses(text: &str) -> Checked<BTreeMap<String, ConsentStatus>> {
    let words: BTreeMap<String, String> = table(text)?;
    let status = |(word, status): (String, String)| {
        let parsed = serde_json::from_value(status.clone().into()).map_err(|_| {
            let (word, status) = (shown(&word), shown(&status));
            format!(
                "`{word}`: `{status}` is not allowed; use GRANTED, DENIED, WITHDRAWN, NOT_ASKED"
            )
        });
        parsed.map(|status| (word, status))
    };
    words.into_iter().map(status).collect()
}

fn age_questions(text: &str) -> Checked<BTreeMap<String, BTreeMap<String, AgeBand>>> {
    let questions: BTreeMap<String, BTreeMap<String, String>> = table(text)?;
    let band = |(answer, band): (String, String)| {
        let parsed: std::result::Result<AgeBand, _> = serde_json::from_value(band.clone().into());
        match parsed {
            Ok(known) if known != AgeBand::Unknown => Ok((answer, known)),
            _ => Err(format!(
                "`{}`: `{}` is not allowed; use UNDER_13, FROM_13_TO_15, FROM_16_TO_17, FROM_18",
                shown(&answer),
                shown(&band)
            )),
        }
    };
    let answers = |(question, answers): (String, BTreeMap<String, String>)| {
        let bands: Checked<BTreeMap<String, AgeBand>> = answers.into_iter().map(band).collect();
        bands.map(|bands| (question, bands))
    };
    questions.into_iter().map(answers).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse;

    const YAML: &str = "
intake:
  sources:
    onetrust:
      secret_file: secrets/onetrust
      identifier_kind: email
      purposes: {ED2B.82E3: partner-advertising, 'Sale or sharing': offers}
      statuses: {IMPLICIT: NOT_ASKED, NO: DENIED}
      guardian: {method: payment-card, permits: [coppa_consent, ccpa_authorization]}
    zigpoll:
      secret_file: secrets/zigpoll
      identifier_kind: email
      age_questions: {child.age: {6 to 9: UNDER_13}}
    trustarc:
      secret_file: t
      identifier_kind: email
      api: {url: 'http://127.0.0.1:9/', token_file: tt}
";

    fn of(yaml: &str, variables: &[(&str, &str)]) -> Result<Vec<IntakeSource>> {
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        parse(Path::new("/etc/a.yaml"), Some(yaml), &variables.collect()).map(|it| it.intake)
    }

    #[track_caller]
    fn refused(yaml: &str, expect: &str) {
        let message = of(yaml, &[]).unwrap_err().message;
        assert!(message.contains(expect), "{message}");
    }

    #[test]
    fn a_table_has_names_of_any_form() {
        let all = of(YAML, &[]).unwrap();
        let words: Vec<&str> = all.iter().map(|it| it.source.word()).collect();
        assert_eq!(words, ["onetrust", "trustarc", "zigpoll"]);
        assert_eq!(all[0].mapping.purpose("ed2b.82e3"), Some("partner-advertising"));
        assert_eq!(all[0].secret_file, Path::new("/etc/secrets/onetrust"));
        let guardian = all[0].mapping.guardian.clone().unwrap();
        assert!(guardian.coppa_consent && !guardian.coppa_disclosure);
        assert_eq!(all[1].api.as_ref().unwrap().url, "http://127.0.0.1:9");
        let name = "ASSENT__INTAKE__SOURCES__ONETRUST__PURPOSES";
        let all = of(YAML, &[(name, r#"{"x": "offers"}"#)]).unwrap();
        assert_eq!(all[0].mapping.purpose("X"), Some("offers"));
        assert_eq!(all[0].mapping.purpose("ed2b.82e3"), None);
    }

    /// The annotated example is a configuration of the shipped rulebook.
    #[test]
    fn the_example_maps_all_sources_to_purposes_of_the_shipped_rulebook() {
        let all = of(include_str!("../../deploy/intake/assent.yaml"), &[]).unwrap();
        let words: Vec<&str> = all.iter().map(|it| it.source.word()).collect();
        assert_eq!(words, ["ketch", "onetrust", "trustarc", "zigpoll"]);
        let shipped = include_bytes!("../../rules/children-retail.yaml");
        let rulebook = assent_contract::rulebook::compile(shipped).unwrap();
        for source in &all {
            for ours in source.mapping.our_purposes() {
                assert!(rulebook.purpose_index(ours).is_some(), "{ours}");
            }
        }
        let with = |body: &str, source: Source| {
            let found = all.iter().find(|it| it.source == source).unwrap();
            source.read(body.as_bytes(), &found.mapping).unwrap_or_default()
        };
        let samples = [
            (include_str!("../../crates/intake/samples/onetrust-receipt.json"), Source::OneTrust),
            (include_str!("../../crates/intake/samples/onetrust-3010.json"), Source::OneTrust),
            (include_str!("../../crates/intake/samples/trustarc-consents.json"), Source::TrustArc),
            (include_str!("../../crates/intake/samples/zigpoll-survey.json"), Source::Zigpoll),
            (include_str!("../../crates/intake/samples/ketch-consent.json"), Source::Ketch),
        ];
        for (body, source) in samples {
            assert_eq!(with(body, source).said.len(), 1, "{}", source.word());
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_place() {
        let one = |rest: &str| {
            format!(
                "intake: {{sources: {{ketch: {{secret_file: s, identifier_kind: email{rest}}}}}}}"
            )
        };
        assert!(of(&one(""), &[]).is_ok());
        refused("intake: {sources: {didomi: {}}}", "is no source that is known; use onetrust");
        refused("intake: {sources: {ketch: {}}}", "intake.sources.ketch: secret_file is not set");
        refused(&one(", secret: s"), "a source of the intake has secret_file");
        refused(&one(", purposes: {a: A}"), "`A` is not the id of a purpose");
        refused(&one(", purposes: {a: b, A: c}"), "`a` is there twice");
        refused(&one(", purposes: [a]"), "takes none");
        refused(&one(", purposes: {a: {b: c}}"), "is not a table");
        refused(&one(", statuses: {granted: YES}"), "`granted`: `YES` is not allowed; use GRANTED");
        refused(&one(", age_questions: {q: {a: UNKNOWN}}"), "`UNKNOWN` is not allowed");
        refused(&one(", guardian: {method: card}"), "guardian.permits is not set");
        refused(&one(", guardian: {permits: [coppa_consent]}"), "guardian.method is not set");
        refused(&one(", guardian: {method: a, permits: [all]}"), "`all` is not allowed");
        refused(&one(", api: {url: 'https://a.b'}"), "api.token_file is not set");
        refused(&one(", api: {url: 'http://a.b', token_file: t}"), "unencrypted; use https");
        refused(&one("").replace(": email", ": Email"), "`Email` is not a kind");
        let trustarc = one("").replace("ketch", "trustarc");
        refused(&trustarc, "intake.sources.trustarc: api.url is not set");
    }
}

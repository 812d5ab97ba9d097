//! The gate on a page: JSON in, JSON out, for WebAssembly in a browser (`scripts/what-if` makes the page).
//!
//! ```text
//! {"rulebook": "rulebook: one\n..", "question": {"purpose": "p", "record": null, "now": 1795305600000}}
//! {"verdict":"NO_CONSENT_RECORD","allowed":false,"line":3, ..}
//! {"rulebook": "rulebook: one\n.."}
//! {"purposes":[{"id":"p","title":"P","sale_or_share":true, ..}]}
//! {"error":".."}          whatever is wrong
//! ```
//!
//! A page calls `room` with the length of its request, writes the request there, and calls `reply`, which gives the
//! answer's length; `place` says where it begins. Knows no clock, no file and no network: everything is asked.

mod exports;

use assent_contract::rulebook::{Rulebook, compile};
use assent_contract::trial::{Question, judge};
use serde::Deserialize;
use serde_json::{Value, json};

/// Of a request: a rulebook of a hundred segments has 40 KB.
pub const REQUEST_BYTES_MAX: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    /// The YAML itself.
    rulebook: String,
    /// `None`: which purposes are there?
    #[serde(default)]
    question: Option<Question>,
}

/// Answers one request.
pub fn answer(request: &[u8]) -> String {
    let answered = answered(request);
    answered.unwrap_or_else(|error| json!({ "error": error })).to_string()
}

fn answered(request: &[u8]) -> Result<Value, String> {
    let request: Request = serde_json::from_slice(request).map_err(|error| error.to_string())?;
    let rulebook = compile(request.rulebook.as_bytes()).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        format!("rulebook: {}", faults.join("\n"))
    })?;
    let Some(question) = &request.question else { return Ok(purposes(&rulebook)) };
    let answer = judge(question, &rulebook).ok_or("purpose: the rulebook does not declare it")?;
    serde_json::to_value(answer).map_err(|error| error.to_string())
}

fn purposes(rulebook: &Rulebook) -> Value {
    let purposes = rulebook.purposes.iter().map(|purpose| {
        json!({
            "id": purpose.id,
            "title": purpose.title,
            "sale_or_share": purpose.sale_or_share,
            "requires_opt_in": purpose.requires_opt_in,
            "suspended": purpose.suspended,
        })
    });
    json!({ "purposes": purposes.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULEBOOK: &str = include_str!("../../contract/src/trial/regulation.yaml");

    fn ask(request: &Value) -> Value {
        serde_json::from_str(&answer(request.to_string().as_bytes())).expect("JSON")
    }

    #[test]
    fn the_regulations_examples_are_answered_as_they_have_to_be() {
        let examples = include_str!("../../contract/src/trial/regulation.json");
        let examples: Value = serde_json::from_str(examples).expect("JSON");
        let mut asked = 0;
        for example in examples.as_array().expect("a list") {
            for ask_of in example["asks"].as_array().expect("a list") {
                let answer = ask(&json!({"rulebook": RULEBOOK, "question": ask_of["question"]}));
                assert_eq!(answer["verdict"], ask_of["verdict"], "{}: {answer}", ask_of["about"]);
                asked += 1;
            }
        }
        assert!(asked > 20, "{asked}");
    }

    #[test]
    fn a_rulebook_alone_is_answered_with_its_purposes() {
        let purposes = ask(&json!({ "rulebook": RULEBOOK }));
        assert_eq!(purposes["purposes"][1]["id"], "online-advertising");
        assert_eq!(purposes["purposes"][1]["sale_or_share"], true);
    }

    #[test]
    fn whatever_is_wrong_is_said() {
        for (request, expected) in [
            (json!({"rulebook": "rulebook: one"}), "rulebook: 1:1: "),
            (json!({"rulebook": RULEBOOK, "question": {"purpose": "x", "now": 1}}), "purpose: "),
            (json!({"rulebook": RULEBOOK, "question": {"purpose": "x"}}), "missing field `now`"),
            (json!({"rules": 1}), "unknown field `rules`"),
        ] {
            let said = ask(&request);
            let error = said["error"].as_str().unwrap_or_default();
            assert!(error.starts_with(expected), "{said}");
        }
    }
}

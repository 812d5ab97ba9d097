//! The regulation's own examples, each by the name of whom it is about: what 11 CCR 7025 says of them, asked of the
//! gate that runs. regulation.json has them in our words, and what Assent makes of them.

use serde::Deserialize;

use super::{Question, judge};
use crate::domain::outcome::Verdict;
use crate::rulebook::compile;

#[derive(Deserialize)]
struct Example {
    name: String,
    cite: String,
    asks: Vec<Asked>,
}

#[derive(Deserialize)]
struct Asked {
    about: String,
    verdict: Verdict,
    question: Question,
}

fn examples() -> Vec<Example> {
    serde_json::from_str(include_str!("regulation.json")).expect("the examples are read")
}

/// Every question of the example has the verdict that the regulation asks for.
fn check(name: &str, cite: &str) {
    let rulebook = compile(include_bytes!("regulation.yaml")).expect("it compiles");
    let examples = examples();
    let example = examples.iter().find(|it| it.name == name).expect("an example of this name");
    assert_eq!(example.cite, cite);
    assert!(!example.asks.is_empty());
    for Asked { about, verdict, question } in &example.asks {
        let answer = judge(question, &rulebook).expect("a declared purpose");
        assert_eq!(answer.verdict, *verdict, "{name}: {about}");
        assert_eq!(answer.allowed, verdict.allows(), "{name}: {about}");
    }
}

#[test]
fn caleb() {
    check("Caleb", "11 CCR 7025(c)(7)(A)");
}

#[test]
fn noelle() {
    check("Noelle", "11 CCR 7025(c)(7)(B)");
}

#[test]
fn angela() {
    check("Angela", "11 CCR 7025(c)(7)(C)");
}

#[test]
fn ramona() {
    check("Ramona", "11 CCR 7025(c)(7)(D)");
}

#[test]
fn ramona_without_her_cookies() {
    check("Ramona without her cookies", "11 CCR 7025(c)(7)(E)");
}

#[test]
fn business_q() {
    check("Business Q", "11 CCR 7025(g)(3)(A)");
}

#[test]
fn business_r() {
    check("Business R", "11 CCR 7025(g)(3)(B)");
}

/// None is there that no test above names.
#[test]
fn there_are_seven() {
    assert_eq!(examples().len(), 7);
}

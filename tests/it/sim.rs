//! `assent sim`: the same seed says the same, and a program can read what it says.

use crate::support::{Assent, Finished};

#[test]
fn a_seed_says_the_same_twice() {
    let said = |arguments: &[&str]| {
        Finished::of(Assent::command().arg("sim").args(arguments).arg("--json")).ok().json()
    };
    let (once, again) =
        (said(&["--seed", "7", "--seeds", "3"]), said(&["--seed", "7", "--seeds", "3"]));
    assert_eq!(once, again);
    assert_eq!(
        (&once["ok"], &once["seeds"], &once["broken"]),
        (&true.into(), &3.into(), &0.into())
    );
    assert!(once["inputs"].as_u64().is_some_and(|inputs| inputs > 100), "{once}");
    assert_ne!(once["trace"], said(&["--seed", "8"])["trace"]);
}

//! Any bytes of a rulebook are refused with places, or compiled, shown, and equal to themselves.
#![no_main]

use assent_contract::rulebook::compile;
use assent_contract::rulebook::diff::changes;
use assent_contract::rulebook::render::{Format, render};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match compile(bytes) {
        Err(faults) => assert!(!faults.is_empty(), "a refusal says why"),
        Ok(rulebook) => {
            let _ = render(&rulebook, Format::Markdown);
            let _ = render(&rulebook, Format::Html);
            assert!(changes(&rulebook, &rulebook).is_empty());
        }
    }
});

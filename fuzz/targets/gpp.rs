//! Any GPP string is answered, the same each time; one that is none says nothing.
#![no_main]

use assent::wire::gpp::says_opted_out;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let opted_out = says_opted_out(text);
    assert_eq!(opted_out, says_opted_out(text));
    assert!(!text.is_empty() || !opted_out);
});

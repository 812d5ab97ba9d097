//! What ketch sends, whatever bytes it is.
#![no_main]

use assent_fuzz::delivered;
use assent_intake::source::Source;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| delivered(Source::Ketch, bytes));

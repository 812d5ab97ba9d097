//! Any GPP string is answered, the same each time; one that is none says nothing, and bytes that are no
//! base64url, wherever they stand, bind.
#![no_main]

use assent_contract::domain::event::SignalSource;
use assent_contract::wire::gpp::signal;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let said = signal(None, Some(text));
    assert_eq!(said, signal(Some(false), Some(text)));
    assert!(!text.is_empty() || said.is_none());
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~.".contains(&byte);
    assert!(text.bytes().all(is_legal) || said == Some(SignalSource::GppUndecodable));
    assert_eq!(signal(Some(true), Some(text)), Some(SignalSource::Gpc));
});

//! Keys that change while the service runs (docs/contract/pseudonyms.md#rotation): the file is looked
//! at, and a new keyset taken up where it is sound.

use std::sync::Arc;

use super::shared::Shared;
use crate::config::read_keyset;
use crate::pace;
use assent_contract::domain::pseudonym::KeyRing;

/// Takes up what the file says now, if it is another sound keyset; else what was there stays.
pub fn look(shared: &Shared) {
    let keyset = match read_keyset(&shared.config.keyset) {
        Ok(keyset) => keyset,
        Err(failure) => {
            if let Some(repeated) = pace::may_say("the keyset can't be read") {
                tracing::warn!(repeated, "{failure}; the keys that were read before stay in use");
            }
            return;
        }
    };
    let setup = shared.setup();
    let purposes: Vec<String> = setup.rulebook.purposes.iter().map(|p| p.id.clone()).collect();
    let keys = KeyRing::new(&keyset, &purposes);
    if keys.is_like(&setup.keys) {
        return;
    }
    if !keys.continues(&setup.keys) {
        if let Some(repeated) = pace::may_say("the keyset does not continue the one in use") {
            tracing::error!(
                repeated,
                "{}: a key version in use is missing or has a different secret; the keys that were \
                 read before stay in use; restore the file",
                shared.config.keyset.display()
            );
        }
        return;
    }
    let (before, active) = (setup.keys.active(), keys.active());
    tracing::info!(before, active, "the keyset changed");
    shared.metrics.key_version.set(i64::from(keys.active()));
    shared.metrics.keys_at_zero(&setup.rulebook, &keys);
    shared.replace_setup(Arc::new(setup.with_keys(Arc::new(keys))));
}

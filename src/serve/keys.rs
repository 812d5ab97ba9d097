//! The keys in use, re-read while the service runs, as `assent run` does: a rotation needs no restart.

use std::sync::{Arc, PoisonError, RwLock};

use crate::config::{Config, read_keyset};
use crate::failure::Result;
use crate::pace;
use assent_contract::domain::audit::AuditToken;
use assent_contract::domain::pseudonym::{KeyHistory, KeyRing};

/// One state of the keyset.
pub struct KeysInUse {
    pub ring: KeyRing,
    history: KeyHistory,
}

impl KeysInUse {
    /// The subject in the audit and the register, under every version that can be computed.
    pub fn audit_tokens(&self, subject: &str) -> impl Iterator<Item = AuditToken> {
        self.history.audit_tokens(subject.as_bytes())
    }
}

pub struct Keys {
    purposes: Vec<String>,
    now: RwLock<Arc<KeysInUse>>,
}

impl Keys {
    /// Fails (78) where the keyset can't be read.
    pub fn read(config: &Config, purposes: Vec<String>) -> Result<Self> {
        let now = RwLock::new(Arc::new(load(config, &purposes)?));
        Ok(Self { purposes, now })
    }

    pub fn now(&self) -> Arc<KeysInUse> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes up what the file says now; what can't be used changes nothing.
    pub fn look(&self, config: &Config) {
        let (before, found) = (self.now(), load(config, &self.purposes));
        match found {
            Ok(found) if found.ring.is_like(&before.ring) => {}
            Ok(found) if found.ring.continues(&before.ring) => {
                let (before, active) = (before.ring.active(), found.ring.active());
                tracing::info!(before, active, "the keyset changed");
                *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(found);
            }
            Ok(_) => say_kept("a key version in use is missing or has a different secret"),
            Err(failure) => say_kept(&failure.message),
        }
    }
}

fn say_kept(why: &str) {
    if let Some(repeated) = pace::may_say("serve keyset") {
        tracing::warn!(repeated, "{why}; the keys that were read before stay in use");
    }
}

fn load(config: &Config, purposes: &[String]) -> Result<KeysInUse> {
    let keyset = read_keyset(&config.keyset)?;
    let (ring, history) = (KeyRing::new(&keyset, purposes), KeyHistory::new(&keyset, purposes));
    Ok(KeysInUse { ring, history })
}

//! The register of requests in memory: `privacy-requests`, read to its end and followed.
//!
//! Who asked stands in it as a token alone; the copy knows by whom opt-outs were honored, for the words that a
//! page has to show (11 CCR 7025(c)(6)).

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::follow::{self, Following, Plan, Progress, Take};
use super::keys::KeysInUse;
use crate::config::Config;
use crate::failure::Result;
use crate::kafka::events::Received;
use crate::registry::Reading;
use assent_contract::domain::audit::AuditToken;
use assent_contract::domain::request::{PrivacyRequest, RequestKind, RequestStatus};
use assent_contract::domain::time::Timestamp;
use assent_contract::wire::decode_privacy_request;
use assent_intake::{Scope, Terms};

const ASK_EVERY: Duration = Duration::from_millis(50);

#[derive(Default)]
struct Requests {
    by_id: HashMap<Box<str>, Arc<PrivacyRequest>>,
    /// The honored opt-outs of each subject.
    opt_outs: HashMap<AuditToken, Vec<Arc<PrivacyRequest>>>,
}

pub struct Register {
    requests: Arc<RwLock<Requests>>,
    following: Following,
}

impl Register {
    /// Reads in the background.
    pub fn start(config: &Arc<Config>) -> Result<Self> {
        let requests = Arc::<RwLock<Requests>>::default();
        let schemas = Reading::open(config)?.for_ever();
        let taking = Taking { requests: Arc::clone(&requests), schemas };
        let topics = vec![config.topics.privacy_requests.clone()];
        let plan = Plan { name: "register", topics, ask_every: ASK_EVERY };
        let following = follow::start(config, plan, taking)?;
        Ok(Self { requests, following })
    }

    pub fn progress(&self) -> &Progress {
        &self.following.progress
    }

    pub fn find(&self, request_id: &str) -> Option<Arc<PrivacyRequest>> {
        self.requests.read().unwrap_or_else(PoisonError::into_inner).by_id.get(request_id).cloned()
    }

    /// Since when an honored request of the subject's covers the purpose; of several the first that still
    /// counts, so that the date is the one on which it began to hold.
    pub fn opted_out_since(
        &self,
        keys: &KeysInUse,
        subject: &str,
        purpose: &Terms,
        not_before: Option<Timestamp>,
    ) -> Option<Timestamp> {
        let requests = self.requests.read().unwrap_or_else(PoisonError::into_inner);
        let all = keys.audit_tokens(subject).filter_map(|token| requests.opt_outs.get(&token));
        let covers = |request: &&Arc<PrivacyRequest>| {
            let scope = Scope::try_from(request.scope.clone());
            scope.is_ok_and(|scope| scope.covers(purpose))
                && not_before.is_none_or(|at| request.received_at >= at)
        };
        all.flatten().filter(covers).map(|request| request.received_at).min()
    }

    /// Those that have been kept long enough, a bounded number at once.
    pub fn ended(&self, now: Timestamp, most: usize) -> Vec<String> {
        let requests = self.requests.read().unwrap_or_else(PoisonError::into_inner);
        let ended = requests.by_id.values().filter(|request| request.ends_at() <= now);
        ended.map(|request| request.request_id.clone()).take(most).collect()
    }
}

struct Taking {
    requests: Arc<RwLock<Requests>>,
    schemas: Reading,
}

impl Take for Taking {
    fn record(&mut self, _: usize, record: &Received<'_>) {
        let Some(key) = record.key().and_then(|key| std::str::from_utf8(key).ok()) else { return };
        let request = record.payload().and_then(|value| {
            let read = self.schemas.read(|known| decode_privacy_request(value, known));
            read.ok().and_then(std::result::Result::ok)
        });
        let mut requests = self.requests.write().unwrap_or_else(PoisonError::into_inner);
        let before = requests.by_id.remove(key);
        if let Some(token) = before.and_then(|before| before.subject)
            && let Some(of_subject) = requests.opt_outs.get_mut(&token)
        {
            of_subject.retain(|request| request.request_id != key);
            if of_subject.is_empty() {
                requests.opt_outs.remove(&token);
            }
        }
        let Some(request) = request.filter(|request| request.request_id == key).map(Arc::new)
        else {
            return;
        };
        let is_opt_out = matches!(request.kind, RequestKind::OptOut | RequestKind::OptOutSignal);
        if let Some(token) = request.subject.filter(|_| is_opt_out)
            && request.status == RequestStatus::Honored
        {
            requests.opt_outs.entry(token).or_default().push(Arc::clone(&request));
        }
        requests.by_id.insert(key.into(), request);
    }

    fn discard(&mut self, _: usize, _: i32) {
        *self.requests.write().unwrap_or_else(PoisonError::into_inner) = Requests::default();
    }
}

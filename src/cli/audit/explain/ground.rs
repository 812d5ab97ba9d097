//! What a decision rested on, gathered: the subject's entries, their consent records, their clicks, the rulebooks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::super::super::progress;
use super::super::question::{Subject, usage};
use crate::audit::batches;
use crate::audit::index::Index;
use crate::audit::inputs::{ClickAt, ConsentAt, clicks_at, consent_of, inputs, readers};
use crate::audit::rulebooks::Rulebooks;
use crate::config::{Config, read_keyset};
use crate::failure::{Failure, Result};
use crate::kafka::admin::Admin;
use crate::kafka::scan::Ends;
use assent_contract::domain::audit::{AuditToken, Sha256Hash};
use assent_contract::domain::outcome::InputKind;
use assent_contract::domain::pseudonym::KeyHistory;
use assent_contract::domain::time::Timestamp;
use assent_inquiry::explain::Ground;
use assent_inquiry::filter::{Filter, Input};
use assent_inquiry::follow::{follow, is_candidate};
use assent_inquiry::row::Found;
use assent_inquiry::story::Story;
use assent_verify::Readers;

/// Where everything is looked up.
pub struct Sources<'a> {
    pub config: &'a Config,
    ends: &'a Ends<'a>,
    index: &'a Index,
    readers: Readers,
    pub rulebooks: Rulebooks,
    /// The topics that this user may see.
    visible: BTreeSet<String>,
}

/// A decision and what was found of its subject.
pub struct Case {
    /// The entry in question; where none is, the subject's last one.
    pub found: Found,
    /// `None`: nobody can tell whose it is.
    pub subject: Option<Subject>,
    /// The subject's entries in the chain, in its order.
    pub entries: Vec<Found>,
    pub consent: Vec<ConsentAt>,
    clicks: BTreeMap<i64, ClickAt>,
    clicks_from: i64,
    event_time: Option<Timestamp>,
    /// A click of a session alone.
    is_of_session: bool,
    /// Up to and with `found`, or all.
    until: bool,
    whole: bool,
}

impl<'a> Sources<'a> {
    pub fn open(
        config: &'a Config,
        ends: &'a Ends<'a>,
        index: &'a Index,
        rulebooks: &[PathBuf],
    ) -> Result<Self> {
        let rulebooks = Rulebooks::load(config, rulebooks)?;
        let visible = Admin::new(config)?.cluster()?.topics.into_keys().collect();
        let readers = readers(config, index.lows().len());
        Ok(Self { config, ends, index, readers, rulebooks, visible })
    }

    /// The decision on a record of an input; `None`: the audit has none.
    pub fn case_of(&mut self, record: Input) -> Result<Option<Case>> {
        let filter = Filter { record: Some(record), ..Filter::default() };
        let mut found = None;
        let bar = progress::bar(0, "records of the audit");
        for at in self.index.covering(record)? {
            let range = (at, at + 1);
            batches::entries(self.config, record.partition, range, &bar, |it| {
                if filter.matches(&it) {
                    found = Some(it); // the latest: after an accepted loss offsets are counted anew
                }
                Ok(true)
            })?;
        }
        let Some(found) = found else { return Ok(None) };
        let click = self.click(&found)?;
        let subject = self.subject_of(&found, click.as_ref())?;
        let is_of_session = click.as_ref().is_some_and(|it| it.subject_id.is_none());
        let mut case = self.case(found, subject, true)?;
        case.event_time = click.map(|it| it.occurred_at);
        case.is_of_session = is_of_session;
        Ok(Some(case))
    }

    /// What is in force now.
    pub fn case_now(&mut self, subject: &Subject, purpose: &str) -> Result<Case> {
        if !self.rulebooks.all().any(|it| it.purpose_index(purpose).is_some()) {
            return Err(usage(format!("--purpose {purpose}: the rulebook has no such purpose")));
        }
        let entries = self.index.of_subject(subject.tokens.iter().copied(), None)?;
        let Some(last) = entries.last().cloned() else {
            return Err(Failure::failed(format!(
                "topic {}: nothing was ever decided about this subject, or retention removed it",
                self.config.topics.audit
            )));
        };
        let subject = Subject::named(self.config, "--subject", &subject.id)?;
        self.case(last, Some(subject), false)
    }

    fn case(&mut self, found: Found, subject: Option<Subject>, until: bool) -> Result<Case> {
        let partition = found.partition;
        let mut entries = match &subject {
            None => Vec::new(),
            Some(of) => self.index.of_subject(of.tokens.iter().copied(), Some(partition))?,
        };
        entries.retain(|it| it.head.chain == found.head.chain);
        let consent = match &subject {
            Some(of) => self.consent(partition, of.id.as_bytes())?,
            None => Vec::new(),
        };
        let candidates: Vec<i64> =
            entries.iter().filter(|it| is_candidate(it)).filter_map(|it| it.entry.offset).collect();
        let sees_clicks = self.visible.contains(&self.config.topics.clickstream);
        let (clicks, clicks_from) = if sees_clicks {
            let clicks = clicks_at(self.config, self.ends, &self.readers, partition, &candidates)?;
            (clicks, self.ends.low(&self.config.topics.clickstream, partition)?)
        } else {
            (BTreeMap::new(), i64::MAX)
        };
        let heads = entries.iter().chain([&found]).map(|it| it.head.rulebook_sha256);
        self.know(partition, &heads.collect())?;
        let whole = self.index.holds_first(partition, &found.head.chain)?;
        Ok(Case {
            found,
            subject,
            entries,
            consent,
            clicks,
            clicks_from,
            event_time: None,
            is_of_session: false,
            until,
            whole,
        })
    }

    /// Rulebooks that are not at hand are looked for in the state, as far as this user may read it.
    fn know(&mut self, partition: i32, wanted: &BTreeSet<Sha256Hash>) -> Result<()> {
        let lacks = wanted.iter().any(|sha256| self.rulebooks.get(sha256).is_none());
        if lacks && self.visible.contains(&self.config.topics.state) {
            self.rulebooks.read_state(self.config, self.ends, partition)?;
        }
        Ok(())
    }

    fn consent(&self, partition: i32, key: &[u8]) -> Result<Vec<ConsentAt>> {
        if !self.visible.contains(&self.config.topics.consent) {
            return Ok(Vec::new());
        }
        let bar = progress::bar(0, "records of the changelog");
        let is_own = |it: &[u8]| it == key;
        let read = consent_of(self.config, self.ends, &self.readers, partition, &bar, is_own);
        bar.finish_and_clear();
        read
    }

    fn click(&self, found: &Found) -> Result<Option<ClickAt>> {
        let offset = found.entry.offset.filter(|_| found.entry.input == InputKind::Click);
        match offset {
            Some(offset) if self.visible.contains(&self.config.topics.clickstream) => {
                let at = [offset];
                let mut read =
                    clicks_at(self.config, self.ends, &self.readers, found.partition, &at)?;
                Ok(read.remove(&offset))
            }
            _ => Ok(None),
        }
    }

    /// By the click itself, else by the changelog's key that has the entry's token.
    fn subject_of(&self, found: &Found, click: Option<&ClickAt>) -> Result<Option<Subject>> {
        let named = |id: &str| Subject::named(self.config, "RECORD", id).map(Some);
        if let Some(id) = click.and_then(|it| it.subject_id.as_deref()) {
            return named(id);
        }
        match found.entry.subject {
            Some(token) => self.key_of(found.partition, token)?.map_or(Ok(None), |id| named(&id)),
            None => Ok(None),
        }
    }

    fn key_of(&self, partition: i32, token: AuditToken) -> Result<Option<String>> {
        if !self.visible.contains(&self.config.topics.consent) {
            return Ok(None);
        }
        let keys = KeyHistory::new(&read_keyset(&self.config.keyset)?, &[]);
        let mut key = None;
        let bar = progress::bar(0, "records of the changelog");
        let is_wanted = |it: &[u8]| {
            if key.is_none() && keys.audit_tokens(it).any(|of| of == token) {
                key = Some(String::from_utf8_lossy(it).into_owned());
            }
            false
        };
        consent_of(self.config, self.ends, &self.readers, partition, &bar, is_wanted)?;
        bar.finish_and_clear();
        Ok(key)
    }
}

impl Case {
    /// Up to and with the entry in question; `None`: all of them.
    pub fn until(&self) -> Option<&Found> {
        self.until.then_some(&self.found)
    }

    /// What the entry rested on.
    pub fn ground<'r>(&self, sources: &'r Sources<'_>) -> Ground<'r> {
        let of = |sha256: &Sha256Hash| sources.rulebooks.rulebook(sha256);
        let inputs = inputs(&self.consent, &self.clicks, self.clicks_from);
        let declared: BTreeSet<&str> =
            sources.rulebooks.all().flat_map(|it| &it.purposes).map(|it| it.id.as_str()).collect();
        let is_known = self.subject.is_some() || self.is_of_session;
        let mut story: Story = follow(
            declared.into_iter().chain(self.found.head.purposes.iter().map(String::as_str)),
            &self.entries,
            self.until(),
            &inputs,
            &of,
            self.whole,
        );
        story.pass(self.found.head.decided_at);
        Ground {
            story,
            rulebook: sources.rulebooks.rulebook(&self.found.head.rulebook_sha256),
            event_time: self.event_time,
            is_nobodys: !is_known,
            begins_late: !self.whole,
        }
    }
}

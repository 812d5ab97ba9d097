//! Series that stand at 0 from the start, for every label value that is known before anything happens:
//! a counter that appears with its first event has no rate, and an absent series alerts nobody.

use super::Metrics;
use crate::config::Config;
use assent_contract::domain::event::SignalSource;
use assent_contract::domain::invariants::Invariant;
use assent_contract::domain::outcome::{DeadLetterReason, Outcome, TombstoneReason, Verdict};
use assent_contract::domain::pseudonym::KeyRing;
use assent_contract::rulebook::{Purpose, Rulebook};
use assent_core::engine::stats::SubjectKind;

/// What an instance knows of its labels when it starts.
pub struct Known<'a> {
    pub config: &'a Config,
    pub rulebook: &'a Rulebook,
    pub keys: &'a KeyRing,
    /// Label `call` of assent_calls_left_behind_total.
    pub calls: &'a [&'a str],
}

/// What becomes of a click.
const CLICK_OUTCOMES: [Outcome; 3] = [Outcome::Decided, Outcome::TooLate, Outcome::DeadLettered];

/// What becomes of a consent record; besides these, a heartbeat.
const CONSENT_OUTCOMES: [Outcome; 6] = [
    Outcome::Applied,
    Outcome::Superseded,
    Outcome::Erased,
    Outcome::Forwarded,
    Outcome::Unreadable,
    Outcome::DeadLettered,
];

/// Label `outcome` of a heartbeat, which is counted and not audited.
const HEARTBEAT: &str = "heartbeat";

/// Why a consent record is a dead letter: a null value is an erasure, and its time is not an event's.
const CONSENT_REASONS: [DeadLetterReason; 5] = [
    DeadLetterReason::UnknownSchema,
    DeadLetterReason::Undecodable,
    DeadLetterReason::InvalidField,
    DeadLetterReason::WrongKey,
    DeadLetterReason::WrongPartition,
];

/// Tombstones that no verdict explains.
const OTHER_REASONS: [TombstoneReason; 4] = [
    TombstoneReason::Erasure,
    TombstoneReason::SegmentsLeft,
    TombstoneReason::RulebookChanged,
    TombstoneReason::KeyRetired,
];

/// Label `result` of assent_transactions_total.
const RESULTS: [&str; 3] = ["committed", "aborted", "unclear"];

/// Label `check` of assent_cluster_findings: what `run` looks at and may tolerate.
pub const CLUSTER_CHECKS: [&str; 6] =
    ["topic", "settings", "state", "keys_lie", "registry", "roles"];

/// Label `resource` of assent_access_refused: what no configuration key names.
pub const TRANSACTIONAL_ID: &str = "transactional_id";
pub const LOGIN: &str = "login";

/// And the keys of what does have one.
const RESOURCES: [&str; 10] = [
    "topics.clickstream",
    "topics.consent",
    "topics.segments",
    "topics.contextual",
    "topics.audit",
    "topics.state",
    "topics.dead_letters",
    "kafka.group_id",
    TRANSACTIONAL_ID,
    LOGIN,
];

/// Label `source` of a source that is not configured.
const OTHER: &str = "other";

impl Metrics {
    /// Every series whose labels are known, at 0; and what is known of the rulebook and the sources.
    pub fn stand_at_zero(&self, known: &Known<'_>) {
        self.inputs_at_zero(known.config);
        self.purposes_at_zero(known);
        self.sources_at_zero(known.config);
        for kind in SubjectKind::ALL {
            self.subjects.with_label_values(&[kind.label()]);
        }
        for check in CLUSTER_CHECKS {
            self.cluster_findings.with_label_values(&[check]);
        }
        for resource in RESOURCES {
            self.access_refused.with_label_values(&[resource]);
        }
        for call in known.calls {
            self.calls_left_behind_total.with_label_values(&[*call]);
        }
        for result in RESULTS {
            self.transactions_total.with_label_values(&[result]);
        }
        for source in SignalSource::ALL {
            self.opt_out_signals_total.with_label_values(&[source.label()]);
        }
        for invariant in Invariant::ALL {
            self.invariant_violations_total.with_label_values(&[&invariant.label()]);
        }
        let rulebook = known.rulebook;
        let labels = [rulebook.version.as_str(), &rulebook.sha256_hex()];
        self.rulebook_info.with_label_values(&labels).set(1);
    }

    fn inputs_at_zero(&self, config: &Config) {
        let topics = &config.topics;
        let (clicks, consent) = (topics.clickstream.as_str(), topics.consent.as_str());
        for topic in [clicks, consent] {
            self.records_consumed_total.with_label_values(&[topic]);
        }
        for topic in [clicks, consent, &topics.state, &topics.audit] {
            self.unreadable_batches_total.with_label_values(&[topic]);
        }
        for outcome in CLICK_OUTCOMES {
            self.outcomes_total.with_label_values(&[clicks, outcome.label()]);
        }
        for outcome in CONSENT_OUTCOMES.map(Outcome::label).into_iter().chain([HEARTBEAT]) {
            self.outcomes_total.with_label_values(&[consent, outcome]);
        }
        for reason in DeadLetterReason::ALL {
            self.dead_letters_total.with_label_values(&[clicks, reason.label()]);
        }
        for reason in CONSENT_REASONS {
            self.dead_letters_total.with_label_values(&[consent, reason.label()]);
        }
        for topic in [&topics.contextual, &topics.audit, &topics.state, &topics.dead_letters] {
            self.records_produced_total.with_label_values(&[topic.as_str()]);
        }
    }

    fn purposes_at_zero(&self, known: &Known<'_>) {
        // Whoever has no record has no live key either: it went with the erasure.
        let takes_away =
            |verdict: &Verdict| !verdict.allows() && *verdict != Verdict::NoConsentRecord;
        let withheld = Verdict::ALL.iter().copied().filter(takes_away);
        let reasons: Vec<TombstoneReason> =
            withheld.map(TombstoneReason::Withheld).chain(OTHER_REASONS).collect();
        self.keys_at_zero(known.rulebook, known.keys);
        for purpose in &known.rulebook.purposes {
            let id = purpose.id.as_str();
            if !purpose.is_canary() {
                self.people_at_zero(purpose);
            }
            for reason in &reasons {
                self.tombstones_total.with_label_values(&[id, reason.label()]);
            }
            for reader in &purpose.readers {
                let labels = [id, reader.id.as_str()];
                self.reader_lag_seconds.with_label_values(&labels);
                self.reader_oldest_unread_tombstone_seconds.with_label_values(&labels);
            }
            self.assignments_total.with_label_values(&[id]);
            let topic = known.config.topics.segments_of(id);
            self.records_produced_total.with_label_values(&[topic.as_str()]);
        }
    }

    /// Whom a purpose counts.
    fn people_at_zero(&self, purpose: &Purpose) {
        let id = purpose.id.as_str();
        for verdict in Verdict::ALL {
            self.verdicts_total.with_label_values(&[id, verdict.label()]);
        }
        for segment in purpose.segments.iter().filter(|_| purpose.shown(0).is_some()) {
            self.segment_members.with_label_values(&[id, &segment.id]);
        }
    }

    /// Also for keys that came while the service ran.
    pub fn keys_at_zero(&self, rulebook: &Rulebook, keys: &KeyRing) {
        for version in keys.live_versions().map(|version| version.to_string()) {
            for purpose in rulebook.declared().filter(|it| it.shown(0).is_some()) {
                self.live_keys.with_label_values(&[purpose.id.as_str(), version.as_str()]);
            }
        }
    }

    fn sources_at_zero(&self, config: &Config) {
        for (id, source) in &config.consent.sources {
            let labels = [id.as_str()];
            self.consent_source_last_record_timestamp_seconds.with_label_values(&labels);
            self.consent_source_silence_seconds.with_label_values(&labels);
            self.consent_source_silence_bound_seconds
                .with_label_values(&labels)
                .set(source.max_silence.as_secs_f64());
            self.consent_source_delay_seconds.with_label_values(&labels);
        }
        self.consent_source_delay_seconds.with_label_values(&[OTHER]);
    }
}

//! An audit entry with what its batch says, and the line of JSON that stands for it.

use std::sync::Arc;

use assent_contract::domain::audit::{AuditBatch, AuditEntry, Change};
use assent_contract::domain::hex::hex;
use assent_contract::domain::outcome::{InputKind, Outcome, Verdict};
use serde::Serialize;
use serde_json::{Map, Value};

/// An entry where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Of the audit topic: the input's.
    pub partition: i32,
    /// Of the batch in the audit topic.
    pub at: i64,
    /// The entry's place in its batch, from 0.
    pub place: u32,
    /// All of its batch but the entries.
    pub head: Arc<AuditBatch>,
    pub entry: AuditEntry,
}

/// As `audit query --json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    pub chain: String,
    pub sequence: i64,
    pub partition: i32,
    pub input: InputKind,
    pub offset: Option<i64>,
    /// Epoch milliseconds.
    pub decided_at: i64,
    pub outcome: Outcome,
    /// The audit token, in hex.
    pub subject: Option<String>,
    pub consent_version: Option<i64>,
    /// By purpose, sorted; empty where no verdict was asked for.
    pub verdicts: Map<String, Value>,
    pub effects: Vec<EffectRow>,
    /// The version.
    pub rulebook: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EffectRow {
    pub purpose: String,
    pub key_version: u8,
    /// `assigned` or `removed`.
    pub kind: &'static str,
    /// Of a removal.
    pub reason: Option<String>,
}

impl Found {
    /// The verdicts, each with its purpose.
    pub fn verdicts(&self) -> impl Iterator<Item = (&str, Verdict)> {
        let purposes = self.head.purposes.iter().map(String::as_str);
        purposes.zip(self.entry.verdicts.iter().copied())
    }

    /// The verdict for this purpose; `None`: none was asked for.
    pub fn verdict(&self, purpose: &str) -> Option<Verdict> {
        self.verdicts().find(|(id, _)| *id == purpose).map(|(_, verdict)| verdict)
    }

    /// The effects, each with its purpose: one that the batch does not name is a number.
    pub fn effects(&self) -> impl Iterator<Item = (String, u8, &Change)> {
        self.entry.effects.iter().map(|effect| {
            let named = self.head.purposes.get(usize::from(effect.purpose));
            let purpose = named.cloned().unwrap_or_else(|| format!("#{}", effect.purpose));
            (purpose, effect.key_version, &effect.change)
        })
    }

    pub fn row(&self) -> Row {
        let (head, entry) = (&self.head, &self.entry);
        let verdicts = self.verdicts().map(|(id, it)| (id.to_owned(), Value::from(it.symbol())));
        let effects = self.effects().map(|(purpose, key_version, change)| {
            let (kind, reason) = match change {
                Change::Assigned(_) => ("assigned", None),
                Change::Removed(reason) => ("removed", Some(reason.to_string())),
            };
            EffectRow { purpose, key_version, kind, reason }
        });
        Row {
            chain: head.chain.clone(),
            sequence: head.sequence,
            partition: self.partition,
            input: entry.input,
            offset: entry.offset,
            decided_at: head.decided_at.0,
            outcome: entry.outcome,
            subject: entry.subject.map(|token| hex(&token)),
            consent_version: entry.consent_version,
            verdicts: verdicts.collect(),
            effects: effects.collect(),
            rulebook: head.rulebook.clone(),
        }
    }
}

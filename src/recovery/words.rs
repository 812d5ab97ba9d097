//! What going on after a loss gives up, in words. Names topics, partitions and offsets, never a subject
//! (INV-6).

use crate::config::Config;
use crate::pipeline::loss_words::describe;
use assent_core::engine::loss::{InputLoss, Losses};

/// How much would be withheld or removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Withheld {
    pub subjects: usize,
    pub live_keys: usize,
}

/// What going on means for the people of this partition, and what is never known again.
pub fn gives_up(losses: &Losses, withheld: Withheld) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(loss) = losses.clicks {
        lines.push(gives_up_clicks(loss, losses, withheld));
    }
    let Withheld { subjects, live_keys } = withheld;
    let again = losses.resume.next_consent;
    if losses.state.is_some() {
        lines.push(format!(
            "the state: {live_keys} live keys that are in no other partition's state get \
             tombstones (consent_unreadable); all counters are lost; consent is read again from \
             offset {again}; opt-out signals of clicks are forgotten, so each subject counts as \
             having sent one now, until they opt in again in two steps; an erasure is forgotten if \
             the changelog no longer holds its null value, so a late record from before it would \
             count"
        ));
    } else if let Some(loss) = losses.consent {
        let doubt = match loss {
            InputLoss::Unread { .. } => {
                "erasures, and signals in records that newer ones replaced, may be gone"
            }
            _ => "the lost records may have been opt-outs",
        };
        lines.push(format!(
            "consent: {doubt}, so {subjects} subjects are \
             withheld: {live_keys} live keys get tombstones (consent_unreadable) and their \
             counters are removed. The data of a subject is used again only after a record of \
             theirs is read from offset {again} on. Opt-out signals in the lost records are gone, \
             so each subject counts as having sent one now: sale or sharing needs a new opt-in in \
             two steps. Have your consent source write every current record again, and repeat the \
             erasures of that time"
        ));
    }
    if losses.audit.is_some() {
        lines.push(
            "the audit: what these batches recorded can't be proven any more; the chain goes on from \
             what the state says, and nobody is withheld for it"
                .to_owned(),
        );
    }
    if losses.group.is_some() {
        lines.push(
            "the offsets of the group: they are set to those of the state; no record is lost"
                .to_owned(),
        );
    }
    lines
}

fn gives_up_clicks(loss: InputLoss, losses: &Losses, withheld: Withheld) -> String {
    let count = match loss {
        InputLoss::Removed { from, to } | InputLoss::Unreadable { from, to } => {
            format!("{} offsets", to - from)
        }
        _ => "an unknown number".to_owned(),
    };
    let next = losses.resume.next_click;
    let signals = if losses.doubts_consent() {
        "opt-out signals on them are lost, see below".to_owned()
    } else {
        let Withheld { subjects, live_keys } = withheld;
        format!(
            "opt-out signals on them are lost, so each subject counts as having sent one now, \
             until they opt in again in two steps: data of {subjects} subjects is no longer sold \
             or shared, and {live_keys} live keys get tombstones (opt_out_signal); other purposes \
             are not affected"
        )
    };
    format!(
        "clicks: {count} count for no segment and have no outcome; {signals}; clicks continue at \
         offset {next}"
    )
}

/// One line, for the audit and the state.
pub fn statement(config: &Config, partition: i32, losses: &Losses) -> String {
    describe(config, partition, losses).join("; ")
}

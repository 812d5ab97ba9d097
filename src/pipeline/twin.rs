//! Another process under this one's names: a copied `state_dir`. The group fences the older member of a
//! static name whenever a newer one joins, so two would take the partitions from each other for ever.
//!
//! Each joining gets an id of its own from the group. The last one is kept in `state_dir`: a member
//! under our name with that id is our own predecessor, dead by now, since we hold the lock. One with
//! another id is a copy if it stays for longer than the session of a dead one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::Clock;
use crate::failure::{Failure, Result};
use crate::kafka::probe::Probe;

/// A session is 12 s.
const DEAD_WITHIN: Duration = Duration::from_secs(16);

const ASKED_FOR: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(500);

/// A worker's place in the group, over restarts.
pub struct StaticMember {
    /// transactional.id and group.instance.id.
    name: String,
    state_dir: PathBuf,
    file: PathBuf,
    /// The id that the group gave at the last joining.
    last: Option<String>,
}

impl StaticMember {
    pub fn of_worker(state_dir: &Path, number: usize, name: String) -> Self {
        let file = state_dir.join(format!("member-{number}"));
        let last = std::fs::read_to_string(&file).ok();
        Self { name, state_dir: state_dir.to_owned(), file, last }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Notes what the group calls this member now. Where that can't be kept, the next start waits for
    /// the end of a session.
    pub fn note(&mut self, member: Option<String>) {
        let Some(member) = member.filter(|member| self.last.as_ref() != Some(member)) else {
            return;
        };
        let draft = self.file.with_extension("new");
        let written =
            std::fs::write(&draft, &member).and_then(|()| std::fs::rename(&draft, &self.file));
        if let Err(error) = written {
            tracing::debug!(file = %self.file.display(), %error, "can't store the member id");
        }
        self.last = Some(member);
    }

    /// Returns once nobody else is in the group under this name; 78 where somebody stays. Brokers that
    /// don't answer are no reason to wait: fencing holds all the same. `wanted`: false ends it.
    pub fn await_free(
        &self,
        probe: &Probe,
        group: &str,
        clock: &dyn Clock,
        mut wanted: impl FnMut() -> bool,
    ) -> Result<()> {
        let deadline = clock.instant() + DEAD_WITHIN;
        let mut told = false;
        while let Some(other) =
            probe.members(group, ASKED_FOR).ok().and_then(|members| self.other(&members))
        {
            if clock.instant() >= deadline {
                return Err(self.copied(&other));
            }
            if !wanted() {
                return Ok(());
            }
            if !told {
                tracing::info!(
                    name = self.name,
                    other,
                    "waiting until another instance with this name is gone"
                );
                told = true;
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// A member under this name that is not this worker's own last one; `members`: `id at host`.
    fn other(&self, members: &[String]) -> Option<String> {
        let beginning = format!("{}-", self.name);
        let is_ours = |member: &str| {
            self.last.as_ref().is_some_and(|last| {
                member.strip_prefix(last.as_str()).is_some_and(|rest| rest.starts_with(" at "))
            })
        };
        members.iter().find(|it| it.starts_with(&beginning) && !is_ours(it)).cloned()
    }

    fn copied(&self, other: &str) -> Failure {
        Failure::config(format!(
            "pipeline.state_dir: {} is a copy: another running instance, {other}, has the same \
             instance id, and the two would take the partitions from each other forever; set \
             another directory for this one, or remove the files instance-id and member-* from it",
            self.state_dir.display()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_predecessor_is_told_from_a_copy() {
        let folder = tempfile::tempdir().unwrap();
        let member = || StaticMember::of_worker(folder.path(), 1, "shop-0a-1".to_owned());
        let check = |member: &StaticMember, members: &[&str], expect: bool| {
            let members: Vec<String> = members.iter().map(|it| (*it).to_owned()).collect();
            assert_eq!(member.other(&members).is_some(), expect, "{members:?}");
        };
        let mut first = member();
        check(&first, &[], false);
        check(&first, &["shop-0b-1-xyz at /10.0.0.1", "shop-0a-10-xyz at /10.0.0.1"], false);
        check(&first, &["shop-0a-1-xyz at /10.0.0.1"], true);
        first.note(Some("shop-0a-1-xyz".to_owned()));
        for member in [&first, &member()] {
            check(member, &["shop-0a-1-xyz at /10.0.0.1"], false);
            check(member, &["shop-0a-1-xyzz at /10.0.0.1"], true);
            check(member, &["shop-0a-1-abc at /10.0.0.1"], true);
        }
        first.note(None);
        assert_eq!(member().last.as_deref(), Some("shop-0a-1-xyz"));
    }
}

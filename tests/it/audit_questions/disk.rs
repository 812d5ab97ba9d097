//! The index of `audit query` on a disk that is full: a small tmpfs that the command alone sees.

use std::process::Command;

use super::{ask, asked_shop, await_entries, become_assigned, recorded, started};
use crate::support::{self, Finished, LeftOut, Shop};

const SUBJECT: &str = "the-one-who-is-asked-about";
const QUERY: [&str; 6] = ["audit", "query", "--subject", SUBJECT, "--index", "index"];

/// Mounts need root.
fn mounts() -> Result<(), LeftOut> {
    let mut probe = Command::new("unshare");
    let probed = probe.args(["--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
    match probed {
        Ok(output) if output.status.success() => Ok(()),
        _ => Err(LeftOut::because("it needs root, who may mount a small disk")),
    }
}

/// Asks with an index on a disk of so many KiB.
fn ask_on_disk(shop: &Shop<'_>, kib: u32) -> Finished {
    let asked = super::question(shop, &QUERY);
    let script = format!(r#"mount -t tmpfs -o size={kib}k tmpfs index && exec "$0" "$@""#);
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).arg(asked.get_program()).args(asked.get_args());
    command.envs(asked.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Finished::of(command.current_dir(shop.folder()))
}

#[test]
fn an_index_on_a_full_disk_is_one_message_and_no_answer() {
    let kafka = kafka_or_skip!();
    if let Err(why) = mounts() {
        return support::leave_out(&why);
    }
    let shop = asked_shop(kafka, "disk-1");
    let service = started(&shop);
    become_assigned(&shop, SUBJECT);
    await_entries(&shop, SUBJECT, 3);
    service.stop();
    std::fs::create_dir(shop.folder().join("index")).unwrap();
    let full = ask_on_disk(&shop, 16);
    assert_eq!((full.code, full.stdout.as_str()), (Some(1), ""), "{full:?}");
    let says = ["--index index/audit.redb: No space left on device", "name another directory"];
    assert!(says.iter().all(|it| full.stderr.contains(it)), "{full:?}");
    assert_eq!(full.stderr.lines().count(), 1, "{full:?}");
    assert_eq!(recorded(&shop).len(), 0, "nothing was answered");
    assert_eq!(ask(&shop, &QUERY).ok().stdout.matches("APPLIED").count(), 1);
}

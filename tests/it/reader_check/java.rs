//! The example in Java, built by Maven from pinned versions, passes the check.

use std::path::Path;
use std::process::Command;

use super::{CHECKED, assert_gone, check, root, with};
use crate::support::{Finished, LeftOut, Shop, leave_out};

/// Builds it into this folder, from what Maven has fetched before: the words that start it.
pub fn built(folder: &Path) -> Result<Vec<String>, LeftOut> {
    let lacks = || {
        LeftOut::because(
            "Maven or what it fetches is not there: mvn -f examples/reader-java/pom.xml process-classes",
        )
    };
    let mut mvn = Command::new("mvn");
    mvn.args(["--offline", "--quiet", "--batch-mode", "process-classes", "--file"]);
    mvn.arg(root().join("examples/reader-java/pom.xml"));
    mvn.arg(format!("-Doutput={}", folder.display()));
    let Ok(finished) = mvn.output() else { return Err(lacks()) };
    let said = String::from_utf8_lossy(&finished.stdout).into_owned();
    if said.contains("offline mode") {
        return Err(lacks());
    }
    assert!(finished.status.success(), "mvn: {said}");
    let classes = format!("{0}/classes:{0}/lib/*", folder.display());
    // As a test's broker has it: starting is most of what it does.
    let words = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp"];
    let words = words.into_iter().chain([classes.as_str(), "SegmentReader"]);
    Ok(words.map(str::to_owned).collect())
}

#[test]
fn the_example_in_java_keeps_every_rule() {
    let kafka = kafka_or_skip!();
    let folder = tempfile::tempdir().expect("temp dir");
    let reader = match built(folder.path()) {
        Ok(reader) => reader,
        Err(why) => return leave_out(&why),
    };
    let shop = Shop::open(kafka);
    let reader = [&reader[..], &["check-protocol".to_owned()]].concat();
    let finished = Finished::of(&mut check(&shop, &["--json", "--timeout", "2m"], &reader)).ok();
    assert_eq!(with("ok", &finished), CHECKED, "{}", finished.stdout);
    assert_gone(&shop);
}

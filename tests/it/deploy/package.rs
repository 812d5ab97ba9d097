//! The Debian package, as far as it goes without installing it: what is in it, and whether systemd takes its unit.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::root;
use crate::operating::tool_or_skip;
use crate::support::Finished;

const UNIT: &str = "deploy/systemd/assent.service";

/// Of ten, from systemd: 0 is a service that can do nothing. What remains is that it talks TCP.
const EXPOSURE_MAX: f64 = 1.5;

fn run(program: &Path, arguments: &[&str]) -> String {
    let done = Finished::of(Command::new(program).args(arguments).current_dir(root())).ok();
    done.stdout
}

#[test]
fn the_package_holds_what_a_service_needs() {
    let _ = tool_or_skip!("cargo-deb");
    let dpkg = tool_or_skip!("dpkg-deb");
    run(&root().join("scripts/package"), &["--binary", env!("CARGO_BIN_EXE_assent")]);
    let package = built();
    let folder = tempfile::tempdir().expect("temp dir");
    let (package, into) =
        (package.to_str().expect("UTF-8"), folder.path().to_str().expect("UTF-8"));
    run(&dpkg, &["-x", package, into]);
    let read = |path: &str| {
        let text = std::fs::read_to_string(folder.path().join(path));
        text.unwrap_or_else(|error| panic!("{path}: {error}"))
    };

    let version = run(&folder.path().join("usr/bin/assent"), &["--version"]);
    let expected = format!("assent {} (", env!("CARGO_PKG_VERSION"));
    assert!(version.starts_with(&expected), "{version}");
    assert_eq!(read("usr/lib/systemd/system/assent.service"), super::read(UNIT));
    assert!(read("usr/lib/sysusers.d/assent.conf").contains("u assent "));
    for page in ["assent", "assent-run", "assent-state-accept-loss"] {
        assert!(folder.path().join(format!("usr/share/man/man1/{page}.1.gz")).exists(), "{page}");
    }
    run(
        Path::new("bash"),
        &["-n", &format!("{into}/usr/share/bash-completion/completions/assent")],
    );
    let bill: Value =
        serde_json::from_str(&read("usr/share/doc/assent/assent.cdx.json")).expect("JSON");
    assert_is_bill(&bill);

    let control = run(&dpkg, &["-I", package]);
    assert!(control.contains("Depends: ") && control.contains("libc6"), "{control}");
    let kept = run(&dpkg, &["--ctrl-tarfile", package]);
    assert!(kept.contains("/etc/assent/assent.yaml"), "a configuration that is kept");
    assert!(kept.contains("systemd-sysusers assent.conf"), "its user is made");
}

/// The newest in target/debian.
fn built() -> PathBuf {
    let folder = std::fs::read_dir(root().join("target/debian")).expect("target/debian");
    let packages = folder.map(|entry| entry.expect("an entry").path());
    let packages = packages.filter(|path| path.extension().is_some_and(|it| it == "deb"));
    packages
        .max_by_key(|path| path.metadata().and_then(|it| it.modified()).expect("a time"))
        .expect("a package")
}

fn assert_is_bill(bill: &Value) {
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.6".into()));
    let components = bill["components"].as_array().expect("a list");
    assert!(components.len() > 100, "{}", components.len());
    for component in components {
        assert!(component["purl"].as_str().expect("a purl").starts_with("pkg:cargo/"));
        assert_eq!(component["hashes"][0]["content"].as_str().expect("a hash").len(), 64);
        assert!(component["licenses"][0]["expression"].is_string(), "{component}");
    }
    let is_there = |name: &str| components.iter().any(|component| component["name"] == name);
    assert!(is_there("rdkafka-sys") && is_there("tokio"));
    assert!(!is_there("expect-test") && !is_there("proptest"), "only tests have these");
}

#[test]
fn systemd_takes_the_unit_and_finds_it_closed() {
    let analyze = tool_or_skip!("systemd-analyze");
    let folder = tempfile::tempdir().expect("temp dir");
    let unit = folder.path().join("assent.service");
    // It looks for the program.
    let here = super::read(UNIT).replace("/usr/bin/assent", env!("CARGO_BIN_EXE_assent"));
    std::fs::write(&unit, here).expect("written");
    let unit = unit.to_str().expect("UTF-8");
    let complaints = Finished::of(Command::new(&analyze).args(["verify", "--man=no", unit])).ok();
    assert_eq!(complaints.stderr, "");
    let judged = run(&analyze, &["security", "--offline=true", unit]);
    let (_, overall) = judged.split_once("Overall exposure level").expect("a verdict");
    let level = overall.split(": ").nth(1).and_then(|rest| rest.split(' ').next());
    let level: f64 = level.and_then(|it| it.parse().ok()).expect("a number");
    assert!(level <= EXPOSURE_MAX, "{judged}");
}

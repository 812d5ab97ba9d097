//! The Debian package: what is in it, whether systemd takes its units, and whether it can be installed and removed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use super::root;
use crate::operating::tool_or_skip;
use crate::support::{Finished, LeftOut, leave_out};

const UNITS: [&str; 2] = ["assent.service", "assent-serve.service"];

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
    for unit in UNITS {
        assert_eq!(read(&format!("usr/lib/systemd/system/{unit}")), source(unit));
    }
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

fn source(unit: &str) -> String {
    super::read(&format!("deploy/systemd/{unit}"))
}

/// Once for all tests, which would write over each other's.
fn built() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        run(&root().join("scripts/package"), &["--binary", env!("CARGO_BIN_EXE_assent")]);
        newest()
    };
    BUILT.get_or_init(build).clone()
}

/// In target/debian.
fn newest() -> PathBuf {
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
    for name in UNITS {
        let unit = folder.path().join(name);
        // It looks for the program.
        let here = source(name).replace("/usr/bin/assent", env!("CARGO_BIN_EXE_assent"));
        std::fs::write(&unit, here).expect("written");
        let unit = unit.to_str().expect("UTF-8");
        let complaints =
            Finished::of(Command::new(&analyze).args(["verify", "--man=no", unit])).ok();
        assert_eq!(complaints.stderr, "", "{name}");
        let judged = run(&analyze, &["security", "--offline=true", unit]);
        let (_, overall) = judged.split_once("Overall exposure level").expect("a verdict");
        let level = overall.split(": ").nth(1).and_then(|rest| rest.split(' ').next());
        let level: f64 = level.and_then(|it| it.parse().ok()).expect("a number");
        assert!(level <= EXPOSURE_MAX, "{judged}");
    }
}

/// Removes the package again, and the user that it made, whatever happens.
struct Installed;

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = Command::new("dpkg").args(["--purge", "assent"]).output();
        let _ = Command::new("userdel").arg("assent").output();
        let _ = std::fs::remove_dir_all("/var/lib/assent");
    }
}

/// On this very machine: as root, and where neither the package nor the user is there yet.
fn can_install() -> Result<(), LeftOut> {
    let is_root = run(Path::new("id"), &["-u"]).trim() == "0";
    let has_user = Command::new("getent").args(["passwd", "assent"]).output();
    let has_user = has_user.is_ok_and(|it| it.status.success());
    if !is_root {
        Err(LeftOut::because("only root may install a package"))
    } else if has_user || Path::new("/etc/assent").exists() || Path::new("/var/lib/assent").exists()
    {
        Err(LeftOut::because("Assent, or a user of that name, is on this machine already"))
    } else {
        Ok(())
    }
}

#[test]
fn the_package_is_installed_works_and_is_purged() {
    let _ = tool_or_skip!("cargo-deb");
    let dpkg = tool_or_skip!("dpkg");
    let analyze = tool_or_skip!("systemd-analyze");
    if let Err(why) = can_install() {
        return leave_out(&why);
    }
    let package = built();
    let installed = Installed;
    run(&dpkg, &["--install", package.to_str().expect("UTF-8")]);

    let version = run(Path::new("/usr/bin/assent"), &["--version"]);
    assert!(version.starts_with(&format!("assent {} (", env!("CARGO_PKG_VERSION"))), "{version}");
    let user = run(Path::new("getent"), &["passwd", "assent"]);
    assert!(user.contains(":/var/lib/assent:/usr/sbin/nologin"), "{user}");
    for (path, expected) in [
        ("/etc/assent/assent.yaml", "640 root:assent\n"),
        ("/var/lib/assent", "750 assent:assent\n"),
    ] {
        assert_eq!(run(Path::new("stat"), &["-c", "%a %U:%G", path]), expected, "{path}");
    }
    for unit in UNITS {
        let place = format!("/usr/lib/systemd/system/{unit}");
        let complaints =
            Finished::of(Command::new(&analyze).args(["verify", "--man=no", &place])).ok();
        assert_eq!(complaints.stderr, "", "{unit}");
    }
    // The first steps, as the configuration says them.
    let as_user = |arguments: &[&str]| {
        let command = ["-u", "assent", "--", "assent"];
        let config = ["--config", "/etc/assent/assent.yaml"];
        run(Path::new("runuser"), &[&command, arguments, &config].concat())
    };
    as_user(&["rules", "check"]);
    as_user(&["keys", "new"]);
    let shown = as_user(&["keys", "show"]);
    assert!(shown.contains("active"), "{shown}");

    run(&dpkg, &["--purge", "assent"]);
    for path in
        ["/usr/bin/assent", "/etc/assent/assent.yaml", "/usr/lib/systemd/system/assent.service"]
    {
        assert!(!Path::new(path).exists(), "{path} stays");
    }
    let kept = Path::new("/var/lib/assent/keys/keyset.json").exists();
    assert!(kept, "a purge removes no keys: without them nobody's opt-out finds its pseudonym");
    drop(installed);
}

//! Tells the program which revision it was built from: `ASSENT_REVISION` where a packager sets it,
//! else git's answer in a release build, else `unknown`. A debug build doesn't ask, so that a commit
//! doesn't rebuild everything.

#![allow(clippy::disallowed_methods)] // a build script is told everything by environment variables

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=ASSENT_REVISION");
    println!("cargo:rerun-if-changed=build.rs");
    let revision = std::env::var("ASSENT_REVISION").ok().or_else(release_revision);
    println!("cargo:rustc-env=ASSENT_REVISION={}", revision.as_deref().unwrap_or("unknown"));
}

fn release_revision() -> Option<String> {
    if std::env::var("PROFILE").as_deref() != Ok("release") {
        return None;
    }
    for path in ["src", "crates", "Cargo.toml", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={path}");
    }
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={log}");
    }
    git(&["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let answer = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !answer.is_empty()).then_some(answer)
}

//! `audit export`: what it writes is verified by `audit verify`, and by public tools as its README.md says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{ask, asked_shop, become_assigned, recorded, started};
use crate::support::{self, Finished, Shop};

const SUBJECT: &str = "the-one-who-gets-a-copy";
const DAY: i64 = 86_400_000;

fn with_log(shop: &Shop<'_>, arguments: &[&str]) -> Finished {
    let mut command = shop.command(arguments);
    command
        .env("ASSENT__TOPICS__AUDIT_ACCESS", shop.topic(super::ACCESS))
        .env("ASSENT__AUDIT__OPERATOR", "auditor@shop.example")
        .env("ASSENT__AUDIT__LOG_KEY", shop.folder().join("log.key"))
        .env("ASSENT__AUDIT__PUBLISH_DIR", shop.folder().join("log"));
    Finished::of(&mut command)
}

/// Every file by its path in the folder.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = PathBuf::from(path.file_name().unwrap());
        if path.is_dir() {
            all.extend(files(&path).into_iter().map(|(below, bytes)| (name.join(below), bytes)));
        } else {
            all.insert(name, std::fs::read(&path).expect("readable"));
        }
    }
    all
}

/// The code blocks of the README in this language.
fn blocks(folder: &Path, language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("README.md")).expect("a README");
    let fence = format!("```{language}\n");
    let parts = text.split(&fence).skip(1);
    parts.map(|part| part.split("```").next().unwrap().to_owned()).collect()
}

fn python(folder: &Path) -> Finished {
    let script = blocks(folder, "python").remove(0);
    Finished::of(Command::new("python3").arg("-c").arg(script).current_dir(folder))
}

#[test]
fn an_export_is_checked_by_us_and_by_public_tools() {
    let kafka = kafka_or_skip!();
    let shop = asked_shop(kafka, "export-1");
    let service = started(&shop);
    become_assigned(&shop, SUBJECT);
    become_assigned(&shop, "somebody-else");
    service.stop();
    let key =
        with_log(&shop, &["keys", "new", "--for", "audit-log", "--origin", "shop.example/audit"]);
    let key = key.ok().stdout;
    let verifier = key.split_whitespace().find(|it| it.starts_with("shop.example/audit+")).unwrap();

    let (from, to) = (support::now_ms() - DAY, support::now_ms() + DAY);
    let (from, to) = (from.to_string(), to.to_string());
    let export = |out: &str, of: &[&str]| {
        let out = shop.folder().join(out);
        let out = out.to_str().unwrap();
        with_log(&shop, &[&["audit", "export", "--out", out], of].concat())
    };
    let window = ["--from", from.as_str(), "--to", to.as_str()];
    let unpublished = export("early", &window);
    assert_eq!(unpublished.code, Some(65), "{unpublished:?}");
    assert!(unpublished.stderr.contains("audit publish"), "{unpublished:?}");
    with_log(&shop, &["audit", "publish", "--once"]).ok();
    let whole = export("whole", &window).ok().stdout;
    assert!(whole.contains("each with a proof"), "{whole}");
    export("again", &window).ok();
    let own = export("own", &["--subject", SUBJECT]).ok();
    let plain = ask(
        &shop,
        &[
            &["audit", "export", "--out", shop.folder().join("plain").to_str().unwrap()],
            &window[..],
        ]
        .concat(),
    );
    assert!(plain.ok().stdout.contains("without proofs"));
    assert_eq!(recorded(&shop).iter().filter(|it| it["command"] == "EXPORT").count(), 4, "{own:?}");

    let folder = |name: &str| shop.folder().join(name);
    assert!(files(&folder("whole")) == files(&folder("again")), "same inputs, same bytes");
    for name in ["whole", "own", "plain"] {
        let path = folder(name);
        let outcome = with_log(&shop, &["audit", "verify", "--export", path.to_str().unwrap()]);
        assert_eq!(outcome.code, Some(0), "{name}: {outcome:?}");
        let checked = python(&path);
        assert_eq!(checked.code, Some(0), "{name}: {checked:?}");
        let all = files(&path);
        let holds = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).contains(SUBJECT);
        assert!(!all.values().any(holds), "INV-6 {name}");
        assert_eq!(all.keys().filter(|it| it.starts_with("rulebooks")).count(), 1);
    }
    signature(&folder("whole"), verifier);
    altered(&shop, &folder("whole"));
    let again = export("whole", &window);
    assert_eq!(again.code, Some(64), "{again:?}");
    assert!(again.stderr.contains("not empty"), "{again:?}");
}

/// By OpenSSL, as the README says.
fn signature(folder: &Path, verifier: &str) {
    let script = blocks(folder, "sh").remove(0);
    let script = script.lines().filter(|line| !line.starts_with("export KEY")).collect::<Vec<_>>();
    let run = |key: &str| {
        let mut command = Command::new("bash");
        command.arg("-c").arg(script.join("\n")).env("KEY", key).current_dir(folder);
        Finished::of(&mut command)
    };
    let outcome = run(verifier);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    // Base64 has a plus, too.
    let [name, id, encoded] = verifier.splitn(3, '+').collect::<Vec<_>>()[..] else {
        panic!("{verifier}")
    };
    let first = if encoded.starts_with("AQ") { "AR" } else { "AQ" };
    let other = run(&format!("{name}+{id}+{first}{}", &encoded[2..]));
    assert_ne!(other.code, Some(0), "another key: {other:?}");
    for made in ["text", "signature", "key.der"] {
        std::fs::remove_file(folder.join(made)).expect("the script made it");
    }
}

/// One bit of each file but the README.
fn altered(shop: &Shop<'_>, folder: &Path) {
    for (path, bytes) in files(folder) {
        let place = folder.join(&path);
        let mut damaged = bytes.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        std::fs::write(&place, damaged).unwrap();
        let checked = if path.starts_with("README.md") { None } else { Some(python(folder)) };
        let outcome = with_log(shop, &["audit", "verify", "--export", folder.to_str().unwrap()]);
        assert_ne!(outcome.code, Some(0), "{}", path.display());
        assert!(checked.is_none_or(|it| it.code != Some(0)), "{}", path.display());
        std::fs::write(&place, bytes).unwrap();
    }
}

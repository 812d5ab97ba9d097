//! The Dockerfile, instruction by instruction, as far as it goes without Docker.

use super::{Command, Compose, HOME, Path, configured, read, root, yaml};

struct Instruction {
    name: String,
    /// With continued lines joined.
    rest: String,
}

fn instructions() -> Vec<Instruction> {
    let text = read("Dockerfile");
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let instruction = |line: &str| {
        let (name, rest) = line.split_once(' ')?;
        Some(Instruction { name: name.to_owned(), rest: rest.trim().to_owned() })
    };
    joined.lines().filter_map(instruction).collect()
}

/// Of `COPY`: what it takes from the build context, and where to. None: from another stage.
fn copied(instruction: &Instruction) -> Option<(Vec<&str>, &str)> {
    if instruction.name != "COPY" || instruction.rest.starts_with("--from") {
        return None;
    }
    let mut words: Vec<&str> = instruction.rest.split_whitespace().collect();
    let target = words.pop()?;
    Some((words, target))
}

fn build_stage() -> Vec<Instruction> {
    let is_from = |instruction: &Instruction| instruction.name == "FROM";
    instructions().into_iter().skip(1).take_while(|instruction| !is_from(instruction)).collect()
}

#[test]
fn what_is_copied_is_there_and_not_ignored() {
    let ignore = read(".dockerignore");
    let mut lines = ignore.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"));
    let kept: Vec<&str> = lines.map(|line| line.strip_prefix('!').expect("!PATH")).collect();
    for instruction in instructions() {
        for source in copied(&instruction).into_iter().flat_map(|(sources, _)| sources) {
            let is_kept = kept.iter().any(|kept| Path::new(source).starts_with(kept));
            assert!(root().join(source).exists() && is_kept, "COPY {source}");
        }
    }
}

#[test]
fn sources_include_only_what_the_image_is_built_from() {
    let stage = build_stage();
    let copied: Vec<_> = stage.iter().filter_map(copied).flat_map(|(sources, _)| sources).collect();
    let mut sources = vec![root().join("src"), root().join("crates")];
    while let Some(path) = sources.pop() {
        if path.is_dir() {
            sources
                .extend(std::fs::read_dir(&path).expect("a folder").map(|e| e.expect("it").path()));
        } else if !path.components().any(|part| is_test(part.as_os_str().to_str().expect("UTF-8")))
        {
            let text = std::fs::read_to_string(&path).expect("a source");
            let built = text.split("#[cfg(test)]").next().expect("a text");
            for included in built.split("include_str!(\"").skip(1) {
                let included = included.split('"').next().expect("a path");
                // What lies beside a source, or below it, is copied with it.
                if !included.starts_with("../") {
                    continue;
                }
                let included = included.trim_start_matches("../");
                let within = |folder: &&str| Path::new(included).starts_with(folder);
                assert!(copied.iter().any(within), "{}: {included}", path.display());
            }
        }
    }
}

/// Only in test builds.
fn is_test(part: &str) -> bool {
    matches!(part, "tests" | "tests.rs" | "vectors.rs")
}

/// Cargo accepts the folder at each of its two builds.
#[test]
fn cargo_reads_the_manifest_in_each_layer() {
    let folder = tempfile::tempdir().expect("temp dir");
    let mut builds = 0;
    for instruction in build_stage() {
        if let Some((sources, target)) = copied(&instruction) {
            for source in sources {
                let (source, target) = (root().join(source), folder.path().join(target));
                let (from, to) = (source.display(), target.display());
                let from = if source.is_dir() { format!("{from}/.") } else { from.to_string() };
                shell(folder.path(), &format!("mkdir -p {to} && cp -r {from} {to}"));
            }
        } else if let Some((before, after)) = instruction.rest.split_once("cargo build") {
            assert!(after.contains("--locked"), "{after}");
            let metadata = "cargo metadata --no-deps --offline --format-version 1";
            shell(folder.path(), &format!("{before}{metadata}"));
            builds += 1;
        }
    }
    assert_eq!(builds, 2);
}

fn shell(folder: &Path, script: &str) {
    let mut command = Command::new("sh");
    let done = command.args(["-ec", script]).current_dir(folder).env("CARGO", "").output();
    let done = done.expect("sh starts");
    assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
}

/// The tag of an image that is named by its digest, too.
fn pinned(image: &str) -> &str {
    let (tag, digest) = image.split_once("@sha256:").expect("a digest");
    assert!(digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()), "{image}");
    tag
}

#[test]
fn the_image_is_the_compilers_the_folders_and_not_roots() {
    let all = instructions();
    let of = |name: &str| -> Vec<&str> {
        all.iter().filter(|i| i.name == name).map(|i| i.rest.as_str()).collect()
    };
    let manifest = read("Cargo.toml");
    let version = manifest.split("rust-version = \"").nth(1).expect("a version");
    let version = version.split('"').next().expect("a version");
    let [build, run] = of("FROM")[..] else { panic!("two stages") };
    let (build, run) = (pinned(build.trim_end_matches(" AS build")), pinned(run));
    let suite =
        build.strip_prefix(&format!("rust:{version}-slim-")).expect("the compiler's version");
    assert_eq!(run, format!("debian:{suite}-slim"));
    assert!(of("USER").iter().all(|user| *user == "10001:10001") && of("USER").len() == 1);
    assert_eq!(of("WORKDIR").last(), Some(&HOME));
    assert_eq!(yaml::parse(of("ENTRYPOINT")[0]), serde_json::json!(["assent"]));
    assert_eq!(yaml::parse(of("CMD")[0]), serde_json::json!(["run"]));
    let compose = Compose::read();
    for (_, instance) in compose.instances() {
        let state = configured(instance).pipeline.state_dir;
        let name = state.file_name().and_then(|name| name.to_str()).expect("a name");
        assert_eq!(yaml::parse(of("VOLUME")[0]), serde_json::json!([format!("{HOME}/{name}")]));
    }
}

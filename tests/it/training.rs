//! docs/training: every command of every lesson says what the lesson says that it says. Needs no Kafka.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::Finished;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A command of a lesson, and the lines below it.
struct Shown {
    command: String,
    output: String,
}

fn lessons() -> Vec<PathBuf> {
    let folder = Path::new(ROOT).join("docs/training");
    let entries =
        std::fs::read_dir(folder).expect("readable").map(|entry| entry.expect("an entry").path());
    let begins_with_digit = |path: &PathBuf| {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("UTF-8");
        let is_page = path.extension().is_some_and(|extension| extension == "md");
        is_page && name.starts_with(|c: char| c.is_ascii_digit())
    };
    let mut lessons: Vec<PathBuf> = entries.filter(begins_with_digit).collect();
    lessons.sort();
    lessons
}

/// In the order of the page: the exercise's, then the one of the answers.
fn shown(lesson: &str) -> Vec<Shown> {
    let blocks = lesson.split("```console\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().expect("an end").lines());
    let mut all: Vec<Shown> = Vec::new();
    for line in lines {
        if let Some(command) = line.strip_prefix("$ ") {
            all.push(Shown { command: command.to_owned(), output: String::new() });
        } else {
            let last = all.last_mut().expect("a block begins with a command");
            last.output.extend([line, "\n"]);
        }
    }
    all
}

/// A folder like the root of the repository, with nothing in it that a lesson could change.
fn copy_of_the_root() -> TempDir {
    let folder = tempfile::tempdir().expect("temp dir");
    for name in ["docs/training", "rules"] {
        let to = folder.path().join(name);
        std::fs::create_dir_all(&to).expect("made");
        for entry in std::fs::read_dir(Path::new(ROOT).join(name)).expect("readable") {
            let from = entry.expect("an entry").path();
            std::fs::copy(&from, to.join(from.file_name().expect("a name"))).expect("copied");
        }
    }
    let program = folder.path().join("bin");
    std::fs::create_dir(&program).expect("made");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_assent"), program.join("assent"))
        .expect("linked");
    folder
}

fn run(command: &str, folder: &Path) -> Finished {
    let path = format!("{}/bin:{}", folder.display(), std::env::var("PATH").expect("a PATH"));
    let mut shell = Command::new("sh");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ASSENT__")) {
        shell.env_remove(name);
    }
    let shell = shell.args(["-c", command]).current_dir(folder).env("PATH", path);
    Finished::of(shell.stdin(std::process::Stdio::null()))
}

#[test]
fn every_command_of_a_lesson_says_what_stands_below_it() {
    let folder = copy_of_the_root();
    let mut wrong = Vec::new();
    for lesson in lessons() {
        let name = lesson.file_name().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&lesson).expect("readable");
        for Shown { command, output } in shown(&text) {
            let done = run(&command, folder.path());
            if (done.code, &done.stdout, done.stderr.as_str()) != (Some(0), &output, "") {
                wrong.push(format!("{name}: {command}\nexpected:\n{output}found: {done:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What was promised of a lesson is in each: a case with its price and source, something to break, questions, and
/// an answer for each of them.
#[test]
fn each_of_eight_lessons_is_whole() {
    let lessons = lessons();
    assert_eq!(lessons.len(), 8);
    for lesson in lessons {
        let name = lesson.display();
        let text = std::fs::read_to_string(&lesson).expect("readable");
        let parts: Vec<&str> = text.split("\n## ").collect();
        let titles: Vec<&str> =
            parts.iter().filter_map(|part| part.lines().next()).skip(1).collect();
        let expected = ["What happened", "In Assent's terms", "Exercise", "Quiz", "Answers"];
        assert_eq!(titles, expected, "{name}");
        assert!(parts[1].contains("**$") && parts[1].contains("](https://"), "{name}");
        assert!(!shown(parts[3]).is_empty(), "{name} has nothing to break");
        let numbered = |part: &str| {
            part.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).count()
        };
        let questions = std::fs::read_to_string(lesson.with_extension("jsonl")).expect("questions");
        let questions = questions.lines().count();
        let answers = shown(parts[5]).pop().expect("the answers").output.lines().count();
        assert!(questions >= 3, "{name}");
        let counted = (numbered(parts[4]), answers, numbered(parts[5]));
        assert_eq!(counted, (questions, questions, questions), "{name}");
    }
}

//! Mistakes that readers make, planted in the example: each is found, and named by the rule that it breaks.
//!
//! One that can't be found: joining the pseudonyms of two purposes (R9) shows in no answer.

use std::path::{Path, PathBuf};

use super::{check, example, in_python, root, with};
use crate::support::{Finished, Shop, leave_out};

/// The example with some of its text replaced.
struct Mistake {
    /// Names its folder.
    name: &'static str,
    rule: &'static str,
    /// Each is there once.
    replaced: &'static [(&'static str, &'static str)],
}

const IF_NOTHING: &str = "        if assignment is None:\n            self.db";

const MISTAKES: &[Mistake] = &[
    Mistake {
        name: "reads-uncommitted",
        rule: "R1",
        replaced: &[(
            "\"isolation.level\": \"read_committed\"",
            "\"isolation.level\": \"read_uncommitted\"",
        )],
    },
    Mistake {
        name: "ignores-tombstones",
        rule: "R2",
        replaced: &[(
            IF_NOTHING,
            "        if message.value() is None:\n            pass\n        elif assignment is None:\n            self.db",
        )],
    },
    Mistake {
        name: "batches-an-hour",
        rule: "R2",
        replaced: &[
            (
                "        if messages:\n            self.copy.apply(messages, self.decoder)",
                "        self.held = getattr(self, \"held\", []) + messages\n        \
             if time.monotonic() - self.began > 3600:\n            \
             self.copy.apply(self.held, self.decoder)",
            ),
            (
                "        self.stopped = threading.Event()",
                "        self.stopped, self.began = threading.Event(), time.monotonic()",
            ),
        ],
    },
    Mistake {
        name: "keeps-what-expired",
        rule: "R3",
        replaced: &[
            (" AND expires_at > ?\",\n", " AND ? > 0\",\n"),
            ("DELETE FROM assignment WHERE expires_at <= ?", "DELETE FROM assignment WHERE ? < 0"),
        ],
    },
    Mistake {
        name: "expires-on-arrival-only",
        rule: "R3",
        replaced: &[
            (" AND expires_at > ?\",\n", " AND ? > 0\",\n"),
            ("                self.copy.drop_expired()\n", ""),
            (
                IF_NOTHING,
                "        if assignment is None or milliseconds(assignment[\"expires_at\"]) <= now():\n            self.db",
            ),
        ],
    },
    Mistake {
        name: "goes-on-after-an-absence",
        rule: "R4",
        replaced: &[(" and now() - row[2] <= max_lag:", ":")],
    },
    Mistake {
        name: "begins-at-the-end",
        rule: "R5",
        replaced: &[("        return OFFSET_BEGINNING\n", "        return -1  # OFFSET_END\n")],
    },
    Mistake {
        name: "stores-the-position-first",
        rule: "R6",
        replaced: &[(
            "        with self.transaction():\n            for message in messages:\n",
            "        for message in messages:\n            self.db.execute(\"UPDATE progress SET \
             next_offset = ? WHERE part = ?\",\n                            (message.offset() + 1, \
             message.partition()))\n        time.sleep(0.25)\n        \
             with self.transaction():\n            for message in messages:\n",
        )],
    },
    Mistake {
        name: "keeps-the-value-before-an-unreadable-one",
        rule: "R7",
        replaced: &[("its key is dropped\")\n", "its key is kept\")\n                return\n")],
    },
    Mistake {
        name: "guesses-for-strangers",
        rule: "R8",
        replaced: &[(
            "if segments else \"no\", flush",
            "if segments else \"yes all-visitors\", flush",
        )],
    },
    Mistake {
        name: "keeps-the-first-value",
        rule: "R10",
        replaced: &[("INSERT OR REPLACE INTO assignment", "INSERT OR IGNORE INTO assignment")],
    },
    Mistake {
        name: "waits-for-the-next-number",
        rule: "R11",
        replaced: &[
            (
                "                messages.append(message)\n",
                "                part, at = message.partition(), message.offset()\n                \
                 if self.expected.setdefault(part, at) == at:\n                    \
                 self.expected[part] = at + 1\n                    messages.append(message)\n",
            ),
            (
                "        self.stopped = threading.Event()",
                "        self.stopped, self.expected = threading.Event(), {}",
            ),
        ],
    },
    Mistake {
        name: "ignores-a-reset",
        rule: "R12",
        replaced: &[(
            "\"auto.offset.reset\": \"error\",  ",
            "\"auto.offset.reset\": \"earliest\",",
        )],
    },
    Mistake {
        name: "keeps-keys-of-the-old-version",
        rule: "R13",
        replaced: &[(
            IF_NOTHING,
            "        if message.value() is None and (\"reason\", b\"key_retired\") in message.headers():\n            \
             pass\n        elif assignment is None:\n            self.db",
        )],
    },
];

impl Mistake {
    /// Where the example looks for the schemas, they are.
    fn plant(&self, folder: &Path) -> PathBuf {
        let mut text = std::fs::read_to_string(example()).expect("the example");
        for (from, to) in self.replaced {
            assert_eq!(text.matches(from).count(), 1, "{}: {from}", self.name);
            text = text.replace(from, to);
        }
        let repository = folder.join(self.name);
        let scripts = repository.join("examples/reader");
        std::fs::create_dir_all(&scripts).expect("a folder");
        std::os::unix::fs::symlink(root().join("schemas"), repository.join("schemas"))
            .expect("a link");
        let script = scripts.join("segments.py");
        std::fs::write(&script, text).expect("written");
        script
    }
}

#[test]
fn each_planted_mistake_is_named_by_its_rule() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    for mistake in MISTAKES {
        let reader = match in_python(&mistake.plant(shop.folder())) {
            Ok(reader) => reader,
            Err(why) => return leave_out(&why),
        };
        let options = ["--json", "--timeout", "15s", "--rule", mistake.rule];
        let finished = Finished::of(&mut check(&shop, &options, &reader));
        assert_eq!(finished.code, Some(1), "{}: {finished:?}", mistake.name);
        assert_eq!(with("broken", &finished), [mistake.rule], "{}: {finished:?}", mistake.name);
    }
}

/// What the rules have to do with one another: a mistake is found by its own rule and by those that build on it.
#[test]
fn a_mistake_breaks_no_rule_that_has_nothing_to_do_with_it() {
    ci_or_skip!();
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    for (name, broken) in [
        ("reads-uncommitted", &["R1"][..]),
        ("keeps-what-expired", &["R3"]),
        ("goes-on-after-an-absence", &["R4"]),
        ("begins-at-the-end", &["R5", "R12"]),
        ("keeps-the-value-before-an-unreadable-one", &["R7"]),
        ("keeps-keys-of-the-old-version", &["R13"]),
    ] {
        let mistake = MISTAKES.iter().find(|it| it.name == name).expect("a mistake");
        let reader = match in_python(&mistake.plant(shop.folder())) {
            Ok(reader) => reader,
            Err(why) => return leave_out(&why),
        };
        let finished = Finished::of(&mut check(&shop, &["--json"], &reader));
        assert_eq!(with("broken", &finished), broken, "{name}: {finished:?}");
    }
}

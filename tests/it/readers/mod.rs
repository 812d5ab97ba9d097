//! How far declared readers are behind (docs/operating.md#readers), told of a reader in Python and of one in
//! Java, whose groups commit what they have read.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::examples::python;
use crate::support::{
    Finished, LeftOut, Plan, Service, Shop, consent, latest, leave_out, view, wait_until,
};

const PURPOSE: &str = "personalized-offers";
const PURPOSES: [&str; 2] = ["partner-advertising", PURPOSE];

/// A look every 15 s, and the machine may be busy.
const TOLD_WITHIN: Duration = Duration::from_mins(2);

const TOMBSTONE: &str = "assent_reader_oldest_unread_tombstone_seconds";
const LAG: &str = "assent_reader_lag_seconds";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Kafka's jars, where `scripts/kafka fetch` has put them.
fn jars() -> Option<String> {
    let folders = std::fs::read_dir(root().join(".kafka")).ok()?;
    let mut libs = folders.filter_map(Result::ok).map(|it| it.path()).filter(|it| {
        it.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libs-"))
    });
    Some(format!("{}/*", libs.next()?.display()))
}

/// Compiles the reader in Java into this folder.
fn compiled(folder: &Path) -> Result<String, LeftOut> {
    let lacks = || LeftOut::because("javac or Kafka's jars are not there: scripts/kafka fetch");
    let jars = jars().ok_or_else(lacks)?;
    let source = root().join("tests/it/readers/SegmentReader.java");
    let mut javac = Command::new("javac");
    javac.args(["-cp", &jars, "-d"]).arg(folder).arg(source);
    javac.output().map_err(|_| lacks())?;
    Finished::of(&mut javac).ok();
    Ok(format!("{}:{jars}", folder.display()))
}

/// The purpose has three readers, of which one never comes.
fn plan(name: &str) -> Plan {
    let plan = Plan::of_lookers("readers-1", 1);
    let declared = format!(
        "retention: 30d, readers: [{{id: python, kind: own, group_id: {name}-python}}, \
         {{id: java, kind: service_provider, group_id: {name}-java}}, \
         {{id: nobody, kind: third_party, group_id: {name}-nobody}}]}}"
    );
    let rulebook = plan.rulebook.map(|it| it.replacen("retention: 30d}", &declared, 1));
    Plan { rulebook, ..plan }
}

struct Readers<'s, 'k> {
    shop: &'s Shop<'k>,
    /// Begins the groups' ids.
    name: String,
    python: PathBuf,
    java: String,
}

impl Readers<'_, '_> {
    fn read_in_python(&self) {
        let (topic, group) = (self.shop.segments(PURPOSE), format!("{}-python", self.name));
        let mut command = Command::new(&self.python);
        command.arg(root().join("examples/reader/segments.py")).args(["follow", &topic]);
        command.args(["--copy", "copy.db", "--once", "--group", &group]);
        command.args(["--bootstrap", self.shop.kafka.bootstrap()]);
        Finished::of(command.current_dir(self.shop.folder())).ok();
    }

    /// How many keys it holds to be live.
    fn read_in_java(&self) -> usize {
        let (topic, group) = (self.shop.segments(PURPOSE), format!("{}-java", self.name));
        let mut command = Command::new("java");
        command.args(["-cp", &self.java, "SegmentReader", self.shop.kafka.bootstrap()]);
        let said = Finished::of(command.args([&topic, &group])).ok().stdout;
        said.lines().last().and_then(|line| line.parse().ok()).expect("a number")
    }

    /// Somebody agrees and looks, and opts out at once.
    fn someone_leaves(&self, id: &str) {
        let says = |version, status| self.shop.consent(&consent(id, version, status, &PURPOSES));
        let tombstones = || {
            let all = self.shop.committed(&format!("segments.{PURPOSE}"));
            all.iter().filter(|record| record.value.is_none()).count()
        };
        let (before, kafka) = (tombstones(), self.shop.kafka);
        kafka.produce([says(1, "GRANTED")]);
        kafka.produce([self.shop.click(&view(id))]);
        let key = crate::support::pseudonym(PURPOSE, id);
        wait_until(TOLD_WITHIN, "an assignment", || {
            let live = latest(&self.shop.committed(&format!("segments.{PURPOSE}")));
            live.contains_key(key.as_bytes()).then_some(())
        });
        kafka.produce([says(2, "WITHDRAWN")]);
        wait_until(TOLD_WITHIN, "a tombstone", || (tombstones() > before).then_some(()));
    }
}

/// Of all instances the largest, as the alert has it.
fn told(services: &[&Service], metric: &str, reader: &str) -> f64 {
    let labels = [("purpose", PURPOSE), ("reader", reader)];
    let values = services.iter().filter_map(|it| it.metrics().sum(metric, &labels));
    values.fold(f64::NAN, f64::max)
}

#[test]
fn a_tombstone_that_a_reader_in_python_or_java_has_not_read_grows_old_until_it_has() {
    let kafka = kafka_or_skip!();
    let python = match python() {
        Ok(python) => python,
        Err(why) => return leave_out(&why),
    };
    let classes = tempfile::tempdir().expect("temp dir");
    let java = match compiled(classes.path()) {
        Ok(java) => java,
        Err(why) => return leave_out(&why),
    };
    let name = format!("readers-{}", std::process::id());
    let shop = Shop::open_with(kafka, &plan(&name));
    let readers = Readers { shop: &shop, name, python, java };
    let (a, b) = (Service::start(&shop, "a"), Service::start(&shop, "b"));
    let services = [&a, &b];
    a.await_ready();
    b.await_ready();
    for service in services {
        for reader in ["python", "java", "nobody"] {
            let labels = [("purpose", PURPOSE), ("reader", reader)];
            let stands = [TOMBSTONE, LAG].map(|it| service.metrics().sum(it, &labels));
            assert_eq!(stands, [Some(0.0); 2], "{reader} stands at 0 before anything is there");
        }
    }

    readers.someone_leaves("kim");
    let is_behind = |reader: &str| told(&services, TOMBSTONE, reader) > 0.0;
    let has_read = |reader: &str| {
        let both = [TOMBSTONE, LAG].map(|metric| told(&services, metric, reader));
        both == [0.0, 0.0]
    };
    wait_until(TOLD_WITHIN, "all three are behind", || {
        ["python", "java", "nobody"].into_iter().all(is_behind).then_some(())
    });
    let tells = |service: &Service| told(&[service], TOMBSTONE, "nobody") > 0.0;
    assert!(tells(&a) != tells(&b), "one of the two tells");

    readers.read_in_python();
    wait_until(TOLD_WITHIN, "the reader in Python has read it", || {
        has_read("python").then_some(())
    });
    assert!(is_behind("java") && is_behind("nobody"), "nobody else has");
    let before = told(&services, TOMBSTONE, "java");
    assert_eq!(readers.read_in_java(), 0, "whoever was there has left");
    wait_until(TOLD_WITHIN, "the reader in Java has read it", || has_read("java").then_some(()));
    assert!(told(&services, TOMBSTONE, "nobody") > before, "it grows");

    readers.someone_leaves("lee");
    wait_until(TOLD_WITHIN, "both are behind again", || {
        (is_behind("python") && is_behind("java")).then_some(())
    });
    let age = told(&services, TOMBSTONE, "python");
    assert!(age < told(&services, TOMBSTONE, "nobody"), "only the new one is unread: {age} s");
    readers.read_in_python();
    wait_until(TOLD_WITHIN, "read", || has_read("python").then_some(()));
    a.stop();
    b.stop();
}

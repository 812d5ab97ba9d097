//! What the containers run, in the order in which Compose would, on this machine: a broker with the
//! compose file's settings, `setup`, both instances with their health checks, the workload.

use super::{
    BTreeMap, Child, Command, Compose, Finished, HOME, Kafka, Path, PathBuf, Stdio, Value, WITHIN,
    environment, health_check, leave_out, list, root, wait_until,
};
use crate::support::BrokerPlan;

/// Names, addresses and folders, which are other ones here.
const OF_THE_CONTAINER: &[&str] = &[
    "advertised.listeners",
    "controller.listener.names",
    "controller.quorum.voters",
    "inter.broker.listener.name",
    "listener.security.protocol.map",
    "listeners",
    "log.dirs",
    "node.id",
    "process.roles",
];

/// As the image's own script does: `KAFKA_LOG_DIRS` → `log.dirs`.
fn properties(variables: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let name = |variable: &str| {
        Some(variable.strip_prefix("KAFKA_")?.to_ascii_lowercase().replace('_', "."))
    };
    variables
        .iter()
        .filter_map(|(variable, value)| Some((name(variable)?, value.clone())))
        .collect()
}

#[test]
fn what_the_containers_run_runs() {
    let compose = Compose::read();
    let properties = properties(&compose.kafka());
    let settings: Vec<String> = properties
        .iter()
        .filter(|(name, _)| !OF_THE_CONTAINER.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let plan = BrokerPlan { settings: &settings, ..BrokerPlan::default() };
    let kafka = match Kafka::start_as(plan) {
        Ok(kafka) => kafka,
        Err(why) => return leave_out(&why),
    };
    let log = kafka.log();
    for name in properties.keys() {
        assert!(log.contains(&format!("\t{name} = ")), "Kafka knows no {name}");
    }
    rehearse(&compose, &kafka);
}

fn rehearse(compose: &Compose, kafka: &Kafka) {
    let container = Container::new(kafka);
    let setup = &compose.0["services"]["setup"];
    for _ in ["first", "again"] {
        let made = container.run(setup);
        assert_eq!(made.code, Some(0), "setup: {}\n{}", made.stdout, made.stderr);
    }
    let mut instances: Vec<(Instance, Vec<String>)> = Vec::new();
    for (name, service) in compose.instances() {
        let (instance, port) = container.start(name, service);
        let check = health_check(service).iter().map(|a| a.replace("9464", &port)).collect();
        instances.push((instance, check));
    }
    for (instance, check) in &mut instances {
        wait_until(WITHIN, "a health check that passes", || {
            instance.expect_running();
            let mut command = Command::new(&check[0]);
            Finished::of(command.args(&check[1..])).code.filter(|code| *code == 0)
        });
    }
    let mut workload = compose.0["services"]["workload"].clone();
    shorten(&mut workload);
    let sent = container.run(&workload);
    assert_eq!(sent.code, Some(0), "workload: {}", sent.stderr);
    container.await_segments(compose.instances()[0].1);
}

/// Ten minutes become one second.
fn shorten(workload: &mut Value) {
    let arguments = workload["command"].as_array_mut().expect("a list");
    let at = arguments.iter().position(|argument| argument == "--for").expect("--for");
    arguments[at + 1] = "1s".into();
}

/// A folder in the place of the image's, a broker's address in the place of `kafka:19092`.
struct Container {
    home: tempfile::TempDir,
    bootstrap: String,
}

struct Instance(Child);

impl Instance {
    fn expect_running(&mut self) {
        assert!(self.0.try_wait().expect("a child").is_none(), "an instance ended");
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Container {
    fn new(kafka: &Kafka) -> Self {
        let home = tempfile::tempdir().expect("temp dir");
        let rules = home.path().join("rules");
        std::fs::create_dir(&rules).expect("made");
        let book = "rules/children-retail.yaml";
        std::fs::copy(root().join(book), home.path().join(book)).expect("copied");
        Self { home, bootstrap: kafka.bootstrap().to_owned() }
    }

    /// entrypoint, else the image's; then command; with the service's variables and no other ones.
    fn command(&self, service: &Value) -> Command {
        let mut words: Vec<&str> = list(&service["entrypoint"]).collect();
        if words.is_empty() {
            words.push("assent");
        }
        words.extend(list(&service["command"]));
        let program = PathBuf::from(env!("CARGO_BIN_EXE_assent"));
        let path = format!("{}:/usr/bin:/bin", program.parent().expect("a folder").display());
        let first = if words[0] == "assent" { program } else { words[0].into() };
        let mut command = Command::new(first);
        command.args(&words[1..]).current_dir(self.home.path()).env_clear().env("PATH", path);
        for (name, value) in environment(service) {
            command.env(name, value.replace("kafka:19092", &self.bootstrap));
        }
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, service: &Value) -> Finished {
        Finished::of(&mut self.command(service))
    }

    /// Each with a state folder of its own, as its volume, and on a free port, which is returned.
    fn start(&self, name: &str, service: &Value) -> (Instance, String) {
        assert!(list(&service["volumes"]).any(|mount| mount.ends_with(&format!("{HOME}/state"))));
        let log = self.home.path().join(format!("{name}.log"));
        let mut command = self.command(service);
        command.env("ASSENT__PIPELINE__STATE_DIR", format!("state-{name}"));
        command.env("ASSENT__HTTP__LISTEN", "127.0.0.1:0");
        command.stdout(Stdio::null()).stderr(std::fs::File::create(&log).expect("a log"));
        let mut instance = Instance(command.spawn().expect("assent starts"));
        let port = wait_until(WITHIN, "a log line with http.listen", || {
            instance.expect_running();
            port_in(&log)
        });
        (instance, port)
    }

    fn await_segments(&self, instance: &Value) {
        let mut instance = instance.clone();
        instance["command"] = serde_json::json!(["segments", "list", "--json"]);
        wait_until(WITHIN, "assignments of the workload", || {
            let listed = self.run(&instance);
            (listed.code == Some(0) && !listed.stdout.is_empty()).then_some(())
        });
    }
}

fn port_in(log: &Path) -> Option<String> {
    let log = std::fs::read_to_string(log).ok()?;
    let (_, after) = log.split_once("http.listen=127.0.0.1:")?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    (!digits.is_empty()).then_some(digits)
}

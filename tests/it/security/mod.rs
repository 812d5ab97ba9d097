//! TLS, logins and ACLs on a real Kafka with its own authorizer: one broker for all of these tests, in which the
//! test itself, on the listener without TLS, may do everything, and everybody else nothing but what they were
//! granted.

mod authority;
mod commands;
mod faults;
mod lacking;
mod logins;
mod taken_away;
mod tokens;

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::examples;
use crate::support::{BrokerPlan, Finished, Kafka, LeftOut, Plan, Shop};
use authority::{Authority, HERE, Issued};
use tokens::{AUDIENCE, ISSUER, TokenServer};

const OFFERS: &str = "personalized-offers";
const ADS: &str = "partner-advertising";
const PASSWORD: &str = "correct horse";

/// Broker and authorities of these tests, or an early return.
macro_rules! secured_or_skip {
    () => {
        match $crate::security::Secured::shared() {
            Ok(secured) => secured,
            Err(why) => return $crate::support::leave_out(&why),
        }
    };
}
use secured_or_skip;

/// A broker that knows who is there.
pub struct Secured {
    kafka: Kafka,
    python: PathBuf,
    folder: PathBuf,
    /// Issued what the brokers have.
    authority: Authority,
    /// Issued nothing that they trust.
    stranger: Authority,
    tokens: TokenServer,
}

/// How somebody proves who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Login {
    Scram256,
    Scram512,
    Certificate,
    Token,
}

const LOGINS: [Login; 4] = [Login::Scram256, Login::Scram512, Login::Certificate, Login::Token];

impl Login {
    fn listener(self) -> &'static str {
        match self {
            Self::Scram256 | Self::Scram512 => "SCRAM",
            Self::Certificate => "MTLS",
            Self::Token => "OAUTH",
        }
    }

    /// As ACLs name them.
    fn principal(self, name: &str) -> String {
        match self {
            Self::Certificate => format!("User:CN={name}"),
            _ => format!("User:{name}"),
        }
    }
}

/// Variables of the environment.
type Environment = Vec<(String, String)>;

impl Secured {
    fn shared() -> Result<&'static Self, LeftOut> {
        static SHARED: OnceLock<Result<Secured, LeftOut>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start_in("secured")).as_ref().map_err(Clone::clone)
    }

    /// With its files in a folder of this name.
    fn start_in(name: &str) -> Result<Self, LeftOut> {
        let python = examples::python()?;
        let folder = format!("{name}-{}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        let authority = Authority::new(&folder, "authority");
        let stranger = Authority::new(&folder, "stranger");
        let broker = authority.issue_for_a_day(&folder, "broker", HERE);
        let elsewhere = authority.issue_for_a_day(&folder, "elsewhere", &["kafka.example"]);
        let expired = authority.issue(&folder, "expired", HERE, -3_600);
        let tokens = TokenServer::start(&broker, &folder.join("jwks.json"));
        let settings = settings(&folder, &authority, [&broker, &elsewhere, &expired]);
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let allowed = format!("file://{}/jwks.json", folder.display());
        let kafka = Kafka::start_as(BrokerPlan {
            settings: &settings,
            listeners: &[
                "SCRAM=SASL_SSL",
                "OAUTH=SASL_SSL",
                "MTLS=SSL",
                "TLS=SSL",
                "ELSEWHERE=SSL",
                "EXPIRED=SSL",
            ],
            java_options: &[
                &format!("-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={allowed}"),
                &format!(
                    "-Dorg.apache.kafka.sasl.oauthbearer.allowed.files={}/jwks.json",
                    folder.display()
                ),
            ],
            ..BrokerPlan::default()
        })?;
        Ok(Self { kafka, python, folder, authority, stranger, tokens })
    }

    /// A shop whose topics are there.
    fn shop(&self, version: &str) -> Shop<'_> {
        Shop::open_with(&self.kafka, &Plan { partitions: 2, ..Plan::of_lookers(version, 2) })
    }

    /// The same with the canary switched on, and a reader of the first purpose.
    fn shop_with_canary(&self, version: &str) -> Shop<'_> {
        let lookers = Plan::of_lookers(version, 2);
        let readers = "retention: 30d, readers: [{id: mail, kind: own, group_id: mailer}]}";
        let rulebook = lookers.rulebook.map(|it| it.replacen("retention: 30d}", readers, 1));
        let rulebook = rulebook.map(|it| format!("canary: true\n{it}"));
        let purposes = vec![OFFERS, ADS, "canary"];
        Shop::open_with(&self.kafka, &Plan { partitions: 2, rulebook, purposes, ..lookers })
    }

    /// Does what lines of kafka-acls.sh say, after making this SCRAM user, if one is named.
    fn obey(&self, user: Option<&str>, lines: &str) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/faults/kafka-acls.py");
        let mut script = Command::new(&self.python)
            .args([script, self.kafka.bootstrap(), user.unwrap_or(""), PASSWORD])
            .stdin(Stdio::piped())
            .spawn()
            .expect("python starts");
        script.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("written");
        assert!(script.wait().expect("it ends").success(), "{lines}");
    }

    /// What `check --print-acls` prints.
    fn printed(shop: &Shop<'_>, principal: &str, role: &[&str]) -> String {
        shop.run(&[&["check", "--print-acls", principal], role].concat()).ok().stdout
    }

    /// Somebody of this name with the grants that are printed for this role, and nothing more.
    fn grant(&self, shop: &Shop<'_>, login: Login, name: &str, role: &[&str]) -> Environment {
        let printed = Self::printed(shop, &login.principal(name), role);
        self.obey(Some(name), &printed);
        self.environment(login, name)
    }

    /// How somebody of this name reaches the brokers.
    fn environment(&self, login: Login, name: &str) -> Environment {
        let mut environment = self.reaching(login.listener());
        let mut set = |property: &str, value: &str| {
            environment.push((variable(property), value.to_owned()));
        };
        match login {
            Login::Scram256 | Login::Scram512 => {
                let is_long = login == Login::Scram512;
                set("security.protocol", "SASL_SSL");
                set("sasl.mechanism", if is_long { "SCRAM-SHA-512" } else { "SCRAM-SHA-256" });
                set("sasl.username", name);
                set("sasl.password", PASSWORD);
            }
            Login::Certificate => {
                let issued = self.authority.issue_for_a_day(&self.folder, name, &[]);
                set("security.protocol", "SSL");
                set("ssl.certificate.location", text(&issued.certificate));
                set("ssl.key.location", text(&issued.key));
            }
            Login::Token => {
                set("security.protocol", "SASL_SSL");
                set("sasl.mechanism", "OAUTHBEARER");
                set("sasl.oauthbearer.method", "oidc");
                set("sasl.oauthbearer.token.endpoint.url", &self.tokens.url());
                set("sasl.oauthbearer.client.id", name);
                set("sasl.oauthbearer.client.secret", tokens::SECRET);
                set("sasl.oauthbearer.scope", "kafka");
                set("https.ca.location", text(&self.authority.file));
            }
        }
        environment
    }

    /// A listener of the brokers, whose certificates are trusted.
    fn reaching(&self, listener: &str) -> Environment {
        // The certificate names the host by name, too.
        let address = self.kafka.listener(listener).replace("127.0.0.1", "localhost");
        vec![
            ("ASSENT__KAFKA__BOOTSTRAP_SERVERS".to_owned(), address),
            (variable("ssl.ca.location"), text(&self.authority.file).to_owned()),
        ]
    }
}

/// `kafka.properties.<property>` as a variable.
fn variable(property: &str) -> String {
    format!("ASSENT__KAFKA__PROPERTIES__{}", property.to_uppercase().replace('.', "_"))
}

/// With this property set, or left out.
fn with(mut environment: Environment, property: &str, value: Option<&str>) -> Environment {
    let name = variable(property);
    environment.retain(|(known, _)| *known != name);
    environment.extend(value.map(|value| (name, value.to_owned())));
    environment
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A `run` that begins where it should be refused would not end by itself.
const ENDS_WITHIN: Duration = Duration::from_secs(90);

fn run_as(shop: &Shop<'_>, environment: &Environment, arguments: &[&str]) -> Finished {
    let folder = tempfile::tempdir_in(shop.folder()).expect("a folder");
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    let mut child = shop
        .command(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdout(File::create(&out).expect("a file"))
        .stderr(File::create(&err).expect("a file"))
        .spawn()
        .expect("the program starts");
    let deadline = Instant::now() + ENDS_WITHIN;
    let read = |path| std::fs::read_to_string(path).expect("UTF-8");
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            let (code, stdout, stderr) = (status.code(), read(&out), read(&err));
            return Finished { code, stdout, stderr };
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{arguments:?} does not end: {}", read(&err));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// As [`crate::support::Service`] takes them.
fn borrowed(environment: &Environment) -> Vec<(&str, &str)> {
    environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// What was said besides the log's INFO lines, the one that announces what follows, and what a machine that has no time
/// for its clients says of itself.
fn told(finished: &Finished) -> Vec<&str> {
    let is_log = |line: &str| {
        let words = [" INFO ", "stopping with a message", "abandoning it and its client"];
        words.iter().any(|words| line.contains(words))
    };
    finished.stderr.lines().filter(|line| !is_log(line)).collect()
}

fn settings(folder: &Path, authority: &Authority, keystores: [&Issued; 3]) -> Vec<String> {
    let [broker, elsewhere, expired] = keystores.map(|issued| text(&issued.both));
    let jwks = format!("file://{}/jwks.json", folder.display());
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let oauth = "org.apache.kafka.common.security.oauthbearer";
    let setting = |name: &str, value: &str| format!("{name}={value}");
    let mut settings = vec![
        setting("ssl.keystore.type", "PEM"),
        setting("ssl.keystore.location", broker),
        setting("ssl.truststore.type", "PEM"),
        setting("ssl.truststore.location", text(&authority.file)),
        setting("listener.name.mtls.ssl.client.auth", "required"),
        setting("listener.name.scram.sasl.enabled.mechanisms", "SCRAM-SHA-256,SCRAM-SHA-512"),
        setting("listener.name.scram.scram-sha-256.sasl.jaas.config", scram),
        setting("listener.name.scram.scram-sha-512.sasl.jaas.config", scram),
        setting("listener.name.oauth.sasl.enabled.mechanisms", "OAUTHBEARER"),
        setting(
            "listener.name.oauth.oauthbearer.sasl.jaas.config",
            &format!("{oauth}.OAuthBearerLoginModule required;"),
        ),
        setting(
            "listener.name.oauth.oauthbearer.sasl.server.callback.handler.class",
            &format!("{oauth}.OAuthBearerValidatorCallbackHandler"),
        ),
        setting("listener.name.oauth.oauthbearer.sasl.oauthbearer.jwks.endpoint.url", &jwks),
        setting("listener.name.oauth.oauthbearer.sasl.oauthbearer.expected.audience", AUDIENCE),
        setting("listener.name.oauth.oauthbearer.sasl.oauthbearer.expected.issuer", ISSUER),
        setting("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
        setting("super.users", "User:ANONYMOUS"),
    ];
    for (listener, keystore) in [("elsewhere", elsewhere), ("expired", expired)] {
        let prefix = format!("listener.name.{listener}.ssl.keystore");
        settings.push(setting(&format!("{prefix}.type"), "PEM"));
        settings.push(setting(&format!("{prefix}.location"), keystore));
    }
    settings
}

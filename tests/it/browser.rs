//! The browser side: clients/js by itself, and the toy shop of examples/shop in headless Chromium, with a real
//! Kafka, `assent run` and `assent serve` behind it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::support::{
    Assent, Finished, LeftOut, Plan, Service, Shop, leave_out, meanwhile, wait_until,
};

/// In README.md; larger ones make every clone slower.
const PICTURE: &str = "docs/shop.png";
const PICTURE_BYTES_MAX: u64 = 150_000;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn node() -> Result<Command, LeftOut> {
    let asked = Command::new("node").arg("--version").output();
    let version = asked.map(|asked| String::from_utf8_lossy(&asked.stdout).into_owned());
    let version = version.unwrap_or_default();
    let major = version.strip_prefix('v').and_then(|it| it.split('.').next()?.parse::<u32>().ok());
    if major.is_some_and(|major| major >= 20) {
        return Ok(Command::new("node"));
    }
    Err(LeftOut::because("Node.js 20 is not there; install it, then scripts/browser-tools"))
}

/// What `scripts/browser-tools` installs.
pub struct Tools {
    packages: PathBuf,
    chromium: PathBuf,
}

pub fn tools() -> Result<Tools, LeftOut> {
    node()?;
    let packages = root().join("target/tools/browser/node_modules");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut programs = std::env::split_paths(&path).map(|folder| folder.join("chromium"));
    match programs.find(|program| program.exists()) {
        Some(chromium) if packages.exists() => Ok(Tools { packages, chromium }),
        _ => {
            Err(LeftOut::because("Chromium or its driver is not there; run scripts/browser-tools"))
        }
    }
}

#[test]
fn the_client_of_pages_keeps_what_it_promises() {
    let mut node = match node() {
        Ok(node) => node,
        Err(why) => return leave_out(&why),
    };
    Finished::of(node.arg("--test").current_dir(root().join("clients/js"))).ok();
}

#[test]
fn the_types_of_the_client_are_those_of_what_it_does() {
    let tools = match tools() {
        Ok(tools) => tools,
        Err(why) => return leave_out(&why),
    };
    let mut compiler = Command::new(tools.packages.join(".bin/tsc"));
    compiler.args(["--noEmit", "--strict", "--module", "nodenext", "--target", "esnext"]);
    compiler.args(["--lib", "esnext,dom", "tests/browser/usage.mts"]).current_dir(root());
    Finished::of(&mut compiler).ok();
}

/// examples/shop/server.mjs, which ends with this value.
struct ShopServer {
    child: Child,
    address: String,
}

impl ShopServer {
    fn start(assent: &str, secrets: &Path) -> Self {
        let mut command = Command::new("node");
        command.arg(root().join("examples/shop/server.mjs")).args(["--listen", "0"]);
        // A debug build on a machine that other tests share is slow; clients/js tests the 150 ms.
        command.args(["--lookup-ms", "3000", "--assent", assent]);
        command.arg("--secrets").arg(secrets).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("node starts");
        let mut told = BufReader::new(child.stdout.take().expect("its output"));
        let mut line = String::new();
        told.read_line(&mut line).expect("a line");
        let address = line.trim().trim_end_matches('/').rsplit(' ').next().expect("an address");
        assert!(address.starts_with("http://127.0.0.1:"), "{line}");
        Self { child, address: address.to_owned() }
    }
}

impl Drop for ShopServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the tests of a file in tests/browser on the page at this address.
pub fn in_chromium(tools: &Tools, tests: &str, shop: &str, environment: &[(&str, &Path)]) {
    let mut browser = Command::new("node");
    browser.args(["--test", "--test-reporter", "spec"]).arg(format!("tests/browser/{tests}"));
    browser.current_dir(root()).env("SHOP", shop).env("CHROMIUM", &tools.chromium);
    browser.env("TOOLS", root().join("target/tools/browser")).envs(environment.iter().copied());
    let done = Finished::of(&mut browser);
    assert_eq!(done.code, Some(0), "{}\n{}", done.stdout, done.stderr);
}

/// The shop's server wants to know where Assent is, and Assent where the shop's pages are: one of them has a
/// port that was free a moment ago.
fn free_address() -> String {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    free.local_addr().expect("its address").to_string()
}

/// The clients of examples/shop/assent.yaml.
fn settings() -> serde_json::Value {
    json!({"serve": {
        "clients": [
            {"id": "shop-server", "token_file": "shop-server.token",
             "allow": ["lookup", "events", "consent", "opt_out"]},
            {"id": "web", "token_file": "web.token",
             "allow": ["lookup", "events", "opt_out"], "publishable": true},
        ],
        "subject_tokens": {"key_file": "subject-token.secret", "issuer": "shop.example"},
    }})
}

#[test]
fn the_toy_shop_follows_consent_in_a_browser() {
    let tools = match tools() {
        Ok(tools) => tools,
        Err(why) => return leave_out(&why),
    };
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan { settings: settings(), ..Plan::default() });
    kafka.create_topics(&shop.served_topic_plans());
    for file in ["shop-server.token", "web.token", "subject-token.secret"] {
        let secret = format!("{file}-of-this-test-and-no-other-one");
        std::fs::write(shop.folder().join(file), secret).expect("written");
    }
    let listen = free_address();
    let assent = format!("http://{listen}");
    let server = ShopServer::start(&assent, shop.folder());
    let run = Service::start(&shop, "a");
    let environment = [
        ("ASSENT__SERVE__LISTEN", listen.as_str()),
        ("ASSENT__SERVE__CORS_ORIGINS", server.address.as_str()),
    ];
    let serve = Service::start_serving(&shop, "s", &environment);
    run.await_ready();
    let is_wanted = std::env::var_os("UPDATE_DOCS").is_some();
    let picture = if is_wanted { root().join(PICTURE) } else { shop.folder().join("shop.png") };
    in_chromium(&tools, "shop.test.mjs", &server.address, &[("PICTURE", &picture)]);
    for picture in [picture, root().join(PICTURE)] {
        let bytes = std::fs::metadata(&picture).expect("the picture is there").len();
        assert!(bytes <= PICTURE_BYTES_MAX, "{}: {bytes} bytes", picture.display());
    }
    serve.stop();
    run.stop();
    let verified = shop.run(&["verify", "--json"]).ok().json();
    assert_eq!(verified["ok"], true, "{verified:#}");
}

#[test]
fn the_demo_serves_the_shop_and_a_live_view() {
    let tools = match tools() {
        Ok(tools) => tools,
        Err(why) => return leave_out(&why),
    };
    let mut command = Assent::command();
    command.args(["demo", "--for", "10s"]).stdout(Stdio::piped());
    let mut demo = command.spawn().expect("assent starts");
    let mut told = BufReader::new(demo.stdout.take().expect("its output"));
    let mut line = String::new();
    told.read_line(&mut line).expect("the first line");
    let address = line.trim().trim_end_matches('/').rsplit(' ').next().expect("an address");
    assert!(address.starts_with("http://127.0.0.1:"), "{line}");
    let rest = std::thread::spawn(move || {
        let mut rest = String::new();
        told.read_to_string(&mut rest).map(|_| rest)
    });
    // The demo's time may be over before Chromium is there: somebody looks at its page from the start.
    let look = || drop(ureq::get(&format!("{address}/live.json")).call());
    meanwhile(look, || in_chromium(&tools, "live.test.mjs", address, &[]));
    // Nobody looks any more, so that it ends by itself.
    let status = wait_until(Duration::from_mins(1), "the end of the demo", || {
        demo.try_wait().expect("a child")
    });
    assert_eq!(status.code(), Some(0));
    let rest = rest.join().expect("a thread").expect("UTF-8");
    for told in ["<- your browser", "somebody looks at the page", "opt-outs"] {
        assert!(rest.contains(told), "{told} is missing:\n{rest}");
    }
}

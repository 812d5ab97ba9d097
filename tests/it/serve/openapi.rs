//! The document of the API against the running service: schemathesis sends what it says may be sent, and what
//! it says may not.

use std::path::Path;
use std::process::Command;

use super::*;
use crate::support::{self, LeftOut};

fn schemathesis() -> Result<Command, LeftOut> {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/schemathesis");
    if made.exists() {
        return Ok(Command::new(made));
    }
    Err(LeftOut::because(
        "schemathesis is not there: python3 -m venv target/python && target/python/bin/pip install -r \
         .ci/requirements.txt",
    ))
}

#[test]
fn the_service_is_as_its_document_says() {
    let mut command = match schemathesis() {
        Ok(command) => command,
        Err(why) => return support::leave_out(&why),
    };
    let kafka = kafka_or_skip!();
    let shop = open(kafka);
    let serve = Service::start_serving(&shop, "s", &[]);
    let server = Caller::of(&serve, SERVER);
    let mut document = server.get("/v1/openapi.json").ok(200);
    assert_eq!(document["openapi"], "3.1.0");
    // What the service alone knows: its purposes.
    let schemas = &mut document["components"]["schemas"];
    schemas["LookupRequest"]["properties"]["purpose"]["enum"] = serde_json::json!([OFFERS, ADS]);
    schemas["OptOutRequest"]["properties"]["scope"]["enum"] =
        serde_json::json!(["sale_or_share", "all", OFFERS, ADS]);
    let file = shop.folder().join("openapi.json");
    std::fs::write(&file, document.to_string()).expect("written");
    command.current_dir(shop.folder()).arg("run").arg(&file);
    command.args(["--url", &format!("http://{}", server.address)]);
    command.args(["--header", &format!("Authorization: Bearer {SERVER}")]);
    // A document can't say that one of three fields must be there, nor which subjects there are.
    command.args(["--exclude-checks", "positive_data_acceptance"]);
    command.args(["--max-examples", "40", "--phases", "examples,coverage,fuzzing", "--seed", "14"]);
    command.args([
        "--suppress-health-check",
        "all",
        "--generation-database",
        ":memory:",
        "--no-color",
    ]);
    let done = command.output().expect("schemathesis runs");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    assert!(serve.log().lines().all(|line| !line.contains("panicked")), "{}", serve.log());
    serve.stop();
}

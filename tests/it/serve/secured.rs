//! `assent serve` over TLS and SASL/SCRAM with exactly the rights that `assent check --print-acls --serve` prints.

use serde_json::json;

use super::*;
use crate::faults::secured::{Secured, start};
use crate::support;

#[test]
fn it_serves_with_exactly_the_acls_that_are_printed() {
    ci_or_skip!();
    let folder = tempfile::tempdir().expect("temp dir");
    let (python, kafka) = match start(folder.path()) {
        Ok(started) => started,
        Err(why) => return support::leave_out(&why),
    };
    let shop = open(&kafka);
    let secured = Secured { python: &python, folder: folder.path(), shop: &shop };
    secured
        .grant_lines(&shop.run(&["check", "--print-acls", "User:assent", "--serve"]).ok().stdout);
    // On the broker's first listener `run` is nobody in particular and may do everything.
    let run = Service::start(&shop, "a");
    run.await_ready();
    let serve = Service::start_serving(&shop, "s", &secured.environment());
    let server = Caller::of(&serve, SERVER);
    bring_in(&server, "kim");
    let accepted =
        server.post("/v1/opt-out", &json!({"subject_id": "kim", "scope": "all"})).ok(202);
    server.await_honored(&accepted);
    let accepted = server.delete("/v1/subjects/kim").ok(202);
    server.await_honored(&accepted);
    let log = serve.log();
    assert!(!log.contains("AUTHORIZATION_FAILED") && !log.contains("not authorized"), "{log}");
    run.stop();
    serve.stop();
}

//! What keeps a login or TLS from coming about: one message each, which names the key and says what to do, for
//! `run`, `check` and a command that writes, and nothing of a secret.

use std::time::{Duration, Instant};

use super::{
    Environment, Login, PASSWORD, Secured, run_as, secured_or_skip, text, tokens, told, with,
};
use crate::support::Shop;

/// A command that has not said what is wrong by then waits for what waiting does not fix. A machine that compiles
/// meanwhile takes longer.
const WITHIN: Duration = Duration::from_secs(25);

struct Fault {
    name: &'static str,
    environment: Environment,
    code: i32,
    /// How the message begins, after `assent: `, and what it says besides.
    begins: &'static str,
    says: &'static [&'static str],
}

#[test]
fn each_fault_is_one_message_that_says_what_to_do() {
    let secured = secured_or_skip!();
    let shop = secured.shop("faults-1");
    let faults = [
        of_brokers(secured),
        of_clients(secured, &shop),
        names(secured, &shop),
        tokens_of(secured, &shop),
    ];
    for Fault { name, environment, code, begins, says } in faults.into_iter().flatten() {
        for command in [&["run"][..], &["check"], &["heartbeat"]] {
            let began = Instant::now();
            let ended = run_as(&shop, &environment, command);
            let took = began.elapsed();
            assert_eq!(ended.code, Some(code), "{name}: {ended:?}");
            let lines = told(&ended);
            let [line] = lines[..] else { panic!("{name}: one message, not {lines:#?}") };
            assert!(line.starts_with(&format!("assent: {begins}")), "{name}: {line}");
            for words in says {
                assert!(line.contains(words), "{name}: {line}\nlacks {words}");
            }
            assert!(!line.contains(PASSWORD) && !line.contains(tokens::SECRET), "{name}: {line}");
            assert!(!line.contains("wr0ng"), "{name}: {line}");
            let is_patient = code == 69 && command == ["run"];
            assert!(is_patient || took < WITHIN, "{name}: {took:?}");
        }
    }
}

/// Of TLS and certificates.
fn fault(
    name: &'static str,
    environment: Environment,
    begins: &'static str,
    says: &'static [&'static str],
) -> Fault {
    Fault { name, environment, code: 78, begins, says }
}

const CA: &str = "ssl.ca.location";

fn of_brokers(secured: &Secured) -> Vec<Fault> {
    let on = |listener: &str| with(secured.reaching(listener), "security.protocol", Some("SSL"));
    let by_address = on("ELSEWHERE")
        .into_iter()
        .map(|(name, value)| (name, value.replace("localhost", "127.0.0.1")));
    let (not_trusted, no_trust): (_, &[&str]) = (
        "kafka.properties.ssl.ca.location: the certificate of localhost:",
        &["is not trusted", "; set the file of the authority that signed it"],
    );
    let other_host: &[&str] = &["was issued for another host", "; use a host name"];
    vec![
        fault(
            "another authority",
            with(on("TLS"), CA, Some(text(&secured.stranger.file))),
            not_trusted,
            no_trust,
        ),
        fault("the system's authorities", with(on("TLS"), CA, None), not_trusted, no_trust),
        fault(
            "an expired certificate",
            on("EXPIRED"),
            "kafka.bootstrap_servers: the certificate of localhost:",
            &["has expired", "; renew it on the brokers, or correct the clock"],
        ),
        fault(
            "another host",
            on("ELSEWHERE"),
            "kafka.bootstrap_servers: the certificate of localhost:",
            other_host,
        ),
        fault(
            "another host, by address",
            by_address.collect(),
            "kafka.bootstrap_servers: the certificate of 127.0.0.1:",
            other_host,
        ),
        fault(
            "a file that is not there",
            with(on("TLS"), CA, Some("/nowhere/ca.pem")),
            "kafka.properties.ssl.ca.location: /nowhere/ca.pem: ",
            &["; check the path"],
        ),
    ]
}

fn of_clients(secured: &Secured, shop: &Shop<'_>) -> Vec<Fault> {
    let own = secured.environment(Login::Certificate, &format!("c-{}", shop.name));
    let issued = |authority: &super::Authority, name: &str, ends_in_s: i64| {
        let issued = authority.issue(&secured.folder, name, &[], ends_in_s);
        let (certificate, key) = (text(&issued.certificate), text(&issued.key));
        let environment = with(own.clone(), "ssl.certificate.location", Some(certificate));
        with(environment, "ssl.key.location", Some(key))
    };
    let without = with(own.clone(), "ssl.certificate.location", None);
    let begins = "kafka.properties.ssl.certificate.location: localhost:";
    let says: &[&str] = &["ssl.key.location to a certificate that the brokers trust"];
    let stranger = issued(&secured.stranger, "a-stranger", 3_600);
    let former = issued(&secured.authority, "a-former", -3_600);
    vec![
        fault("no certificate", with(without, "ssl.key.location", None), begins, says),
        fault("a certificate of another authority", stranger, begins, says),
        fault("an expired certificate of one's own", former, begins, says),
    ]
}

fn names(secured: &Secured, shop: &Shop<'_>) -> Vec<Fault> {
    let name = format!("known-{}", shop.name);
    let known = secured.grant(shop, Login::Scram512, &name, &[]);
    let fault = |name, environment| Fault {
        name,
        environment,
        code: 78,
        begins: "kafka.properties.sasl: localhost:",
        says: &["refuses the login", "check sasl.mechanism, sasl.username and sasl.password"],
    };
    let elsewhere = secured.kafka.listener("TLS").replace("127.0.0.1", "localhost");
    let to_no_login = known.iter().cloned().map(|(name, value)| {
        let is_address = name.ends_with("BOOTSTRAP_SERVERS");
        (name, if is_address { elsewhere.clone() } else { value })
    });
    let mut to_no_login = fault("a listener without logins", to_no_login.collect());
    to_no_login.begins = "kafka.properties";
    to_no_login.says = &[];
    vec![
        fault("a wrong password", with(known.clone(), "sasl.password", Some("wr0ng"))),
        fault("an unknown user", with(known.clone(), "sasl.username", Some("nobody"))),
        fault("a mechanism that is off", with(known, "sasl.mechanism", Some("PLAIN"))),
        to_no_login,
    ]
}

fn tokens_of(secured: &Secured, shop: &Shop<'_>) -> Vec<Fault> {
    let known = secured.environment(Login::Token, &format!("t-{}", shop.name));
    let url = "sasl.oauthbearer.token.endpoint.url";
    let begins = "kafka.properties.sasl.oauthbearer.token.endpoint.url: https://localhost:";
    let fault = |name, environment, code, says| Fault { name, environment, code, begins, says };
    let stranger = text(&secured.stranger.file);
    let elsewhere = secured.environment(Login::Token, "elsewhere");
    let mut for_others =
        fault("a token for others", elsewhere, 78, &["refuses the login", "sasl.oauthbearer"][..]);
    for_others.begins = "kafka.properties.sasl: localhost:";
    vec![
        fault(
            "a wrong secret",
            with(known.clone(), "sasl.oauthbearer.client.secret", Some("wr0ng")),
            78,
            &["401, invalid_client: unknown client", "check sasl.oauthbearer.client.id"],
        ),
        fault(
            "a token server of another authority",
            with(known.clone(), "https.ca.location", Some(stranger)),
            78,
            &["TLS fails", "kafka.properties.https.ca.location"],
        ),
        fault(
            "no token server",
            with(known, url, Some("https://localhost:1/token")),
            69,
            &["check the address, and that the OAuth server runs"],
        ),
        for_others,
    ]
}

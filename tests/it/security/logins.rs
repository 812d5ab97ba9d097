//! Each way to log in: `run` decides and `verify` is clean, with the printed ACLs and nothing more; TLS alone; and
//! tokens that end.

use std::time::Duration;

use super::{
    LOGINS, Login, PASSWORD, Secured, borrowed, run_as, secured_or_skip, tokens, told, with,
};
use crate::support::{Service, Shop, consent, latest, view, wait_until};

const WITHIN: Duration = Duration::from_mins(1);

/// Somebody who looked often enough is in both purposes.
pub fn decide(secured: &Secured, shop: &Shop<'_>, subject: &str) {
    let purposes = [super::OFFERS, super::ADS];
    secured.kafka.produce([shop.consent(&consent(subject, 1, "GRANTED", &purposes))]);
    secured.kafka.produce((0..2).map(|_| shop.click(&view(subject))));
}

pub fn await_live(shop: &Shop<'_>, count: usize) {
    wait_until(WITHIN, "live keys", || {
        let live = |purpose: &str| latest(&shop.committed(&format!("segments.{purpose}"))).len();
        (live(super::OFFERS) == count && live(super::ADS) == count).then_some(())
    });
}

#[test]
fn it_runs_with_each_login_and_exactly_the_acls_that_it_prints() {
    let secured = secured_or_skip!();
    for login in LOGINS {
        let shop = secured.shop("logins-1");
        let assent = secured.grant(&shop, login, &format!("assent-{}", shop.name), &[]);
        let checked = run_as(&shop, &assent, &["check"]).ok();
        assert!(checked.stdout.contains("this user may do what `run` does"), "{}", checked.stdout);
        let service = Service::start_with(&shop, "a", &borrowed(&assent));
        service.await_ready();
        decide(secured, &shop, "kim");
        await_live(&shop, 1);
        for line in ["WARN", "ERROR"] {
            assert!(!service.log().contains(line), "{login:?}: {}", service.log());
        }
        service.stop();
        let verifier = format!("verifier-{}", shop.name);
        let verifier = secured.grant(&shop, login, &verifier, &["--verifier"]);
        run_as(&shop, &verifier, &["verify"]).ok();
    }
}

/// Encrypted, and nobody asks who is there.
#[test]
fn tls_alone_is_enough_where_brokers_ask_nobody() {
    let secured = secured_or_skip!();
    let shop = secured.shop("logins-2");
    let plain = secured.reaching("TLS");
    let encrypted = with(plain, "security.protocol", Some("SSL"));
    run_as(&shop, &encrypted, &["check"]).ok();
    run_as(&shop, &encrypted, &["consent", "put", "kim", "--age-band", "from-18"]).ok();
    let shown = run_as(&shop, &encrypted, &["consent", "show", "kim", "--json"]).ok().json();
    assert_eq!(shown["subject_id"], "kim");
}

/// Both sessions and tokens end several times; then there are none to be had for a while.
#[test]
fn a_run_outlasts_its_tokens_and_a_token_server_that_is_down() {
    // A token server of its own: the others' tokens last.
    let secured = match Secured::start_in("tokens") {
        Ok(secured) => secured,
        Err(why) => return crate::support::leave_out(&why),
    };
    secured.tokens.set_life(Duration::from_secs(6));
    let shop = secured.shop("logins-3");
    let assent = secured.grant(&shop, Login::Token, &format!("assent-{}", shop.name), &[]);
    let service = Service::start_with(&shop, "a", &borrowed(&assent));
    service.await_ready();
    let given = secured.tokens.given();
    for round in 1..=6 {
        decide(&secured, &shop, &format!("kim-{round}"));
        await_live(&shop, round);
        std::thread::sleep(Duration::from_secs(3));
    }
    assert!(secured.tokens.given() >= given + 3, "tokens were renewed");
    assert!(!service.log().contains("partitions lost"), "{}", service.log());
    let counted = |metric: &str| service.metrics().count(metric, &[("result", "aborted")]);
    assert_eq!(counted("assent_transactions_total"), 0);

    secured.tokens.set_down(true);
    wait_until(WITHIN, "not ready for want of a login", || {
        let (status, body) = service.readyz();
        let why = body["halted"].as_str().unwrap_or_default();
        (status == 503 && why.contains("sasl.oauthbearer.token.endpoint.url")).then_some(())
    });
    assert_eq!(service.metrics().count("assent_access_refused", &[("resource", "login")]), 1);
    decide(&secured, &shop, "kim-7");
    secured.tokens.set_down(false);
    await_live(&shop, 7);
    service.await_ready();
    assert_eq!(service.metrics().count("assent_access_refused", &[]), 0);
    let log = service.log();
    assert!(!log.contains(tokens::SECRET) && !log.contains("access_token"), "{log}");
    service.stop();
}

/// A password that is changed under a run: who is connected stays, who connects anew does not get in.
#[test]
fn a_login_that_is_refused_names_the_user_and_not_the_password() {
    let secured = secured_or_skip!();
    let shop = secured.shop("logins-4");
    let name = format!("assent-{}", shop.name);
    let assent = secured.grant(&shop, Login::Scram512, &name, &[]);
    let wrong = with(assent, "sasl.password", Some("wrong h0rse"));
    let ended = run_as(&shop, &wrong, &["run"]);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    let told = told(&ended);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("kafka.properties.sasl") && told[0].contains("sasl.password"));
    assert!(!told[0].contains("wrong h0rse") && !told[0].contains(PASSWORD), "{}", told[0]);
}

//! A right that is taken away while Assent runs shows in /readyz, in the log and in a metric; nothing is decided
//! past it; and it comes back by itself once the right does.

use std::time::{Duration, Instant};

use super::lacking::{Grant, assent, each};
use super::logins::{await_live, decide};
use super::{ADS, OFFERS, Secured, borrowed, run_as, secured_or_skip};
use crate::support::{Service, Shop, consent, latest, pseudonym, wait_until};

/// A look is made every 5 s, and at once where a client is refused.
const SHOWN_WITHIN: Duration = Duration::from_secs(20);
const BACK_WITHIN: Duration = Duration::from_mins(1);

const PURPOSES: [&str; 2] = [OFFERS, ADS];

#[test]
fn a_right_that_is_taken_away_shows_and_comes_back_by_itself() {
    ci_or_skip!();
    let secured = secured_or_skip!();
    let shop = secured.shop("taken-1");
    let (environment, printed) = assent(secured, &shop);
    let service = Service::start_with(&shop, "a", &borrowed(&environment));
    service.await_ready();
    decide(secured, &shop, "kim-0");
    await_live(&shop, 1);
    for (person, grant) in (1..).zip(each(&printed)) {
        taken_and_given(secured, &shop, &service, &grant, person);
    }
    assert_eq!(service.metrics().count("assent_invariant_violations_total", &[]), 0);
    service.stop();
    let verifier = format!("verifier-{}", shop.name);
    let verifier = secured.grant(&shop, super::Login::Scram512, &verifier, &["--verifier"]);
    run_as(&shop, &verifier, &["verify"]).ok();
}

/// The person before is live; meanwhile they opt out, and this one comes.
fn taken_and_given(
    secured: &Secured,
    shop: &Shop<'_>,
    service: &Service,
    grant: &Grant,
    person: usize,
) {
    let what = format!("{} {}", grant.operation, grant.resource);
    let began = Instant::now();
    secured.obey(None, &grant.taken_by());
    let (former, new) = (format!("kim-{}", person - 1), format!("kim-{person}"));
    secured.kafka.produce([shop.consent(&consent(&former, 2, "DENIED", &PURPOSES))]);
    decide(secured, shop, &new);
    let said = grant.is_told();
    wait_until(SHOWN_WITHIN, &format!("/readyz says {what}"), || {
        let (status, body) = service.readyz();
        let halted = body["halted"].as_str().unwrap_or_default();
        (status == 503 && body["ready"] == false && halted.contains(&said)).then_some(())
    });
    let shown = began.elapsed();
    assert_eq!(service.metrics().count("assent_access_refused", &[]), 1, "{what}");
    assert_eq!(service.metrics().count("assent_access_refused", &[("resource", label(grant))]), 1);
    std::thread::sleep(Duration::from_secs(12));
    let log = service.log();
    let lines = log.lines().filter(|line| line.contains("WARN") && line.contains(&said));
    assert_eq!(lines.count(), 1, "{what}: once a minute\n{log}");

    secured.obey(None, &grant.given_by);
    let began = Instant::now();
    wait_until(BACK_WITHIN, &format!("readiness after {what}"), || {
        (service.readyz().0 == 200).then_some(())
    });
    for purpose in PURPOSES {
        let expect = vec![pseudonym(purpose, &new).into_bytes()];
        wait_until(BACK_WITHIN, &format!("the opt-out and the newcomer after {what}"), || {
            let live = latest(&shop.committed(&format!("segments.{purpose}")));
            (live.into_keys().collect::<Vec<_>>() == expect).then_some(())
        });
    }
    eprintln!("{what}: shown after {shown:?}, back after {:?}", began.elapsed());
    assert_eq!(service.metrics().count("assent_access_refused", &[]), 0, "{what}");
    let over =
        service.log().lines().filter(|it| it.contains("no longer: ") && it.contains(&said)).count();
    assert_eq!(over, 1, "{what}");
}

fn label(grant: &Grant) -> &'static str {
    let says = |part: &str| grant.resource.contains(part);
    match () {
        () if grant.resource.starts_with("the group") => "kafka.group_id",
        () if grant.resource.starts_with("the trans") => "transactional_id",
        () if says(".segments.") => "topics.segments",
        () if says("clickstream") => "topics.clickstream",
        () if says("consent-changelog") => "topics.consent",
        () if says("contextual") => "topics.contextual",
        () if says("segmentation-audit") => "topics.audit",
        () if says("state") => "topics.state",
        () => "topics.dead_letters",
    }
}

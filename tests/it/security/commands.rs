//! Every command that talks to Kafka, each as somebody who has the grants that are printed for it and nothing more;
//! and those same people at the doors that are not theirs.

use super::logins::{await_live, decide};
use super::{
    ADS, Environment, LOGINS, Login, OFFERS, Secured, borrowed, run_as, secured_or_skip, told,
};
use crate::support::{Service, Shop};

/// Who does what.
struct People<'s> {
    secured: &'s Secured,
    shop: &'s Shop<'s>,
    login: Login,
}

impl People<'_> {
    fn be(&self, name: &str, roles: &[&[&str]]) -> Environment {
        let name = format!("{name}-{}", self.shop.name);
        for role in roles {
            self.secured.grant(self.shop, self.login, &name, role);
        }
        self.secured.environment(self.login, &name)
    }
}

#[test]
fn every_command_works_with_the_grants_that_are_printed_for_it() {
    let secured = secured_or_skip!();
    for login in LOGINS {
        every_command_works(secured, login);
    }
}

fn every_command_works(secured: &Secured, login: Login) {
    let shop = secured.shop_with_canary("commands-1");
    let people = People { secured, shop: &shop, login };
    let assent = people.be("assent", &[&[]]);
    let service = Service::start_with(&shop, "a", &borrowed(&assent));
    service.await_ready();
    decide(secured, &shop, "kim");
    await_live(&shop, 1);

    let verifier = people.be("verifier", &[&["--verifier"]]);
    let mail = people.be("mail", &[&["--reader", OFFERS]]);
    let cmp = people.be("cmp", &[&["--writer", "consent"]]);
    let support = people.be("support", &[&["--reader", "consent"]]);
    let shop_itself = people.be("shop", &[&["--writer", "consent"], &["--writer", "clickstream"]]);
    let ops = people.be("ops", &[&["--reader", "dead-letters"]]);
    let creator = people.be("creator", &[&["--creator"]]);
    let canary = people.be("canary", &[&["--canary"]]);
    let clicks = shop.folder().join("clicks.jsonl");
    std::fs::write(
        &clicks,
        "{\"event_id\":\"e\",\"session_id\":\"s\",\"occurred_at\":1,\"kind\":\"PAGE_VIEW\"}\n",
    )
    .expect("written");
    let clicks = clicks.to_str().expect("UTF-8");
    let grant = format!("{OFFERS}=granted");
    for (who, command) in [
        (&cmp, &["consent", "put", "lee", "--age-band", "from-18", "--purpose", &grant][..]),
        (&cmp, &["consent", "withdraw", "lee"]),
        (&cmp, &["consent", "erase", "lee"]),
        (&cmp, &["heartbeat"]),
        (&cmp, &["consent", "show", "kim"]),
        (&support, &["consent", "show", "kim", "--json"]),
        (&shop_itself, &["generate", "--subjects", "5", "--clicks", "20"]),
        (&shop_itself, &["replay", clicks, "--shift-to", "now"]),
        (&mail, &["segments", "list", "--purpose", OFFERS, "--json"]),
        (&mail, &["segments", "get", "--subject", "kim", "--purpose", OFFERS]),
        (&ops, &["dead-letters", "list", "--json"]),
        (&canary, &["canary", "--once"]),
        (&creator, &["topics", "create", "--partitions", "2"]),
        (&assent, &["check"]),
        (&verifier, &["verify", "--json"]),
        (&verifier, &["report", "readers", "--json"]),
        (&verifier, &["rules", "shadow", "rulebook.yaml", "--json"]),
    ] {
        let ended = run_as(&shop, who, command).ok();
        let warned = told(&ended).iter().any(|line| line.contains("WARN") || line.contains('%'));
        assert!(!warned, "{login:?} {command:?}: {}", ended.stderr);
    }
    let mut other_port = assent.clone();
    other_port.push(("ASSENT__HTTP__LISTEN".to_owned(), service.address().to_owned()));
    run_as(&shop, &other_port, &["wait-ready", "--caught-up"]).ok();
    service.stop();
    run_as(&shop, &assent, &["state", "accept-loss"]).ok();
    run_as(&shop, &verifier, &["keys", "rotate"]).ok();
    let early = run_as(&shop, &verifier, &["keys", "retire", "1"]);
    assert!(early.code == Some(1) && early.stderr.contains("live keys"), "{early:?}");
}

/// Marketing reads one purpose and nothing else; the auditor writes nothing.
#[test]
fn everybody_is_refused_what_is_not_theirs() {
    let secured = secured_or_skip!();
    let shop = secured.shop("commands-2");
    let people = People { secured, shop: &shop, login: Login::Scram512 };
    let mail = people.be("mail", &[&["--reader", OFFERS]]);
    let auditor = people.be("auditor", &[&["--reader", "audit"]]);
    let verifier = people.be("verifier", &[&["--verifier"]]);
    let cmp = people.be("cmp", &[&["--writer", "consent"]]);
    let stranger = people.be("stranger", &[]);
    secured.obey(Some(&format!("stranger-{}", shop.name)), "");
    let everything: &[&[&str]] = &[
        &["segments", "list", "--purpose", ADS],
        &["segments", "list"],
        &["consent", "show", "kim"],
        &["consent", "put", "kim", "--age-band", "from-18"],
        &["consent", "erase", "kim"],
        &["heartbeat"],
        &["generate", "--clicks", "1"],
        &["dead-letters", "list"],
        &["verify"],
        &["state", "accept-loss"],
        &["run"],
    ];
    let writing = ["put", "erase", "heartbeat", "generate", "accept-loss", "run"];
    let writes = |command: &&&[&str]| command.iter().any(|word| writing.contains(word));
    let is_of_consent = |command: &&&[&str]| ["consent", "heartbeat"].contains(&command[0]);
    let mut refused: Vec<(&Environment, &[&str])> = Vec::new();
    refused.extend(everything.iter().map(|command| (&stranger, *command)));
    refused.extend(everything.iter().map(|command| (&mail, *command)));
    refused.extend(everything.iter().map(|command| (&auditor, *command)));
    refused.extend(everything.iter().filter(writes).map(|command| (&verifier, *command)));
    refused.extend(everything.iter().filter(|it| !is_of_consent(it)).map(|it| (&cmp, *it)));
    for (who, command) in refused {
        let ended = run_as(&shop, who, command);
        let who = &who.iter().find(|(name, _)| name.ends_with("USERNAME")).expect("a name").1;
        assert_eq!(ended.code, Some(78), "{who} {command:?}: {ended:?}");
        let lines = told(&ended);
        let [line] = lines[..] else { panic!("{who} {command:?}: {lines:#?}") };
        assert!(line.contains("this user may not "), "{who} {command:?}: {line}");
        let fix = format!("--allow-principal User:{who} --operation ");
        assert!(line.contains(&fix), "{who} {command:?}: {line}\nlacks {fix}");
    }
    // Whatever the program thinks: the brokers themselves let nobody write.
    for topic in ["clickstream", "consent-changelog", "segmentation-audit", "assent-state"] {
        assert!(shop.committed(topic).is_empty(), "{topic}");
    }
    // And what is theirs is there.
    run_as(&shop, &mail, &["segments", "list", "--purpose", OFFERS]).ok();
}

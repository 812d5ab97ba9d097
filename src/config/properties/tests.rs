//! The table against librdkafka itself, and the refusals.

use std::collections::{BTreeMap, BTreeSet};

use super::table::{ALLOWED, REFUSED};
use super::*;

/// Every name that can be written, aliases included, with a value that is within its bounds.
fn written() -> Vec<(&'static str, String)> {
    let value = |allowed: &Allowed| match allowed.value {
        Value::Any => "1".to_owned(),
        Value::Whole(least, _) => least.to_string(),
        Value::OneOf(words) => words[0].to_owned(),
    };
    let names = |allowed: &'static Allowed| {
        let value = value(allowed);
        std::iter::once(&allowed.name)
            .chain(allowed.aliases)
            .map(move |name| (*name, value.clone()))
    };
    ALLOWED.iter().flat_map(names).collect()
}

#[test]
fn what_is_listed_is_taken_within_its_bounds() {
    for (name, value) in written() {
        assert_eq!(check(name, &value), Ok(()), "{name}={value}");
    }
    for allowed in ALLOWED {
        if let Value::Whole(least, most) = allowed.value {
            assert_eq!(check(allowed.name, &most.to_string()), Ok(()), "{}", allowed.name);
            for outside in [least - 1, most + 1] {
                let refused = check(allowed.name, &outside.to_string()).unwrap_err();
                assert!(refused.contains("must be a whole number from"), "{}", allowed.name);
            }
        }
    }
}

#[test]
fn a_name_has_one_meaning() {
    let mut seen = BTreeSet::new();
    let refused = REFUSED.iter().flat_map(|(names, _)| names.iter().copied());
    for name in written().into_iter().map(|(name, _)| name).chain(refused) {
        assert!(seen.insert(name), "{name} stands in the table twice");
    }
    assert_eq!(canonical("compression.codec"), Some("compression.type"));
    assert_eq!(canonical("sasl.mechanisms"), Some("sasl.mechanism"));
}

/// librdkafka takes one `topic.` off, and would overrule Assent's own value by chance.
#[test]
fn what_an_invariant_rests_on_is_refused_under_every_name() {
    for (names, reason) in REFUSED {
        for name in *names {
            for name in [(*name).to_owned(), format!("topic.{name}")] {
                let refused = check(&name, "1").unwrap_err();
                assert!(refused.contains(reason), "{name}: {refused}");
            }
        }
    }
    for name in ["topic.auto.offset.reset", "topic.acks", "topic.topic.acks"] {
        assert!(check(name, "1").is_err(), "{name}");
    }
    assert!(check("topic.linger.ms", "5").unwrap_err().contains("write linger.ms"));
}

#[test]
fn nothing_runs_code() {
    let names = ["plugin.library.paths", "topic.plugin.library.paths", "ssl.engine.location"];
    for name in names {
        assert!(check(name, "/tmp/evil.so").unwrap_err().contains("run foreign code"), "{name}");
    }
    assert!(check("sasl.kerberos.kinit.cmd", "touch /tmp/x").unwrap_err().contains("command"));
}

/// Whatever librdkafka comes to know, nothing of it is passed on unless it is listed.
#[test]
fn what_is_not_listed_is_refused() {
    let spelled = ["Acks", "ACKS", " acks", "acks ", "isolation.level\0", "no.such", ""];
    for name in spelled.into_iter().chain(["statistics.interval.ms", "error_cb", "opaque"]) {
        let refused = check(name, "1").unwrap_err();
        assert!(refused.contains("docs/configuration.md"), "{name}: {refused}");
    }
}

#[test]
fn a_value_is_never_repeated() {
    for name in ["linger.ms", "security.protocol", "sasl.mechanism", "ssl.cipher.suites"] {
        let refused = check(name, "s3cr3t").err().unwrap_or_default();
        assert!(!refused.contains("s3cr3t"), "{name}: {refused}");
    }
}

#[test]
fn a_login_is_whole_or_refused() {
    let check = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        check_together(&pairs.collect::<BTreeMap<_, _>>()).map_err(|(name, _)| name)
    };
    let user = [("sasl.username", "me"), ("sasl.password", "pw")];
    let with = |pairs: &[(&'static str, &'static str)]| check(&[pairs, &user].concat());
    assert_eq!(check(&[]), Ok(()));
    assert_eq!(check(&[("security.protocol", "SSL")]), Ok(()));
    assert_eq!(with(&[]), Err("security.protocol"));
    assert_eq!(with(&[("security.protocol", "ssl")]), Err("security.protocol"));
    assert_eq!(with(&[("security.protocol", "SASL_SSL")]), Err("sasl.mechanism"));
    let scram = [("security.protocol", "SASL_SSL"), ("sasl.mechanism", "SCRAM-SHA-512")];
    assert_eq!(with(&scram), Ok(()));
    assert_eq!(check(&scram), Err("sasl.username"));
    assert_eq!(check(&[&scram[..], &user[..1]].concat()), Err("sasl.password"));
    let token = [
        ("security.protocol", "sasl_ssl"),
        ("sasl.mechanism", "OAUTHBEARER"),
        ("sasl.oauthbearer.method", "oidc"),
        ("sasl.oauthbearer.token.endpoint.url", "https://login.example/token"),
        ("sasl.oauthbearer.client.id", "assent"),
        ("sasl.oauthbearer.client.secret", "pw"),
    ];
    assert_eq!(check(&token), Ok(()));
    for left_out in 2..token.len() {
        let mut rest = token.to_vec();
        let (name, _) = rest.remove(left_out);
        assert_eq!(check(&rest), Err(name));
    }
    assert_eq!(with(&token), Err("sasl.username"), "nobody logs in twice");
    assert_eq!(with(&[&scram[..], &token[2..]].concat()), Err("sasl.oauthbearer.method"));
    assert_eq!(check(&token[2..]), Err("security.protocol"));
}

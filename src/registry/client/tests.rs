//! What answers mean; and a registry, or whoever stands in its place, that means no good.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

use super::*;
use crate::clock::{Clock as _, SystemClock};

#[test]
fn only_the_apis_own_404_says_that_something_is_not_there() {
    let own = json!({"error_code": 40_403, "message": "Schema not found"});
    assert_eq!(judge(404, Some(own)), Ok(None));
    let generic = json!({"error_code": 404, "message": "HTTP 404 Not Found"});
    for other in [Some(generic), Some(json!({})), None] {
        assert!(matches!(judge(404, other), Err(RegistryError::Refused(_))));
    }
}

#[test]
fn what_may_pass_by_itself_is_told_from_what_a_person_must_change() {
    for status in [401, 403, 301] {
        assert!(matches!(judge(status, None), Err(RegistryError::Refused(_))), "{status}");
    }
    for status in [500, 502, 503, 429, 409] {
        assert!(matches!(judge(status, None), Err(RegistryError::Broken(_))), "{status}");
    }
    assert!(matches!(judge(200, None), Err(RegistryError::Broken(_))));
    let incompatible = json!({"error_code": 409, "message": "no\nway"});
    let conflict = RegistryError::Conflict("409: no\\nway".to_owned());
    assert_eq!(judge(409, Some(incompatible)), Err(conflict));
}

fn topics() -> Topics {
    Topics {
        clickstream: "clicks".to_owned(),
        consent: "consents".to_owned(),
        segments: "segments.{purpose}".to_owned(),
        contextual: "contextual".to_owned(),
        audit: "audit".to_owned(),
        state: "state".to_owned(),
        dead_letters: "letters".to_owned(),
        audit_access: "access".to_owned(),
        privacy_requests: "requests".to_owned(),
        reader_acks: "acks".to_owned(),
        identity_map: "identities".to_owned(),
        intake_state: "intake".to_owned(),
    }
}

/// A server that answers each request with what `answer` writes for its path, until it can't any more.
fn server(answer: impl Fn(&str, &mut TcpStream) -> std::io::Result<()> + Send + 'static) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut lines = BufReader::new(stream.try_clone().expect("a clone")).lines();
            let Some(Ok(first)) = lines.next() else { continue };
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let path = first.split(' ').nth(1).unwrap_or_default();
            let _ = answer(path, &mut stream);
        }
    });
    let config = SchemaRegistry { url, credentials: None, ca_file: None };
    Client::new(&config, &topics()).expect("a client")
}

fn reply(stream: &mut TcpStream, body: &str) -> std::io::Result<()> {
    let length = body.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

/// Registered under `subject`; the schema's text is asked for with a path of its own.
fn naming(subject: &'static str, schema: Value) -> Client {
    server(move |path, stream| {
        if path.contains("/versions") {
            return reply(stream, &json!([{"subject": subject, "version": 1}]).to_string());
        }
        reply(stream, &schema.to_string())
    })
}

#[test]
fn an_id_counts_under_its_topics_own_subject_alone() {
    let click = json!({"schema": SchemaName::ClickEvent.json()});
    let of = |subject| naming(subject, click.clone()).schema(7).expect("an answer");
    assert!(matches!(of("clicks-value"), Registered::Avro(_)));
    for strangers in ["clicks", "clicks-key", "other-value", "state-value", "x-clicks-value", ""] {
        assert!(matches!(of(strangers), Registered::Elsewhere), "{strangers}");
    }
    let known = |subject| match of(subject) {
        Registered::Avro(schema) => SchemaName::ALL.map(|name| schema.reads_as(name).is_ok()),
        _ => [false; SchemaName::ALL.len()],
    };
    let clicks = SchemaName::ALL.map(|name| name == SchemaName::ClickEvent);
    assert_eq!(known("clicks-value"), clicks);
    assert_eq!(known("consents-value"), [false; SchemaName::ALL.len()]);
    let topics = topics();
    let purpose = schema_of(&topics, "segments.ads-value");
    assert_eq!(purpose, Some(SchemaName::SegmentAssignment));
    assert_eq!(schema_of(&topics, "segments.No Purpose-value"), None);
}

#[test]
fn a_strangers_schema_is_not_even_asked_for() {
    let client = server(|path, stream| {
        assert!(path.contains("/versions"), "its text is asked for");
        reply(stream, r#"[{"subject": "strangers-value", "version": 1}]"#)
    });
    assert!(matches!(client.schema(7), Ok(Registered::Elsewhere)));
}

#[test]
fn schemas_that_are_none_or_too_much_are_told_at_once() {
    let started = SystemClock.instant();
    let unusable = |schema: Value, expect: &str| match naming("clicks-value", schema).schema(7) {
        Ok(Registered::Unusable(why)) => {
            assert!(why.contains(expect), "{why}");
            assert!(why.chars().count() < 300);
        }
        Err(error) => panic!("{error:?}"),
        _ => panic!("is usable"),
    };
    let long = json!({"type": "record", "name": "N".repeat(230_000), "fields": []});
    unusable(
        json!({"schema": "syntax = \"proto3\";", "schemaType": "PROTOBUF"}),
        "not an Avro schema",
    );
    unusable(json!({"schema": "{}", "schemaType": "JSON"}), "not an Avro schema");
    unusable(json!({"schema": "\"int\"", "references": [{"name": "a"}]}), "refers to schemas");
    unusable(json!({"schema": long.to_string()}), "a name of more than 512 bytes");
    unusable(json!({"schema": "[".repeat(200_000)}), "it is not JSON");
    unusable(json!({"schema": ""}), "it is not JSON");
    assert!(SystemClock.instant() - started < ANSWER_WITHIN * 2);
}

#[test]
fn no_answer_is_longer_or_slower_than_its_bound() {
    type Answer = fn(&str, &mut TcpStream) -> std::io::Result<()>;
    let hostile: [(&str, Answer); 7] = [
        ("a body without end", |_, stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            loop {
                stream.write_all(&[b' '; 4096])?;
            }
        }),
        ("a head without end", |_, stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
            loop {
                stream.write_all(b"x-more: and more\r\n")?;
            }
        }),
        ("a byte now and then", |_, stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            loop {
                stream.write_all(b" ")?;
                std::thread::sleep(Duration::from_millis(300));
            }
        }),
        ("another address", |_, stream| {
            stream.write_all(
                b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            )
        }),
        ("nonsense", |_, stream| reply(stream, "<html>welcome</html>")),
        ("depth", |_, stream| reply(stream, &"[".repeat(200_000))),
        ("no list", |_, stream| reply(stream, "{\"subject\": \"clicks-value\"}")),
    ];
    for (name, answer) in hostile {
        let client = server(answer);
        let started = SystemClock.instant();
        let Err(error) = client.schema(7) else { panic!("{name}: an answer") };
        let took = SystemClock.instant() - started;
        assert!(took < ANSWER_WITHIN * 2, "{name}: {took:?}");
        assert!(error.why().chars().count() <= 250, "{name}: {}", error.why());
    }
}

#[test]
fn what_a_registry_says_is_shown_on_one_line_and_not_at_length() {
    let said = json!({"error_code": 50_001, "message": format!("\u{1b}[2J{}", "x".repeat(9_000))});
    let Err(RegistryError::Broken(why)) = judge(500, Some(said)) else { panic!("is broken") };
    assert!(why.starts_with("500: \\u{1b}[2J") && why.chars().count() < 250, "{why}");
}

//! A keeper against a server of the test's own, on a port of this machine.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use zeroize::Zeroizing;

use super::*;

const WITHIN: Duration = Duration::from_secs(10);

/// Answers each request with the next of these, the last one for ever. The port, and the requests.
fn serve(answers: &[&str]) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut answers: Vec<String> = answers.iter().map(|&answer| answer.to_owned()).collect();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = [0; 4096];
            let mut size = 0;
            while !String::from_utf8_lossy(&request[..size]).contains("grant_type=") {
                size += connection.read(&mut request[size..]).unwrap();
            }
            lock(&noted).push(String::from_utf8_lossy(&request[..size]).into_owned());
            let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
            connection.write_all(answer.as_bytes()).unwrap();
        }
    });
    (port, asked)
}

fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn login(port: u16) -> OAuth {
    OAuth {
        url: format!("http://127.0.0.1:{port}/token"),
        client_id: "assent".to_owned(),
        client_secret: Zeroizing::new("s3cret".to_owned()),
        scope: Some("kafka write".to_owned()),
        extensions: Vec::new(),
        ca_file: None,
    }
}

#[test]
fn a_token_is_asked_for_with_id_and_secret_and_renewed_before_it_ends() {
    let token = answer("200 OK", r#"{"access_token": "opaque", "expires_in": 2}"#);
    let (port, asked) = serve(&[&token]);
    let keeper = Keeper::of(&login(port));
    assert_eq!(keeper.await_token(WITHIN), Ok(()));
    assert!(Arc::ptr_eq(&keeper, &Keeper::of(&login(port))), "one for each login");
    let deadline = SystemClock.instant() + WITHIN;
    while lock(&asked).len() < 2 && SystemClock.instant() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let asked = lock(&asked).clone();
    assert!(asked.len() >= 2, "renewed");
    // assent:s3cret
    assert!(asked[0].contains("Basic YXNzZW50OnMzY3JldA=="), "{}", asked[0]);
    assert!(asked[0].ends_with("grant_type=client_credentials&scope=kafka+write"), "{}", asked[0]);
}

#[test]
fn a_refusal_is_believed_at_once_and_says_what_to_check() {
    let refused = answer("401 Unauthorized", r#"{"error": "invalid_client"}"#);
    let (port, _) = serve(&[&refused]);
    let error = Keeper::of(&login(port)).await_token(WITHIN).unwrap_err();
    let TokenError::Refused(why) = &error else { panic!("{error:?}") };
    assert!(
        why.contains("gives no token (401, invalid_client); check sasl.oauthbearer.cl"),
        "{why}"
    );
    assert!(!why.contains("s3cret"), "{why}");
    assert_eq!(error.failure().exit, crate::failure::Exit::Config);
}

#[test]
fn a_server_that_comes_back_is_asked_again() {
    let (away, token) = (
        answer("503 Service Unavailable", "<html>"),
        answer("200 OK", r#"{"access_token": "opaque", "expires_in": 60}"#),
    );
    let (port, _) = serve(&[&away, &token]);
    let keeper = Keeper::of(&login(port));
    assert!(matches!(keeper.await_token(Duration::ZERO), Err(TokenError::Away(_))));
    assert_eq!(keeper.await_token(WITHIN), Ok(()));
    assert_eq!(keeper.last_error(), None);
}

#[test]
fn a_token_is_renewed_after_three_quarters_of_its_life() {
    assert_eq!(renewed_after(3_600_000), Duration::from_mins(45));
    assert_eq!(renewed_after(20), Duration::from_secs(1));
}

//! What a token endpoint answers, as far as a login needs it. Pure: it is given the time.
//!
//! A token that is a JWT says itself when it ends and whose it is; of one that isn't, the answer says how long
//! it lasts. No signature is checked: that is the brokers' part.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::config::OAuth;
use assent_contract::domain::foreign_text::shown;
use assent_contract::domain::time::Timestamp;

/// A token, for as long as it lasts.
pub struct Token {
    pub value: Zeroizing<String>,
    /// Later than when it came.
    pub expires: Timestamp,
    /// Whose it is, as far as the token says; the brokers judge for themselves.
    pub principal: String,
    pub extensions: Vec<(String, String)>,
}

/// Of a body that came with a 200. The error says what is wrong with it, and never what it holds.
pub fn read(body: &str, login: &OAuth, now: Timestamp) -> Result<Token, String> {
    let body: Value = serde_json::from_str(body).map_err(|_| "its answer is not JSON")?;
    let value = body["access_token"].as_str().filter(|value| !value.is_empty());
    let value = value.ok_or("its answer has no access_token")?;
    if value.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err("its access_token holds what no token may hold".to_owned());
    }
    let claims = claims(value).unwrap_or_default();
    let said = claims["exp"].as_f64().map(|seconds| (seconds * 1_000.0) as i64);
    let lasts = body["expires_in"].as_f64().map(|seconds| now.0 + (seconds * 1_000.0) as i64);
    let expires = said.or(lasts).ok_or("it does not say when its token ends")?;
    if expires <= now.0 {
        return Err("its token has ended already; check the clocks of both machines".to_owned());
    }
    let subject = claims["sub"].as_str().unwrap_or(&login.client_id);
    Ok(Token {
        value: Zeroizing::new(value.to_owned()),
        expires: Timestamp(expires),
        principal: subject.replace('\0', ""),
        extensions: login.extensions.clone(),
    })
}

/// The middle part of a JWT.
fn claims(token: &str) -> Option<Value> {
    let middle = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(middle).ok()?).ok()
}

/// Why there is none, in the server's words (RFC 6749, error response).
pub fn read_error(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    let error = body["error"].as_str().map(shown)?;
    let more = body["error_description"].as_str().map(shown);
    Some(more.map_or(error.clone(), |more| format!("{error}: {more}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn login() -> OAuth {
        OAuth {
            url: "https://login.example/token".to_owned(),
            client_id: "assent".to_owned(),
            client_secret: Zeroizing::new("s3cret".to_owned()),
            scope: None,
            extensions: vec![("a".to_owned(), "b".to_owned())],
            ca_file: None,
        }
    }

    fn jwt(claims: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    #[track_caller]
    fn check(body: &str, expect: Result<(i64, &str), &str>) {
        let found = read(body, &login(), NOW).map(|it| (it.expires.0, it.principal));
        let expect = expect.map(|(at, of)| (at, of.to_owned())).map_err(str::to_owned);
        assert_eq!(found, expect, "{body}");
    }

    #[test]
    fn a_token_says_when_it_ends_and_whose_it_is() {
        let signed = jwt(r#"{"exp": 1060, "sub": "service-7"}"#);
        check(
            &format!(r#"{{"access_token": "{signed}", "expires_in": 5}}"#),
            Ok((1_060_000, "service-7")),
        );
        check(r#"{"access_token": "opaque", "expires_in": 5}"#, Ok((1_005_000, "assent")));
        check(r#"{"access_token": "a.b.c", "expires_in": 5.5}"#, Ok((1_005_500, "assent")));
    }

    #[test]
    fn what_is_no_token_is_named_and_not_repeated() {
        let ended = jwt(r#"{"exp": 999}"#);
        let ended = format!(r#"{{"access_token": "{ended}"}}"#);
        check("<html>", Err("its answer is not JSON"));
        check("{}", Err("its answer has no access_token"));
        check(r#"{"access_token": ""}"#, Err("its answer has no access_token"));
        check(r#"{"access_token": "opaque"}"#, Err("it does not say when its token ends"));
        let odd = "its access_token holds what no token may hold";
        check("{\"access_token\": \"a\\u0000b\", \"expires_in\": 5}", Err(odd));
        check(&ended, Err("its token has ended already; check the clocks of both machines"));
        check(
            r#"{"access_token": "a", "expires_in": 0}"#,
            Err("its token has ended already; check the clocks of both machines"),
        );
    }

    #[test]
    fn an_error_is_bounded_and_has_no_control_characters() {
        assert_eq!(read_error(r#"{"error": "invalid_client"}"#), Some("invalid_client".to_owned()));
        let long = format!(r#"{{"error": "a\u001b", "error_description": "{}"}}"#, "x".repeat(999));
        let said = read_error(&long).unwrap();
        assert!(said.chars().count() < 450 && !said.contains('\u{1b}'), "{said}");
        assert_eq!(read_error("<html>"), None);
    }
}

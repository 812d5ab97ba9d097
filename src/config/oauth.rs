//! A login with the tokens of an OAuth server (`sasl.mechanism: OAUTHBEARER`), under librdkafka's own names.
//!
//! librdkafka could fetch the tokens itself, with libcurl; Assent does it (`kafka::token`), so that no second
//! HTTP client comes into the binary. None of these properties is passed on.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::entries::{Entries, PROPERTIES};
use super::values;
use crate::failure::Result;

const METHOD: &str = "sasl.oauthbearer.method";
const URL: &str = "sasl.oauthbearer.token.endpoint.url";
const CLIENT_ID: &str = "sasl.oauthbearer.client.id";
const CLIENT_SECRET: &str = "sasl.oauthbearer.client.secret";
const GRANT_TYPE: &str = "sasl.oauthbearer.grant.type";
const SCOPE: &str = "sasl.oauthbearer.scope";
const EXTENSIONS: &str = "sasl.oauthbearer.extensions";
const CA_FILE: &str = "https.ca.location";

/// All that such a login takes, by the properties' one name each.
pub(super) const PROPERTIES_OF_LOGIN: &[&str] =
    &[METHOD, URL, CLIENT_ID, CLIENT_SECRET, GRANT_TYPE, SCOPE, EXTENSIONS, CA_FILE];

/// What it can't do without.
pub(super) const NEEDED: &[&str] = &[METHOD, URL, CLIENT_ID, CLIENT_SECRET];

/// Where tokens come from, and who asks for them (RFC 6749, client credentials).
#[derive(Clone, PartialEq, Eq)]
pub struct OAuth {
    /// https, or http of this very machine; names no user.
    pub url: String,
    pub client_id: String,
    pub client_secret: Zeroizing<String>,
    pub scope: Option<String>,
    /// What the brokers are told with the token (RFC 7628).
    pub extensions: Vec<(String, String)>,
    /// Certificates (PEM) to trust for the server in the place of the system's.
    pub ca_file: Option<PathBuf>,
}

/// Without the secret.
impl fmt::Debug for OAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth")
            .field("url", &self.url)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// Takes the properties of such a login out of those that librdkafka is given. They were checked together.
pub(super) fn take(
    entries: &Entries,
    properties: &mut BTreeMap<String, String>,
) -> Result<Option<OAuth>> {
    let mut own: BTreeMap<&str, String> = PROPERTIES_OF_LOGIN
        .iter()
        .filter_map(|name| Some((*name, properties.remove(*name)?)))
        .collect();
    if !own.contains_key(METHOD) {
        return Ok(None);
    }
    let refuse = |name: &str, why: String| entries.refuse(&format!("{PROPERTIES}{name}"), &why);
    let mut text = |name: &str| own.remove(name).filter(|text| !text.is_empty());
    let needed = |name: &str, text: Option<String>| {
        text.ok_or_else(|| refuse(name, "is empty; set it".to_owned()))
    };
    let url = needed(URL, text(URL))?;
    let extensions = text(EXTENSIONS).unwrap_or_default();
    Ok(Some(OAuth {
        url: values::token_url(&url).map_err(|why| refuse(URL, why))?,
        client_id: needed(CLIENT_ID, text(CLIENT_ID))?,
        client_secret: Zeroizing::new(needed(CLIENT_SECRET, text(CLIENT_SECRET))?),
        scope: text(SCOPE),
        extensions: pairs(&extensions).map_err(|why| refuse(EXTENSIONS, why))?,
        ca_file: text(CA_FILE).map(PathBuf::from),
    }))
}

/// `name=value`, separated by commas. RFC 7628 has letters for a name, and reserves `auth`.
fn pairs(text: &str) -> std::result::Result<Vec<(String, String)>, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| match part.split_once('=') {
            Some((name, value))
                if !name.is_empty()
                    && name.bytes().all(|byte| byte.is_ascii_alphabetic())
                    && name != "auth"
                    && !value.contains(|c: char| c.is_control() || !c.is_ascii()) =>
            {
                Ok((name.to_owned(), value.to_owned()))
            }
            _ => {
                Err("must be name=value, separated by commas, each name of letters only".to_owned())
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_pairs() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(pairs(""), Ok(vec![]));
        let read = pairs("logicalCluster=lkc-1, identityPoolId=pool-2=x,");
        assert_eq!(
            read,
            Ok(vec![pair("logicalCluster", "lkc-1"), pair("identityPoolId", "pool-2=x")])
        );
        for wrong in ["logicalCluster", "=x", "a.b=c", "auth=x", "a=\u{1}"] {
            assert!(pairs(wrong).is_err(), "{wrong}");
        }
    }
}

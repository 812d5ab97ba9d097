//! The schema registry's section: an address that holds no secret, and who asks there.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::entries::Entries;
use super::read::{path, value};
use super::{tls, values};
use crate::failure::Result;

const URL: &str = "schema_registry.url";
const USERNAME: &str = "schema_registry.username";
const PASSWORD: &str = "schema_registry.password";
const CA_FILE: &str = "schema_registry.ca_file";

/// Where the schemas are, and how to be let in.
#[derive(Clone, Debug)]
pub struct SchemaRegistry {
    /// Without a slash at its end; names no user.
    pub url: String,
    pub credentials: Option<Credentials>,
    /// Certificates (PEM) to trust in the place of the system's.
    pub ca_file: Option<PathBuf>,
}

#[derive(Clone)]
pub struct Credentials {
    pub username: String,
    pub password: Zeroizing<String>,
}

/// Shows the user's name only.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// `None`: no registry is configured. An empty address is none, so that a variable can be left empty.
pub(super) fn schema_registry(entries: &Entries) -> Result<Option<SchemaRegistry>> {
    let has_url = entries.get(URL).is_some_and(|(text, _)| !text.is_empty());
    if !has_url {
        return Ok(None);
    }
    let url = value(entries, URL, "", values::registry_url)?;
    if let Some(refusal) = tls::refusal_of_address(&url) {
        return Err(entries.refuse(URL, &refusal));
    }
    let credentials = credentials(entries)?;
    let ca_file = match entries.get(CA_FILE) {
        None => None,
        Some(_) if url.starts_with("http:") => {
            let message = "needs https, but schema_registry.url begins with http:; change one of \
                the two";
            return Err(entries.refuse(CA_FILE, message));
        }
        Some(_) => Some(path(entries, CA_FILE, "")?),
    };
    Ok(Some(SchemaRegistry { url, credentials, ca_file }))
}

fn credentials(entries: &Entries) -> Result<Option<Credentials>> {
    let text = |key| entries.get(key).map(|(text, _)| text).filter(|text| !text.is_empty());
    match (text(USERNAME), text(PASSWORD)) {
        (None, None) => Ok(None),
        (Some(name), Some(_)) if name.contains(':') => Err(entries.refuse(
            USERNAME,
            "contains a colon, which basic authentication does not allow; use another user",
        )),
        (Some(username), Some(password)) => Ok(Some(Credentials {
            username: username.to_owned(),
            password: Zeroizing::new(password.to_owned()),
        })),
        (Some(_), None) => Err(entries
            .refuse(USERNAME, "schema_registry.password is not set; set it, or password_file")),
        (None, Some(_)) => {
            Err(entries.refuse(PASSWORD, "schema_registry.username is not set; set it"))
        }
    }
}

//! One request to a platform's API, bounded in time and size. No message holds its token.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::config::IntakeSource;
use crate::failure::{Failure, Result};
use crate::http_client;
use assent_contract::domain::foreign_text::shown;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// 200 consents have some 300 kB.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A token has a few kilobytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

#[derive(Clone)]
pub struct Http {
    url: String,
    token_file: PathBuf,
    agent: ureq::Agent,
}

pub struct Reply {
    pub status: u16,
    /// Seconds, where the answer asks to wait.
    pub retry_after: Option<u64>,
    pub body: Vec<u8>,
}

impl Http {
    /// Opens nothing yet; `None`: the source has no API. 78: its token or its certificates can't be read.
    pub fn of(source: &IntakeSource) -> Result<Option<Self>> {
        let Some(api) = &source.api else { return Ok(None) };
        let agent = http_client::settings(ANSWER_WITHIN).accept("application/json");
        let section = format!("intake.sources.{}", source.source.word());
        #[cfg(feature = "tls")]
        let agent = {
            let key = format!("{section}.api.ca_file");
            agent.tls_config(http_client::tls::trusting(&key, api.ca_file.as_deref())?)
        };
        let (url, token_file) = (api.url.clone(), api.token_file.clone());
        let http = Self { url, token_file, agent: agent.build().into() };
        http.token().map_err(|why| Failure::config(format!("{section}.{why}")))?;
        Ok(Some(http))
    }

    /// `path` with its query; `continuation`: the header `requestContinuation`. `Err`: nobody answered.
    pub fn get(
        &self,
        path: &str,
        continuation: Option<&str>,
    ) -> std::result::Result<Reply, String> {
        let token = self.token()?;
        let bearer = Zeroizing::new(format!("Bearer {}", token.as_str()));
        let mut request =
            self.agent.get(format!("{}{path}", self.url)).header("authorization", bearer.as_str());
        if let Some(continuation) = continuation {
            request = request.header("requestContinuation", continuation);
        }
        let mut response = request.call().map_err(|error| shown(&error.to_string()))?;
        let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = header.and_then(|value| value.trim().parse().ok());
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.map_err(|error| shown(&error.to_string()))?;
        Ok(Reply { status: response.status().as_u16(), retry_after, body })
    }

    fn token(&self) -> std::result::Result<Zeroizing<String>, String> {
        let path = self.token_file.display();
        let text = fs::read_to_string(&self.token_file)
            .map_err(|error| format!("api.token_file: {path} can't be read: {error}"))?;
        let text = Zeroizing::new(text);
        let token = text.trim_ascii();
        let is_token = (1..=TOKEN_BYTES_MAX).contains(&token.len())
            && token.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_token {
            return Err(format!(
                "api.token_file: {path} holds no token of visible ASCII characters"
            ));
        }
        Ok(Zeroizing::new(token.to_owned()))
    }
}

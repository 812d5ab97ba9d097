//! How Assent asks other servers over HTTP: any status is an answer, no proxy is used, no redirect is followed, and
//! an answer has its time. How much of it is read is for whoever reads it.

#[cfg(feature = "tls")]
pub mod tls;

use std::time::Duration;

use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;

const CONNECTED_WITHIN: Duration = Duration::from_secs(3);

pub fn settings(answered_within: Duration) -> ConfigBuilder<AgentScope> {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_connect(Some(CONNECTED_WITHIN))
        .timeout_global(Some(answered_within))
        .user_agent(concat!("assent/", env!("CARGO_PKG_VERSION")))
}

//! What a build without TLS can't do, said where it is configured.

/// How to get a build that has it.
const REMEDY: &str = "this build of assent has no TLS; build it with `--features tls-vendored`, or \
    with `--features tls` for the system's OpenSSL";

/// Why this property of librdkafka's can't be used in this build; `None`: it can.
pub(super) fn refusal_of_property(name: &str, value: &str) -> Option<String> {
    let value = value.to_ascii_uppercase();
    let needs_tls = match name {
        "security.protocol" => matches!(value.as_str(), "SSL" | "SASL_SSL"),
        "sasl.mechanism" | "sasl.mechanisms" => {
            value.starts_with("SCRAM-") || value == "OAUTHBEARER"
        }
        _ => name.starts_with("ssl.") || name == "enable.ssl.certificate.verification",
    };
    (needs_tls && !cfg!(feature = "tls")).then(|| format!("needs TLS, but {REMEDY}"))
}

/// Why this address of a registry can't be used in this build; `None`: it can.
pub(super) fn refusal_of_address(url: &str) -> Option<String> {
    let needs_tls = url.starts_with("https:");
    (needs_tls && !cfg!(feature = "tls")).then(|| format!("is an https address, but {REMEDY}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_needs_tls_is_refused_and_only_where_there_is_none() {
        let check = |name, value, needs_tls: bool| {
            let refused = refusal_of_property(name, value).is_some();
            assert_eq!(refused, needs_tls && !cfg!(feature = "tls"), "{name}={value}");
        };
        check("security.protocol", "sasl_ssl", true);
        check("security.protocol", "SASL_PLAINTEXT", false);
        check("sasl.mechanism", "SCRAM-SHA-512", true);
        check("sasl.mechanism", "PLAIN", false);
        check("ssl.ca.location", "/etc/ca.pem", true);
        check("client.id", "ssl", false);
        assert_eq!(refusal_of_address("https://a").is_some(), !cfg!(feature = "tls"));
        assert_eq!(refusal_of_address("http://a"), None);
    }
}

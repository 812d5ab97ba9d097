//! TLS at the front door, and certificates of clients, by curl.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::*;

fn openssl(folder: &Path, arguments: &[&str]) {
    let made =
        Command::new("openssl").args(arguments).current_dir(folder).output().expect("openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// An authority, and a certificate of it for 127.0.0.1.
fn certificates(folder: &Path) {
    openssl(
        folder,
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-days",
            "2",
            "-subj",
            "/CN=test authority",
        ],
    );
    for name in ["server", "client"] {
        let (key, request, cert) =
            (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        let subject = format!("/CN={name}");
        openssl(
            folder,
            &[
                "req",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-keyout",
                &key,
                "-out",
                &request,
                "-subj",
                &subject,
                "-addext",
                "subjectAltName=IP:127.0.0.1",
            ],
        );
        openssl(
            folder,
            &[
                "x509",
                "-req",
                "-in",
                &request,
                "-CA",
                "ca.pem",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-out",
                &cert,
                "-days",
                "2",
                "-copy_extensions",
                "copy",
            ],
        );
    }
}

/// Status, or curl's own exit code where there is no answer.
fn curl(shop: &Shop<'_>, address: &str, more: &[&str]) -> Result<u16, i32> {
    let mut command = Command::new("curl");
    command.current_dir(shop.folder()).args(["--silent", "--output", "/dev/null"]);
    command.args(["--write-out", "%{http_code}", "--cacert", "ca.pem", "--max-time", "20"]);
    command.args(["--header", &format!("Authorization: Bearer {SERVER}")]);
    command.args(["--json", r#"{"purpose": "personalized-offers"}"#]).args(more);
    let done = command.arg(format!("https://{address}/v1/lookup")).output().expect("curl");
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).parse().expect("a status"));
    }
    Err(done.status.code().unwrap_or_default())
}

#[test]
fn off_loopback_it_speaks_tls_and_asks_for_certificates_where_it_should() {
    let kafka = kafka_or_skip!();
    let tls = json!({"cert_file": "server.pem", "key_file": "server.key"});
    let shop = open_with(kafka, &json!({"listen": "0.0.0.0:0", "tls": tls}));
    certificates(shop.folder());
    let serve = Service::start_serving(&shop, "s", &[]);
    let port = serve.front_door().rsplit_once(':').map(|(_, port)| port.to_owned()).unwrap();
    let address = format!("127.0.0.1:{port}");
    assert_eq!(curl(&shop, &address, &[]), Ok(200));
    assert_eq!(curl(&shop, &address, &["--tls-max", "1.1"]).ok(), None, "too old");
    let plain = raw(&address, "GET", "/v1/openapi.json", &[], b"");
    assert!(plain.is_err(), "{plain:?}");
    serve.stop();

    let variable = ("ASSENT__SERVE__TLS__CLIENT_CA_FILE", "ca.pem");
    let serve = Service::start_serving(&shop, "s", &[variable]);
    let port = serve.front_door().rsplit_once(':').map(|(_, port)| port.to_owned()).unwrap();
    let address = format!("127.0.0.1:{port}");
    assert!(curl(&shop, &address, &[]).is_err(), "without a certificate");
    let with = ["--cert", "client.pem", "--key", "client.key"];
    assert_eq!(curl(&shop, &address, &with), Ok(200));
    serve.stop();
}

//! TLS: only the right server is trusted, and no option turns that off. (The errors of the others: tls_error.rs.)

use crate::redis_store::RedisStore;
use huntaze_rate_limit::store::ErrorKind;
use huntaze_rate_limit::store::redis::{RedisConfig, TlsConfig, certificates};

use super::certificates::{Authority, TlsServer};
use super::{check, failure, passwords, take_slot};

/// The configuration of a client that connects to `server` as `host`, and trusts `ca`.
pub(super) fn config(server: &TlsServer, host: &str, ca: Option<&str>) -> RedisConfig {
    RedisConfig {
        host: host.to_owned(),
        port: server.port,
        tls: Some(TlsConfig {
            ca: ca.map(str::to_owned),
            ..TlsConfig::default()
        }),
        ..server.server.config()
    }
}

#[tokio::test]
async fn the_right_server_is_trusted() {
    let authority = Authority::new();
    let server = authority.server(&["localhost"]);
    let config = config(&server, "localhost", Some(&authority.pem));
    assert_eq!(take_slot(&RedisStore::new(config.clone()), "a").await, 4);
    // Several certificates in one text, the right one last.
    let mut both = config;
    both.tls.as_mut().unwrap().ca = Some(format!("{}{}", Authority::new().pem, authority.pem));
    assert_eq!(take_slot(&RedisStore::new(both), "a").await, 3);
}

#[tokio::test]
async fn a_certificate_can_name_an_ip_address() {
    let authority = Authority::new();
    let server = authority.server(&["127.0.0.1"]);
    let config = config(&server, "127.0.0.1", Some(&authority.pem));
    assert_eq!(take_slot(&RedisStore::new(config), "a").await, 4);
}

#[tokio::test]
async fn a_certificate_for_a_name_is_not_one_for_the_ip_address() {
    let authority = Authority::new();
    let server = authority.server(&["localhost"]);
    let config = config(&server, "127.0.0.1", Some(&authority.pem));
    assert_eq!(failure(&RedisStore::new(config)).await, ErrorKind::Tls);
}

#[tokio::test]
async fn a_server_of_another_name_is_not_trusted() {
    let authority = Authority::new();
    let server = authority.server(&["elsewhere.example"]);
    let mut config = config(&server, "localhost", Some(&authority.pem));
    let error = check(&RedisStore::new(config.clone()), "a")
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Tls, "TLS"));
    // Unless the configuration expects that name.
    config.tls.as_mut().unwrap().server_name = Some("elsewhere.example".to_owned());
    assert_eq!(take_slot(&RedisStore::new(config.clone()), "a").await, 4);
    config.tls.as_mut().unwrap().server_name = Some("no name at all".to_owned());
    assert_eq!(failure(&RedisStore::new(config)).await, ErrorKind::Tls);
}

#[tokio::test]
async fn an_extra_ca_file_is_trusted_besides() {
    let authority = Authority::new();
    let server = authority.server(&["localhost"]);
    let mut config = config(&server, "localhost", None);
    config.tls.as_mut().unwrap().extra_ca_file = Some(server.ca_file.clone());
    assert_eq!(take_slot(&RedisStore::new(config.clone()), "a").await, 4);
    // As in Node.js, a missing file neither fails by itself nor adds any trust.
    config.tls.as_mut().unwrap().extra_ca_file = Some(format!("{}.gone", server.ca_file));
    let error = check(&RedisStore::new(config.clone()), "a")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls);
    let message = error.to_string();
    assert!(message.contains("NODE_EXTRA_CA_CERTS names"), "{message}");
    assert!(
        message.ends_with("gave no certificate: entity not found"),
        "{message}"
    );
    config.tls.as_mut().unwrap().ca = Some(authority.pem.clone());
    assert_eq!(take_slot(&RedisStore::new(config), "a").await, 3);
}

#[tokio::test]
async fn an_extra_ca_file_without_a_certificate_is_named() {
    let server = Authority::new().server(&["localhost"]);
    let path = format!("{}.empty", server.ca_file);
    let mut config = config(&server, "localhost", None);
    config.tls.as_mut().unwrap().extra_ca_file = Some(path.clone());
    for text in ["", "not in PEM form"] {
        std::fs::write(&path, text).unwrap();
        let error = check(&RedisStore::new(config.clone()), "a").await;
        let message = error.unwrap_err().to_string();
        let wanted = format!("{path:?}, which gave no certificate: no certificate in PEM form");
        assert!(message.ends_with(&wanted), "{message}");
    }
}

#[tokio::test]
async fn passwords_and_databases_work_over_tls() {
    let authority = Authority::new();
    let server = authority.server(&["localhost"]);
    let () = redis::cmd("CONFIG")
        .arg(&["SET", "requirepass", "pw"])
        .query(&mut server.server.admin())
        .unwrap();
    let mut config = config(&server, "localhost", Some(&authority.pem));
    assert_eq!(
        failure(&RedisStore::new(config.clone())).await,
        ErrorKind::NoAuth
    );
    config.credentials = passwords(&["wrong", "pw"]);
    config.database = 2;
    assert_eq!(take_slot(&RedisStore::new(config), "a").await, 4);
}

#[tokio::test]
async fn tls_1_2_and_tls_1_3_are_supported() {
    let authority = Authority::new();
    for version in ["TLSv1.2", "TLSv1.3"] {
        let server = authority.server_with(&["localhost"], &["--tls-protocols", version]);
        let config = config(&server, "localhost", Some(&authority.pem));
        assert_eq!(
            take_slot(&RedisStore::new(config), "a").await,
            4,
            "{version}"
        );
    }
}

/// The trailing dot is for the resolver. A certificate has none.
#[tokio::test]
async fn a_name_may_end_in_a_dot() {
    let authority = Authority::new();
    let server = authority.server(&["localhost"]);
    let mut config = config(&server, "localhost", Some(&authority.pem));
    config.tls.as_mut().unwrap().server_name = Some("localhost.".to_owned());
    assert_eq!(take_slot(&RedisStore::new(config), "a").await, 4);
}

#[test]
fn certificates_are_read_or_refused() {
    let (one, two) = (Authority::new().pem, Authority::new().pem);
    assert_eq!(certificates(&format!("{one}\n{two}")).unwrap().len(), 2);
    let broken = one.replace("MII", "###");
    for text in [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\n",
        &broken,
    ] {
        let error = certificates(text).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::Tls, "no certificate in PEM form")
        );
    }
}

//! The error of a failed TLS handshake says why, with a hint, at once.

use crate::redis_store::RedisStore;
use huntaze_rate_limit::store::ErrorKind;
use huntaze_rate_limit::store::redis::RedisConfig;

use super::certificates::Authority;
use super::check;
use super::tls::config;

/// Fails with an error of TLS that contains the reason and the hint. If it came late, the error would be a time-out.
async fn expect(config: RedisConfig, words: [&str; 2]) {
    let error = check(&RedisStore::new(config), "a").await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Tls, "TLS"));
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "{word}: {message}");
    }
    assert!(!error.causes().is_empty());
}

#[tokio::test]
async fn an_untrusted_authority() {
    let server = Authority::new().server(&["localhost"]);
    for ca in [None, Some(Authority::new().pem)] {
        let untrusted = config(&server, "localhost", ca.as_deref());
        // The authorities of the tests have one name: to a client that trusts another the signature is wrong.
        let words = [
            "invalid peer certificate",
            "in tls.ca or NODE_EXTRA_CA_CERTS",
        ];
        expect(untrusted, words).await;
    }
}

#[tokio::test]
async fn a_certificate_outside_of_its_validity() {
    let authority = Authority::new();
    let ca = Some(authority.pem.as_str());
    let expired = authority.expired_server(&["localhost"]);
    expect(
        config(&expired, "localhost", ca),
        ["certificate expired", "; renew it"],
    )
    .await;
    let early = authority.early_server(&["localhost"]);
    expect(
        config(&early, "localhost", ca),
        ["not valid yet", "; wait until it is valid"],
    )
    .await;
}

#[tokio::test]
async fn a_certificate_for_another_name() {
    let authority = Authority::new();
    let server = authority.server(&["elsewhere.example", "127.0.0.2"]);
    for host in ["localhost", "127.0.0.1"] {
        let config = config(&server, host, Some(&authority.pem));
        expect(config, ["elsewhere.example", "set tls.servername"]).await;
    }
}

/// By default `openssl req -x509` makes a certificate of an authority.
#[tokio::test]
async fn a_ca_certificate_used_by_a_server() {
    let authority = Authority::new();
    let server = authority.server(&["localhost"]);
    server.present(authority.own());
    let config = config(&server, "localhost", Some(&authority.pem));
    expect(
        config,
        ["CaUsedAsEndEntity", "trusting it is not enough: issue one"],
    )
    .await;
}

/// Redis requires one by default. In TLS 1.3 its alert comes after the handshake.
#[tokio::test]
async fn a_server_that_requires_a_client_certificate() {
    let authority = Authority::new();
    for version in ["TLSv1.2", "TLSv1.3"] {
        let options = ["--tls-auth-clients", "yes", "--tls-protocols", version];
        let server = authority.server_with(&["localhost"], &options);
        let config = config(&server, "localhost", Some(&authority.pem));
        expect(config, ["alert", "tls-auth-clients no"]).await;
    }
}

#[tokio::test]
async fn an_old_version_of_tls() {
    let authority = Authority::new();
    // Today's OpenSSL accepts it only at security level 0.
    let options = [
        "--tls-protocols",
        "TLSv1.1",
        "--tls-ciphers",
        "ALL@SECLEVEL=0",
    ];
    let server = authority.server_with(&["localhost"], &options);
    let config = config(&server, "localhost", Some(&authority.pem));
    expect(config, ["ProtocolVersion", "TLS 1.2 or 1.3"]).await;
}

//! A handshake that fails says why, and the mend, at once.

use huntaze_rate_limit::store::ErrorKind;
use huntaze_rate_limit::store::redis::{RedisConfig, RedisStore};

use super::certificates::Authority;
use super::check;
use super::tls::config;

/// Fails as TLS for this reason, with this mend: at once, or it would fail as one that takes too long.
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
async fn another_authority() {
    let server = Authority::new().server(&["localhost"]);
    for ca in [None, Some(Authority::new().pem)] {
        let stranger = config(&server, "localhost", ca.as_deref());
        // Those of the tests have one name: to who trusts another it is the signature that is wrong.
        let words = [
            "invalid peer certificate",
            "in tls.ca or NODE_EXTRA_CA_CERTS",
        ];
        expect(stranger, words).await;
    }
}

#[tokio::test]
async fn out_of_its_time() {
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
async fn another_name() {
    let authority = Authority::new();
    let server = authority.server(&["elsewhere.example", "127.0.0.2"]);
    for host in ["localhost", "127.0.0.1"] {
        let config = config(&server, host, Some(&authority.pem));
        expect(config, ["elsewhere.example", "set tls.servername"]).await;
    }
}

/// What `openssl req -x509` makes is an authority, unless it is told otherwise.
#[tokio::test]
async fn an_authority_for_a_server() {
    let authority = Authority::new();
    let server = authority.server(&["localhost"]);
    server.show(authority.own());
    let config = config(&server, "localhost", Some(&authority.pem));
    expect(
        config,
        ["CaUsedAsEndEntity", "trusting it is not enough: issue one"],
    )
    .await;
}

/// Redis asks for one by default. In TLS 1.3 it says so when the handshake is over already.
#[tokio::test]
async fn a_server_that_wants_a_certificate_of_the_client() {
    let authority = Authority::new();
    for version in ["TLSv1.2", "TLSv1.3"] {
        let options = ["--tls-auth-clients", "yes", "--tls-protocols", version];
        let server = authority.server_with(&["localhost"], &options);
        let config = config(&server, "localhost", Some(&authority.pem));
        expect(config, ["alert", "tls-auth-clients no"]).await;
    }
}

#[tokio::test]
async fn a_version_of_long_ago() {
    let authority = Authority::new();
    // Today's OpenSSL speaks it only where it is told that anything goes.
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

//! When the environment turns TLS on, and what it trusts then.

use super::environment::{named, refused};

const FLAGS: [&str; 3] = ["ELASTICACHE_REDIS_TLS", "REDIS_TLS", "REDIS_SSL_ENABLED"];
const HOST: (&str, &str) = ("REDIS_HOST", "cache");

#[test]
fn flags_are_read_in_all_their_spellings() {
    for name in FLAGS {
        for value in ["true", "1", "yes", "TRUE", "Yes"] {
            assert!(
                named(&[HOST, (name, value)]).tls.is_some(),
                "{name}={value}"
            );
        }
        for value in ["false", "0", "no", "FALSE", ""] {
            assert!(
                named(&[HOST, (name, value)]).tls.is_none(),
                "{name}={value}"
            );
        }
        for value in ["on", "tls", "2", "tr ue"] {
            let message = refused(&[HOST, (name, value)]);
            assert_eq!(
                message,
                format!("{name} must be true, 1 or yes, or false, 0 or no")
            );
        }
    }
}

#[test]
fn a_url_says_tls_by_its_scheme_or_a_flag_adds_it() {
    assert!(named(&[("REDIS_URL", "rediss://there")]).tls.is_some());
    assert!(named(&[("REDIS_URL", "redis://there")]).tls.is_none());
    assert!(
        named(&[("REDIS_URL", "redis://there"), ("REDIS_TLS", "yes")])
            .tls
            .is_some()
    );
}

/// Neither wins silently: the one would send a password in the clear, the other would not connect.
#[test]
fn a_flag_that_contradicts_the_url_is_refused() {
    for name in FLAGS {
        let message = refused(&[("REDIS_URL", "rediss://u:secret@there"), (name, "false")]);
        assert!(
            message.starts_with(&format!("{name} turns TLS off")),
            "{message}"
        );
        assert!(!message.contains("secret"));
    }
}

#[test]
fn elasticache_with_a_password_has_tls_by_itself() {
    let password = ("REDIS_AUTH_TOKEN", "pw");
    let hosts = [
        ("master.x.abc.euw1.cache.amazonaws.com", true),
        ("MASTER.X.EUW1.CACHE.AMAZONAWS.COM", true),
        ("x.cache.amazonaws.com.", true),
        ("cache.amazonaws.com.evil.example", false),
        ("xcache.amazonaws.com", false),
        ("localhost", false),
    ];
    for (host, tls) in hosts {
        assert_eq!(
            named(&[("REDIS_HOST", host), password]).tls.is_some(),
            tls,
            "{host}"
        );
        let url = format!("redis://:pw@{host}");
        assert_eq!(named(&[("REDIS_URL", &url)]).tls.is_some(), tls, "{url}");
        // Without a password there is nothing to protect, and ElastiCache without TLS takes none.
        assert!(named(&[("REDIS_HOST", host)]).tls.is_none(), "{host}");
    }
    let refused_by_hand = [("REDIS_HOST", hosts[0].0), password, ("REDIS_TLS", "no")];
    assert!(named(&refused_by_hand).tls.is_none());
}

#[test]
fn node_extra_ca_certs_adds_roots_where_there_is_tls() {
    let extra = ("NODE_EXTRA_CA_CERTS", "extra.pem");
    let tls = named(&[HOST, ("REDIS_TLS", "1"), extra]).tls.unwrap();
    assert_eq!(tls.extra_ca_file.as_deref(), Some("extra.pem"));
    assert_eq!((tls.ca, tls.server_name), (None, None));
    assert!(named(&[HOST, extra]).tls.is_none());
}

/// Each is a host, and none is in any certificate: no handshake with it could succeed.
#[test]
fn a_host_that_no_certificate_can_name_is_refused_with_tls() {
    for host in ["fe80::1%eth0", "127.1", "123456789012"] {
        let message = refused(&[("REDIS_HOST", host), ("REDIS_TLS", "yes")]);
        assert!(
            message.starts_with("REDIS_HOST must have a host that a certificate can name"),
            "{message}"
        );
        assert!(named(&[("REDIS_HOST", host)]).tls.is_none());
    }
    let message = refused(&[("REDIS_URL", "rediss://127.1")]);
    assert!(message.starts_with("REDIS_URL must have"), "{message}");
    for host in ["my_redis", "::1", "10.0.0.1", "cache.example."] {
        assert!(
            named(&[("REDIS_HOST", host), ("REDIS_TLS", "1")])
                .tls
                .is_some()
        );
    }
}

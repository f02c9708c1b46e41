//! The environment's table in the contract: which variable wins, and what is refused. Blanks and TLS, too.

use super::{ConfigError, Environment, from_environment, variables};
use crate::store::redis::{Credentials, RedisConfig, Secret};

/// What is read from these variables.
fn read(variables: &[(&str, &str)]) -> Result<Option<RedisConfig>, ConfigError> {
    let owned = variables
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()));
    from_environment(&Environment::new(owned))
}

/// The configuration of these variables, which are valid.
pub(in crate::store::redis) fn named(variables: &[(&str, &str)]) -> RedisConfig {
    read(variables).unwrap().unwrap()
}

/// The error for these variables.
pub(in crate::store::redis) fn refused(variables: &[(&str, &str)]) -> String {
    read(variables).unwrap_err().to_string()
}

/// The passwords, in the order in which they are tried.
pub(in crate::store::redis) fn passwords(config: &RedisConfig) -> Vec<&str> {
    match &config.credentials {
        Credentials::Passwords(list) => list.iter().map(Secret::expose).collect(),
        Credentials::Source(_) => panic!("the environment has no password function"),
    }
}

const HOST: (&str, &str) = ("REDIS_HOST", "cache");

/// In each row the first that is set wins; an empty text counts as not set.
#[test]
fn the_first_variable_of_a_row_wins() {
    type Shown = fn(&RedisConfig) -> String;
    let rows: [(&[&str], &str, &str, Shown); 8] = [
        (
            &["ELASTICACHE_REDIS_URL", "REDIS_URL"],
            "redis://one",
            "redis://two",
            |c| format!("redis://{}", c.host),
        ),
        (
            &["ELASTICACHE_REDIS_HOST", "REDIS_HOST"],
            "one",
            "two",
            |c| c.host.clone(),
        ),
        (
            &["ELASTICACHE_REDIS_PORT", "REDIS_PORT"],
            "7001",
            "7002",
            |c| c.port.to_string(),
        ),
        (
            &["ELASTICACHE_REDIS_USERNAME", "REDIS_USERNAME"],
            "one",
            "two",
            |c| c.username.clone().unwrap(),
        ),
        (
            &["ELASTICACHE_REDIS_TLS", "REDIS_TLS", "REDIS_SSL_ENABLED"],
            "true",
            "false",
            |c| c.tls.is_some().to_string(),
        ),
        (
            &["ELASTICACHE_REDIS_TLS", "REDIS_TLS", "REDIS_SSL_ENABLED"],
            "false",
            "true",
            |c| c.tls.is_some().to_string(),
        ),
        (&["REDIS_DATABASE", "REDIS_DB"], "1", "2", |c| {
            c.database.to_string()
        }),
        (
            &["ELASTICACHE_REDIS_CLUSTER", "REDIS_CLUSTER_MODE"],
            "false",
            // Were it read, it would be refused.
            "true",
            |c| c.cluster.unwrap().to_string(),
        ),
    ];
    for (names, first, second, shown) in rows {
        for (at, name) in names.iter().enumerate() {
            // The variables before it are empty, those behind it have another value.
            let mut variables = vec![HOST];
            variables.retain(|(host, _)| !names.contains(host));
            variables.extend(names[..at].iter().map(|name| (*name, "")));
            variables.push((name, first));
            variables.extend(names[at + 1..].iter().map(|name| (*name, second)));
            assert_eq!(shown(&named(&variables)), first, "{variables:?}");
        }
    }
}

#[test]
fn without_a_url_or_a_host_there_is_no_redis() {
    assert_eq!(read(&[]).unwrap(), None);
    assert_eq!(
        read(&[("REDIS_URL", ""), ("REDIS_HOST", "")]).unwrap(),
        None
    );
    let only_the_rest = [
        ("REDIS_PORT", "1"),
        ("REDIS_PASSWORD", "x"),
        ("REDIS_TLS", "true"),
    ];
    assert_eq!(read(&only_the_rest).unwrap(), None);
}

#[test]
fn a_host_alone_has_the_defaults() {
    let config = named(&[HOST]);
    assert_eq!(
        (config.host.as_str(), config.port, config.database),
        ("cache", 6379, 0)
    );
    assert_eq!((config.username.as_deref(), config.cluster), (None, None));
    assert!(passwords(&config).is_empty() && config.tls.is_none());
    assert_eq!(
        (config.connections, config.connect_timeout.as_millis()),
        (1, 1000)
    );
}

#[test]
fn with_a_url_host_and_port_are_not_read() {
    let config = named(&[
        ("REDIS_URL", "redis://there:7000"),
        ("ELASTICACHE_REDIS_HOST", "here"),
        ("ELASTICACHE_REDIS_PORT", "not a port"),
    ]);
    assert_eq!((config.host.as_str(), config.port), ("there", 7000));
}

#[test]
fn passwords_that_differ_are_all_tried_in_order() {
    let all = [
        HOST,
        ("REDIS_PASSWORD", "d"),
        ("REDIS_AUTH_TOKEN", "c"),
        ("ELASTICACHE_REDIS_PASSWORD", "b"),
        ("ELASTICACHE_REDIS_AUTH_TOKEN", "a"),
    ];
    assert_eq!(passwords(&named(&all)), ["a", "b", "c", "d"]);
    let same = [HOST, ("REDIS_AUTH_TOKEN", "x"), ("REDIS_PASSWORD", "x")];
    assert_eq!(passwords(&named(&same)), ["x"]);
    let some_empty = [
        HOST,
        ("ELASTICACHE_REDIS_AUTH_TOKEN", ""),
        ("REDIS_PASSWORD", "x"),
    ];
    assert_eq!(passwords(&named(&some_empty)), ["x"]);
    // A URL's own comes first.
    let with_url = [
        ("REDIS_URL", "redis://:u@there"),
        ("REDIS_PASSWORD", "x"),
        ("REDIS_AUTH_TOKEN", "u"),
    ];
    assert_eq!(passwords(&named(&with_url)), ["u", "x"]);
}

#[test]
fn numbers_out_of_range_are_refused_by_name() {
    for value in [
        "0",
        "65536",
        "-1",
        "6379x",
        "6.5",
        "redis",
        "6 379",
        "0x10",
        "tcp://10.0.0.1:6379",
    ] {
        let message = refused(&[HOST, ("ELASTICACHE_REDIS_PORT", value)]);
        assert_eq!(
            message, "ELASTICACHE_REDIS_PORT must be a whole number from 1 to 65535",
            "{value:?}"
        );
    }
    for value in ["65536", "-1", "x"] {
        let message = refused(&[HOST, ("REDIS_DB", value)]);
        assert_eq!(
            message, "REDIS_DB must be a whole number from 0 to 65535",
            "{value:?}"
        );
    }
    assert_eq!(
        named(&[HOST, ("REDIS_PORT", "65535"), ("REDIS_DB", "0")]).port,
        65535
    );
}

#[test]
fn a_cluster_has_no_databases() {
    for name in ["ELASTICACHE_REDIS_CLUSTER", "REDIS_CLUSTER_MODE"] {
        for value in ["true", "1", "yes", "TRUE"] {
            assert_eq!(named(&[HOST, (name, value)]).cluster, Some(true));
            let message = refused(&[HOST, (name, value), ("REDIS_DATABASE", "2")]);
            assert!(
                message.starts_with(&format!("{name} asks for a Redis Cluster"))
                    && message.contains("remove the database"),
                "{message}"
            );
        }
        let message = refused(&[HOST, (name, "maybe")]);
        assert_eq!(
            message,
            format!("{name} must be true, 1 or yes, or false, 0 or no")
        );
        assert_eq!(named(&[HOST, (name, "no")]).cluster, Some(false));
    }
}

/// JavaScript passes on these variables and no others: one that is not listed is never read.
#[test]
fn every_variable_of_the_contract_is_listed() {
    let listed: Vec<_> = variables().collect();
    for row in [
        "ELASTICACHE_REDIS_URL REDIS_URL ELASTICACHE_REDIS_HOST REDIS_HOST ELASTICACHE_REDIS_PORT REDIS_PORT",
        "ELASTICACHE_REDIS_USERNAME REDIS_USERNAME ELASTICACHE_REDIS_AUTH_TOKEN ELASTICACHE_REDIS_PASSWORD",
        "REDIS_AUTH_TOKEN REDIS_PASSWORD ELASTICACHE_REDIS_TLS REDIS_TLS REDIS_SSL_ENABLED NODE_EXTRA_CA_CERTS",
        "ELASTICACHE_REDIS_CLUSTER REDIS_CLUSTER_MODE REDIS_DATABASE REDIS_DB",
    ] {
        for name in row.split(' ') {
            assert!(listed.contains(&name), "{name}");
        }
    }
    assert_eq!(listed.len(), 20);
}

/// Files of variables and templates leave blanks there. The first variable that is set counts, even if it is blank.
#[test]
fn blanks_around_a_value_are_dropped_and_blanks_alone_refused() {
    for blanks in [" ", "\t", "\r\n", "\u{a0}", "  \t "] {
        let around = |text: &str| format!("{blanks}{text}{blanks}");
        let [host, port, user, database, no] = ["cache", "7000", "user", "3", "no"].map(around);
        let variables = [
            ("REDIS_HOST", host.as_str()),
            ("REDIS_PORT", &port),
            ("REDIS_USERNAME", &user),
            ("REDIS_DB", &database),
            ("REDIS_TLS", &no),
            ("REDIS_CLUSTER_MODE", &no),
        ];
        let config = named(&variables);
        assert_eq!(
            (config.host.as_str(), config.port, config.database),
            ("cache", 7000, 3),
            "{blanks:?}"
        );
        assert_eq!(config.username.as_deref(), Some("user"));
        assert_eq!((config.tls, config.cluster), (None, Some(false)));
        let url = around("redis://user@there:7001/2");
        assert_eq!(named(&[("REDIS_URL", &url)]).endpoint(), "there:7001/2");

        for name in variables_with_values() {
            let host = ("ELASTICACHE_REDIS_HOST", "cache");
            let mut variables = vec![(name, blanks)];
            if !name.ends_with("_HOST") {
                variables.push(host);
            }
            let message = refused(&variables);
            let hint = "holds nothing but blanks; give it a value, or remove it";
            assert_eq!(message, format!("{name} {hint}"), "{blanks:?}");
        }
    }
    // A blank one comes before a valid one.
    let message = refused(&[("ELASTICACHE_REDIS_HOST", " "), HOST]);
    assert!(message.starts_with("ELASTICACHE_REDIS_HOST "), "{message}");
}

/// All variables but the path of a file, which Node.js reads as well, blanks included.
fn variables_with_values() -> impl Iterator<Item = &'static str> {
    variables().filter(|name| *name != "NODE_EXTRA_CA_CERTS")
}

#[test]
fn blanks_in_a_password_are_part_of_it() {
    for password in [" a", "a\n", "a b", "\ta\u{a0}"] {
        let config = named(&[HOST, ("REDIS_PASSWORD", password)]);
        assert_eq!(passwords(&config), [password]);
    }
}

#[test]
fn a_user_with_a_space_is_refused() {
    for user in ["a b", "a\tb", "a\0b"] {
        let message = refused(&[HOST, ("REDIS_USERNAME", user)]);
        assert!(
            message.starts_with("REDIS_USERNAME must be the name of a user"),
            "{message}"
        );
    }
}

const FLAGS: [&str; 3] = ["ELASTICACHE_REDIS_TLS", "REDIS_TLS", "REDIS_SSL_ENABLED"];

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

/// Neither wins silently: one would send a password in the clear, the other would not connect.
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
fn a_password_turns_tls_on_for_elasticache() {
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
    let turned_off = [("REDIS_HOST", hosts[0].0), password, ("REDIS_TLS", "no")];
    assert!(named(&turned_off).tls.is_none());
}

#[test]
fn node_extra_ca_certs_adds_roots_where_there_is_tls() {
    let extra = ("NODE_EXTRA_CA_CERTS", "extra.pem");
    let tls = named(&[HOST, ("REDIS_TLS", "1"), extra]).tls.unwrap();
    assert_eq!(tls.extra_ca_file.as_deref(), Some("extra.pem"));
    assert_eq!((tls.ca, tls.server_name), (None, None));
    assert!(named(&[HOST, extra]).tls.is_none());
}

/// Each is a valid host that no certificate can hold: no handshake with it could succeed.
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

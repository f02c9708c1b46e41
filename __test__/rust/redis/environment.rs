//! The environment's table in the contract: which variable wins, and what is unusable.
//! URLs, hosts, blanks and TLS have files of their own.

use huntaze_rate_limit::store::redis::config_env::{
    ConfigError, Environment, from_environment, variables,
};
use huntaze_rate_limit::store::redis::{Credentials, RedisConfig, Secret};

/// What these variables amount to.
pub fn read(variables: &[(&str, &str)]) -> Result<Option<RedisConfig>, ConfigError> {
    let owned = variables
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()));
    from_environment(&Environment::new(owned))
}

/// The Redis that these variables name.
pub fn named(variables: &[(&str, &str)]) -> RedisConfig {
    read(variables).unwrap().unwrap()
}

/// What is wrong with these variables.
pub fn refused(variables: &[(&str, &str)]) -> String {
    read(variables).unwrap_err().to_string()
}

/// The passwords, in the order in which they are tried.
pub fn passwords(config: &RedisConfig) -> Vec<&str> {
    match &config.credentials {
        Credentials::Passwords(list) => list.iter().map(Secret::expose).collect(),
        Credentials::Source(_) => panic!("the environment has no password function"),
    }
}

pub const HOST: (&str, &str) = ("REDIS_HOST", "cache");

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
        for (place, name) in names.iter().enumerate() {
            // Those before it empty, itself set, those behind it set to something else.
            let mut variables = vec![HOST];
            variables.retain(|(host, _)| !names.contains(host));
            variables.extend(names[..place].iter().map(|name| (*name, "")));
            variables.push((name, first));
            variables.extend(names[place + 1..].iter().map(|name| (*name, second)));
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
fn a_url_makes_host_and_port_unread() {
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

/// The face passes on these and no others: what is not listed is never read.
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

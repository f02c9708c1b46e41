//! URLs in the environment: their parts, and errors with a hint and without the secret.

use crate::store::redis::config_env::tests::{named, passwords, refused};

#[test]
fn a_url_has_host_port_user_password_and_database() {
    let config = named(&[("REDIS_URL", "redis://user:pw@there:7000/3")]);
    assert_eq!(
        (config.host.as_str(), config.port, config.database),
        ("there", 7000, 3)
    );
    assert_eq!(
        (config.username.as_deref(), passwords(&config)),
        (Some("user"), vec!["pw"])
    );
    assert!(config.tls.is_none());
}

#[test]
fn a_missing_part_of_a_url_is_the_default_or_a_variable() {
    for url in [
        "redis://there",
        "redis://there/",
        "redis://@there",
        "REDIS://there",
    ] {
        let config = named(&[("REDIS_URL", url)]);
        assert_eq!(
            (config.host.as_str(), config.port, config.database),
            ("there", 6379, 0),
            "{url}"
        );
        assert_eq!(
            (config.username.as_deref(), passwords(&config).len()),
            (None, 0),
            "{url}"
        );
    }
    let config = named(&[
        ("REDIS_URL", "redis://there"),
        ("REDIS_USERNAME", "user"),
        ("REDIS_PASSWORD", "pw"),
        ("REDIS_DB", "4"),
    ]);
    assert_eq!(
        (config.username.as_deref(), config.database),
        (Some("user"), 4)
    );
    assert_eq!(passwords(&config), ["pw"]);
    // The user of the URL wins.
    let config = named(&[
        ("REDIS_URL", "redis://mine@there"),
        ("REDIS_USERNAME", "other"),
    ]);
    assert_eq!(config.username.as_deref(), Some("mine"));
}

#[test]
fn users_and_passwords_are_percent_decoded() {
    let config = named(&[("REDIS_URL", "redis://a%40b:p%3A%2F%25%C3%BC@there")]);
    assert_eq!(
        (config.username.as_deref(), passwords(&config)),
        (Some("a@b"), vec!["p:/%ü"])
    );
    let message = refused(&[("REDIS_URL", "redis://user:%FF@there")]);
    assert!(
        message.starts_with("REDIS_URL has a user or password that is not UTF-8"),
        "{message}"
    );
}

#[test]
fn addresses_are_hosts_too() {
    for (url, host, port) in [
        ("redis://127.0.0.1:7000", "127.0.0.1", 7000),
        ("redis://[::1]", "::1", 6379),
        ("redis://[2001:db8::7]:7000/1", "2001:db8::7", 7000),
        ("rediss://user:pw@[::1]:7000", "::1", 7000),
    ] {
        let config = named(&[("REDIS_URL", url)]);
        assert_eq!((config.host.as_str(), config.port), (host, port), "{url}");
    }
}

/// URLs, and words of the error.
const UNUSABLE: [(&str, &str); 28] = [
    (
        "https://eu1-x.upstash.io",
        "redis:// or rediss:// URL of your Redis",
    ),
    (
        "http://u:secret@there",
        "redis:// or rediss:// URL of your Redis",
    ),
    (
        "valkey://u:secret@there",
        "must begin with redis:// or rediss://",
    ),
    (
        "unix:///redis.sock",
        "must begin with redis:// or rediss://",
    ),
    ("there:6379", "must begin with redis:// or rediss://"),
    ("there", "must be a URL such as redis://host:6379"),
    (
        "redis://u:secret@there:65536",
        "must be a URL such as redis://host:6379",
    ),
    (
        "redis://u:secret@there:port",
        "must be a URL such as redis://host:6379",
    ),
    (
        "redis://u:secret@there:0",
        "must have a port from 1 to 65535",
    ),
    ("rediss://u:secret@there#insecure", "must have no #fragment"),
    ("redis://u:secret@there/0#", "must have no #fragment"),
    ("redis://u:secret@there?db=1", "must have no ?query"),
    (
        "redis://u:secret@there/zero",
        "must end in the number of a database",
    ),
    (
        "redis://u:secret@there/65536",
        "must end in the number of a database",
    ),
    ("redis:///0", "must name a host"),
    // Percent-decoded, it is more than a host, or none.
    ("redis://a%0Ab", "must name a host or an address"),
    ("redis://a%20b", "must name a host or an address"),
    ("redis://u:secret@a%40b", "must name a host or an address"),
    ("redis://a%3A1:2", "must name a host or an address"),
    ("redis://%5B%5D", "must name a host or an address"),
    ("redis://a..b", "must name a host or an address"),
    (
        "redis://u:secret@256.1.1.1",
        "must name a host or an address",
    ),
    (
        "redis://b%C3%BCcher.example",
        "must name a host or an address",
    ),
    ("redis://-there:6379", "must name a host or an address"),
    (
        "redis://u%20v:secret@there",
        "has a user with a space in its name",
    ),
    // The parser would drop it, from the password too.
    (
        "redis://u:sec\tsecret@there",
        "without tabs and line breaks",
    ),
    ("redis://u:secret\n@there", "without tabs and line breaks"),
    ("redis://the\rre", "without tabs and line breaks"),
];

#[test]
fn an_unusable_url_is_refused_with_a_hint_and_without_the_secret() {
    for (url, hint) in UNUSABLE {
        for name in ["ELASTICACHE_REDIS_URL", "REDIS_URL"] {
            let message = refused(&[(name, url)]);
            assert!(message.starts_with(&format!("{name} ")), "{url}: {message}");
            assert!(message.contains(hint), "{url}: {message}");
            assert!(!message.contains("secret"), "{url}: {message}");
        }
    }
}

/// A cluster has database 0 only.
#[test]
fn a_database_in_the_url_counts_for_the_cluster_too() {
    let message = refused(&[
        ("REDIS_URL", "redis://there/1"),
        ("REDIS_CLUSTER_MODE", "true"),
    ]);
    assert!(
        message.contains("remove the database or the cluster"),
        "{message}"
    );
}

#[test]
fn another_database_than_that_of_the_url_is_refused() {
    for (url, other) in [("redis://there/1", "2"), ("redis://there/0", "1")] {
        let message = refused(&[("REDIS_URL", url), ("REDIS_DB", other)]);
        assert_eq!(
            message,
            "REDIS_DB is another database than that of REDIS_URL; remove one of the two"
        );
    }
    let same = [("REDIS_URL", "redis://there/2"), ("REDIS_DATABASE", "2")];
    assert_eq!(named(&same).database, 2);
    let by_variable = [("REDIS_URL", "redis://there/"), ("REDIS_DB", "2")];
    assert_eq!(named(&by_variable).database, 2);
}

#[test]
fn a_space_in_a_password_is_part_of_it() {
    let config = named(&[("REDIS_URL", "redis://:pass word%20@there")]);
    assert_eq!(passwords(&config), ["pass word "]);
}

//! Hosts in the environment: names and addresses, and what is neither.

use crate::store::redis::config_env::tests::{named, refused};

#[test]
fn a_host_is_a_host_alone() {
    for host in [
        "redis://cache",
        "https://cache.upstash.io",
        "cache/0",
        "user:pw@cache",
    ] {
        let message = refused(&[("REDIS_HOST", host)]);
        assert!(
            message.starts_with("REDIS_HOST must be a host name alone"),
            "{message}"
        );
        assert!(message.contains("REDIS_URL"), "no hint: {message}");
        assert!(!message.contains("pw"), "{message}");
    }
}

#[test]
fn an_ipv6_host_may_have_brackets() {
    for host in ["::1", "[::1]"] {
        assert_eq!(named(&[("REDIS_HOST", host)]).host, "::1");
    }
    let host = "fe80::1%eth0";
    assert_eq!(named(&[("REDIS_HOST", host)]).host, host, "a zone");
}

/// The host is printed in log lines: it must not forge one.
#[test]
fn a_text_that_is_no_host_is_refused() {
    let labels = [1, 63, 63, 62, 62].map(|length| "x".repeat(length));
    let long = labels.join(".");
    let label = "x".repeat(64);
    let unusable = [
        "[]",
        "a b",
        "a\n[AI Rate Limit] forged",
        "a\u{1b}[2J",
        "h?database=1",
        "h#insecure",
        "a,b",
        "a\\b",
        "[[",
        "[cache]",
        "[::1",
        "::1%",
        "1:2:3",
        ".",
        ".cache",
        "a..b",
        "cache..",
        "-cache",
        "cache-.example",
        "*.example",
        "a!b",
        "\"cache\"",
        "${REDIS_HOST}",
        "b\u{fc}cher.example",
        "256.1.1.1",
        "1.2.3.4.5",
        &label,
        &long,
    ];
    for host in unusable {
        let message = refused(&[("REDIS_HOST", host)]);
        let problem = "REDIS_HOST must be a host name of at most 253 bytes or an address, as in redis.example.com or [::1]";
        assert!(message.starts_with(problem), "{host:?}: {message}");
    }
    assert_eq!(long.len(), 255);
    let longest = &long[2..];
    for host in [
        longest,
        &label[1..],
        // As services and containers are called.
        "my_redis",
        "_redis._tcp.example",
        "xn--bcher-kva.example",
        "4f0c2d",
        "123456789012",
        "redis-1.svc.cluster.local.",
        "10.0.0.1",
        "127.1",
    ] {
        assert_eq!(named(&[("REDIS_HOST", host)]).host, host);
    }
}

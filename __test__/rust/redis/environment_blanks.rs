//! Blanks in the environment: around a value, alone, and in what has none.

use huntaze_rate_limit::store::redis::config_env::variables;

use super::environment::{HOST, named, passwords, refused};

/// A file of variables or a template leaves them there. The first that is set counts, be it blank.
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
            let mend = "holds nothing but blanks; give it a value, or remove it";
            assert_eq!(message, format!("{name} {mend}"), "{blanks:?}");
        }
    }
    // Blank, it comes before one that would do.
    let message = refused(&[("ELASTICACHE_REDIS_HOST", " "), HOST]);
    assert!(message.starts_with("ELASTICACHE_REDIS_HOST "), "{message}");
}

/// All but the path of a file, which Node.js reads too, and as it is.
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

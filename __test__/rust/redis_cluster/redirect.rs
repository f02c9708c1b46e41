//! Redirects: MOVED, ASK and TRYAGAIN, and the node that each names.

use huntaze_rate_limit::store::redis::Redirect;
use huntaze_rate_limit::store::redis::cluster::topology::Address;
use huntaze_rate_limit::store::redis::config_env::with_defaults;
use redis::{RedisError, Value, parse_redis_value};

fn redirect(line: &str) -> Option<Redirect> {
    let reply = parse_redis_value(format!("-{line}\r\n").as_bytes());
    let Ok(Value::ServerError(error)) = reply else {
        panic!("{line:?} is {reply:?}");
    };
    Redirect::of(&RedisError::from(error), &with_defaults("asked"))
}

fn at(host: &str, port: u16) -> Address {
    let host = host.to_owned();
    Address { host, port }
}

#[test]
fn a_redirect_names_a_node() {
    for (line, there) in [
        ("3999 127.0.0.1:6381", at("127.0.0.1", 6381)),
        ("3999 2001:db8::7:6381", at("2001:db8::7", 6381)),
        ("0 node-1.example:7000", at("node-1.example", 7000)),
        ("16383 :6381", at("asked", 6381)),
    ] {
        let (moved, ask) = (format!("MOVED {line}"), format!("ASK {line}"));
        assert_eq!(redirect(&moved), Some(Redirect::Moved(there.clone())));
        assert_eq!(redirect(&ask), Some(Redirect::Ask(there)));
    }
    let busy = "TRYAGAIN Multiple keys request during rehashing of slot";
    assert_eq!(redirect(busy), Some(Redirect::TryAgain));
}

/// The host of a redirect is resolved, compared and printed.
#[test]
fn a_redirect_without_a_valid_node_is_none() {
    let long = format!("MOVED 1 {}:6379", "x".repeat(254));
    for line in [
        "MOVED",
        "MOVED 1",
        "MOVED one a:6379",
        "MOVED 1 a",
        "MOVED 1 a:0",
        "MOVED 1 a:65536",
        "MOVED 1 ?:6379",
        "MOVED 1 a\n[AI:6379",
        "MOVED 1 a\u{1b}[2J:6379",
        "MOVED 1 200\u{1e}1:db8::7:6379",
        "ASK 1 a:b:6379",
        "ASK 1 user@a:6379",
        "ERR 1 a:6379",
        &long,
    ] {
        assert_eq!(redirect(line), None, "{line:?}");
    }
}

//! The control: a checker that nothing fails checks nothing.

use super::{MAX_LINES, complaints};

#[test]
fn the_checker_sees_each_offence() {
    let offences = [
        ("src/quota/log.rs", "use napi::Error;", "names napi"),
        (
            "src/quota/log.rs",
            "use napi_derive::napi;",
            "names napi_derive",
        ),
        (
            "src/quota/log.rs",
            "let t = tokio::time::Instant::now();",
            "names tokio",
        ),
        ("src/quota/log.rs", "use redis::Value;", "names redis"),
        (
            "src/quota/log.rs",
            "use crate::store::Op;",
            "knows crate::store",
        ),
        (
            "src/quota/log.rs",
            "use crate::{quota::Log, node::Way};",
            "knows crate::node",
        ),
        (
            "src/quota/log.rs",
            "use crate::{\n    quota::Log,\n    node::Way,\n};",
            "knows crate::node",
        ),
        (
            "src/quota/log.rs",
            "use super::super::limiter::Answer;",
            "knows crate::limiter",
        ),
        (
            "src/store/memory.rs",
            "fn f(e: napi::Error) {}",
            "names napi",
        ),
        (
            "src/store/redis/link.rs",
            "use crate::limiter::Answer;",
            "knows crate::limiter",
        ),
        (
            "src/store/memory.rs",
            "use redis::Value;",
            "names the redis crate",
        ),
        (
            "src/store/memory.rs",
            "let c = redis::cmd(\"GET\");",
            "names the redis crate",
        ),
        (
            "src/store/mod.rs",
            "use ::redis::aio::ConnectionLike;",
            "names the redis crate",
        ),
        (
            "src/limiter/mod.rs",
            "use redis as r;",
            "names the redis crate",
        ),
        (
            "src/node/mod.rs",
            "extern crate redis;",
            "names the redis crate",
        ),
        (
            "src/limiter/mod.rs",
            "use crate::node::Way;",
            "knows crate::node",
        ),
        (
            "src/limiter/mod.rs",
            "fn f(e: napi::Error) {}",
            "names napi",
        ),
        (
            "src/lib.rs",
            "pub use quota::Log;",
            "lib.rs is more than a map",
        ),
        ("src/lib.rs", "mod quota { }", "lib.rs is more than a map"),
        (
            "src/store/memory.rs",
            "// SAFETY: fine\nunsafe { f() }",
            "is unsafe outside",
        ),
        (
            "src/node/mod.rs",
            "let a = 1;\nunsafe { f() }",
            "node/mod.rs:2: has no // SAFETY:",
        ),
    ];
    for (path, text, complaint) in offences {
        let found = complaints(path, text);
        assert!(
            found.iter().any(|c| c.contains(complaint)),
            "{path}: {text}: {found:?}"
        );
    }
    for path in ["src/node/mod.rs", "src/store/redis/check.lua"] {
        let long = complaints(path, &"\n".repeat(MAX_LINES + 1));
        assert_eq!(long, [format!("{path}:501: is longer than 500 lines")]);
    }
}

#[test]
fn the_checker_lets_the_innocent_pass() {
    let innocent = [
        (
            "src/quota/log.rs",
            "//! No napi, no redis, no tokio; crate::store knows us.",
        ),
        ("src/quota/log.rs", "let store = restored(); // tokio"),
        (
            "src/node/mod.rs",
            "use crate::store::redis::{RedisConfig, RedisStore};",
        ),
        ("src/store/mod.rs", "pub mod redis;"),
        ("src/node/mod.rs", "let shared = stores::redis(config);"),
        ("src/store/redis/reply.rs", "use redis::RedisError;"),
        (
            "src/limiter/mod.rs",
            "let url = \"redis://host\"; let redis = 1;",
        ),
        (
            "src/node/mod.rs",
            "// SAFETY: on its own thread,\n// under the lock.\nunsafe { f() }",
        ),
        ("src/lib.rs", "//! Docs.\n\npub mod quota;\nmod store;"),
        ("src/node/mod.rs", &"\n".repeat(MAX_LINES)),
    ];
    for (path, text) in innocent {
        assert_eq!(complaints(path, text), [""; 0], "{text}");
    }
}

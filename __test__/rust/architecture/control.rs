//! The control: a checker that nothing fails checks nothing.

use super::{MAX_LINES, complaints};

#[test]
fn each_offence_is_found() {
    let offences = [
        (
            "src/quota/log.rs",
            "use napi::Error;",
            "names the napi crate",
        ),
        (
            "src/quota/log.rs",
            "use napi_derive::napi;",
            "names the napi_derive crate",
        ),
        (
            "src/quota/log.rs",
            "let t = tokio::time::Instant::now();",
            "names tokio",
        ),
        (
            "src/quota/log.rs",
            "use redis::Value;",
            "names the redis crate",
        ),
        (
            "src/quota/log.rs",
            "use crate::store::Op;",
            "imports crate::store",
        ),
        (
            "src/quota/log.rs",
            "use crate::{quota::Log, napi::JsSink};",
            "imports crate::napi",
        ),
        (
            "src/quota/log.rs",
            "use crate::{\n    quota::Log,\n    napi::JsSink,\n};",
            "imports crate::napi",
        ),
        (
            "src/quota/log.rs",
            "use super::super::limiter::Answer;",
            "imports crate::limiter",
        ),
        (
            "src/store/memory.rs",
            "fn f(e: napi::Error) {}",
            "names the napi crate",
        ),
        (
            "src/store/redis/resolver.rs",
            "use crate::limiter::Answer;",
            "imports crate::limiter",
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
            "src/napi/mod.rs",
            "extern crate redis;",
            "names the redis crate",
        ),
        (
            "src/limiter/mod.rs",
            "use crate::napi::JsSink;",
            "imports crate::napi",
        ),
        (
            "src/store/mod.rs",
            "use super::metrics::Metrics;",
            "imports crate::metrics",
        ),
        (
            "src/store/mod.rs",
            "use super::{metrics::Metrics, quota::Id};",
            "imports crate::metrics",
        ),
        (
            "src/store/redis/script/mod.rs",
            "use super::super::super::limiter::Answer;",
            "imports crate::limiter",
        ),
        (
            "src/cache/mod.rs",
            "use crate::store::MemoryStore;",
            "belongs to no layer",
        ),
        (
            "src/engine/link.rs",
            "use tokio::sync::Notify;",
            "names tokio in the engine",
        ),
        (
            "src/engine/link.rs",
            "let now = Instant::now();",
            "reads a clock in the engine",
        ),
        (
            "src/limiter/queue.rs",
            "let now = tokio::time::Instant::now();",
            "names tokio in src/limiter",
        ),
        (
            "src/engine/time.rs",
            "let chance = fastrand::f64();",
            "takes chance from the process in the engine",
        ),
        (
            "src/engine/server.rs",
            "state: Mutex<State>,",
            "has a lock in the engine",
        ),
        (
            "src/metrics/mod.rs",
            "use crate::limiter::Limiter;",
            "imports crate::limiter",
        ),
        (
            "src/store/mod.rs",
            "use crate::metrics::Metrics;",
            "imports crate::metrics",
        ),
        (
            "src/limiter/mod.rs",
            "fn f(e: napi::Error) {}",
            "names the napi crate",
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
            "src/napi/mod.rs",
            "let a = 1;\nunsafe { f() }",
            "napi/mod.rs:2: has no // SAFETY:",
        ),
    ];
    for (path, text, complaint) in offences {
        let found = complaints(path, text);
        assert!(
            found.iter().any(|c| c.contains(complaint)),
            "{path}: {text}: {found:?}"
        );
    }
    for path in ["src/napi/mod.rs", "src/store/redis/script/check.lua"] {
        let long = complaints(path, &"\n".repeat(MAX_LINES + 1));
        assert_eq!(long, [format!("{path}:501: is longer than 500 lines")]);
    }
}

#[test]
fn innocent_code_passes() {
    let innocent = [
        (
            "src/quota/log.rs",
            "//! No napi, no redis, no tokio; crate::store imports us.",
        ),
        ("src/quota/log.rs", "let store = restored(); // tokio"),
        (
            "src/napi/mod.rs",
            "use crate::store::redis::{RedisConfig, RedisStore};",
        ),
        ("src/store/mod.rs", "pub mod redis;"),
        ("src/limiter/mod.rs", "use crate::store::redis::RedisStore;"),
        (
            "src/napi/limiter.rs",
            "use crate::{quota::Log, limiter::Limiter};",
        ),
        ("src/napi/limiter.rs", "use napi::Error;"),
        ("src/napi/mod.rs", "let shared = registry::redis(config);"),
        ("src/store/redis/error_map.rs", "use redis::RedisError;"),
        (
            "src/limiter/mod.rs",
            "let url = \"redis://host\"; let redis = 1;",
        ),
        (
            "src/napi/mod.rs",
            "// SAFETY: on its own thread,\n// under the lock.\nunsafe { f() }",
        ),
        ("src/lib.rs", "//! Docs.\n\npub mod quota;\nmod store;"),
        ("src/napi/mod.rs", &"\n".repeat(MAX_LINES)),
    ];
    for (path, text) in innocent {
        assert_eq!(complaints(path, text), [""; 0], "{text}");
    }
}

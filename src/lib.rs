//! Exact rate limits for Node.js over Redis or memory.
//!
//! Layers, each of which imports only what stands before it: `quota <- store <- metrics <- limiter <- napi`.
//!
//! | module | what happens there |
//! |---|---|
//! | [`quota`] | the decision: pure, without I/O, handed the time |
//! | [`store`] | where logs live: process memory, one Redis, a Redis Cluster |
//! | [`metrics`] | counters, histograms and the ids nearest to their limit |
//! | [`limiter`] | what happens to a check: deny cache, circuit breaker, batch, deadline, and the fallback while the store is away |
//! | [`napi`] | the only module that knows JavaScript |
//!
//! `__test__/rust/architecture.rs` holds these rules.

// `pub` is what the tests, the benchmarks and JavaScript use; the rest is `pub(crate)` or less.
#![deny(unreachable_pub)]

pub mod limiter;
pub mod metrics;
pub mod napi;
pub mod old_limiter;
pub mod quota;
pub mod store;

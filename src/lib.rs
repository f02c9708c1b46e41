//! Exact rate limits for Node.js over Redis or memory.
//!
//! Layers, each of which imports only what stands before it:
//! `quota <- store <- metrics <- limiter <- engine <- driver <- napi`.
//!
//! | module | what happens there |
//! |---|---|
//! | [`quota`] | the decision: pure, without I/O, handed the time |
//! | [`store`] | where logs live: process memory, one Redis, a Redis Cluster; for Redis, the configuration, scripts and protocol |
//! | [`metrics`] | counters, histograms and the ids nearest to their limit |
//! | [`limiter`] | what happens to a check: deny cache, circuit breaker, batch, deadline, and the fallback while the store is away |
//! | [`engine`] | the state machine of one Redis deployment: connections, script calls, the shard map, timers; no I/O |
//! | [`driver`] | the I/O of an engine |
//! | [`napi`] | the only module that knows JavaScript |
//! | [`planted`] | defects for the simulator to find, with the feature `planted-defects` only; below all layers |
//!
//! `__test__/rust/architecture.rs` holds these rules.

// `pub` is what the tests, the benchmarks and JavaScript use; the rest is `pub(crate)` or less.
#![deny(unreachable_pub)]

pub mod driver;
pub mod engine;
pub mod limiter;
pub mod metrics;
pub mod napi;
pub mod planted;
pub mod quota;
pub mod store;

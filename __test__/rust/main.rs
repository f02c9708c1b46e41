//! The Rust tests, one binary, in modules called after those of `src`. (The simulator is a binary of its own:
//! `__test__/simulator/main.rs`.)
//!
//! | module | what it holds |
//! |---|---|
//! | `architecture` | the layers, and what each may import |
//! | `pure` | the decision against a naive reference, on random histories |
//! | `stores` | one contract over every store; and the script and the embedded store against the pure log |
//! | `redis` | one Redis: connecting, credentials, TLS, health checks, reconnects, errors of the server |
//! | `redis_cluster` | a Redis Cluster: routing, slots that move, failovers |
//! | `test_cluster` | a Redis Cluster that tests start, with slot migrations and failovers on demand |
//! | `timers` | stopped timers: real servers, while no timer of the product fires |
//! | `starvation` | tests of real-time budgets are run again where a control was starved, and that is reported |
//! | `driver` | servers and callers that misbehave: TLS sessions that end, passwords that never come, panics |
//! | `engine` | connections, calls and the shard map, driven by hand: without I/O and without a clock |
//! | `limiter` | batches, deadlines, the deny cache, the circuit breaker, fallback and replay, over modelled stores in virtual time |
//!
//! What they share: `redis_store` (an engine with its driver, whose script calls are futures), `store` (what the contract suite asks
//! of a store), `server` and `fake_server`, `acl` (users), `requests` (short constructors), `random_history` (proptest).
//!
//! `cargo test` runs them all. They start `redis-server` themselves; a machine without it fails, nothing is skipped. Most tests
//! wait most of the time: `cargo test -- --test-threads 16` takes a third of the time, also on two cores.
//! `--skip redis_cluster --skip test_cluster` leaves out those on a Redis Cluster, and nothing else.
//!
//! A busy machine decides no test. Time is the test's (`limiter`, `pure`, the script in `stores`), or stopped beside real servers
//! (`timers`); or things are counted instead. Where a real-time budget of the product is the claim, a
//! control in the same run says whether a failure counts (`starvation`).

#![allow(clippy::unwrap_used)]

mod acl;
mod architecture;
mod driver;
mod engine;
mod fake_server;
mod limiter;
mod pure;
mod random_history;
mod redis;
mod redis_cluster;
mod redis_store;
mod requests;
mod server;
mod starvation;
mod store;
mod stores;
mod test_cluster;
mod timers;

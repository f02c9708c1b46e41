//! The limiter: batches, deadlines, the deny cache, the circuit breaker, fallback, journal and replay.

mod availability;
mod batches;
mod circuit_breaker;
mod deadline;
mod deny_cache;
mod eager;
mod exactly_once;
mod fallback;
mod flaky_store;
mod journal;
mod metering;
mod redirects;
mod replay;
mod shards;
pub mod test_doubles;

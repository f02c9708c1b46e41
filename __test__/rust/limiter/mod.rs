//! The limiter: batches, deadlines, the deny cache, and what decides when the store is away.

mod availability;
mod batches;
mod breaker;
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
mod top;

//! The limiter: batches, deadlines, the deny cache, the circuit breaker, fallback, journal and replay. All of it in virtual
//! time, over modelled stores.

mod availability;
mod batches;
mod circuit_breaker;
mod deadline;
mod deny_cache;
mod eager;
mod exactly_once;
mod fake_stores;
mod fallback;
mod journal;
mod metering;
mod outage;
mod random_store;
mod redirects;
mod replay;
mod shards;
mod simulation;

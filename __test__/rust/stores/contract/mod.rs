//! The contract suite: what every store promises, written once and run over each.
//!
//! The clocks here are the stores' own. A test that waits sleeps until the moment that the store has promised, never longer.

mod anomaly;
mod batch;
mod concurrency;
mod decisions;
mod fixture;
mod servers;

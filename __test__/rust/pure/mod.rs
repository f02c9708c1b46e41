//! The pure decision: against a naive reference, and invariant by invariant.

mod anomaly;
mod clock_steps_back;
mod invariants;
mod key;
mod log;
pub mod naive;

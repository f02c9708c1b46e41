//! The pure decision: against a naive reference, and law by law.

mod anomaly;
mod clock_steps_back;
mod invariants;
mod key;
mod log;
pub mod naive;
mod ranges;

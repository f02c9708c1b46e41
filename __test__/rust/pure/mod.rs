//! The pure decision: against a naive reference, and law by law.

mod anomaly;
mod key;
mod laws;
mod log;
pub mod naive;
mod ranges;
mod stepping_back;

//! The stores: one contract over all of them, then each against the pure log.

mod contract;
mod memory;
mod reply;
mod script;

//! The stores: one contract over all of them; then the embedded store and the script of Redis, each against the pure log.

mod contract;
mod memory;
mod script;

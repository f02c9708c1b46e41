//! The stores: one contract over all of them, then each against the pure log.

mod anomaly;
mod contract;
mod contract_batch;
mod contract_crowd;
mod fixture;
mod flavours;
mod lua;
mod lua_history;
mod lua_rolling;
mod lua_stepping_back;
mod memory;
mod reply;

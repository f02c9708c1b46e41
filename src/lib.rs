//! Exact rate limits for Node.js over Redis or memory.
//!
//! The map of the house; who may know whom: `quota <- store <- limiter <- node`.
//!
//! | room | what happens there |
//! |---|---|
//! | [`quota`] | the decision: pure, no I/O, no clock of its own |
//! | [`store`] | where logs live: process memory, or one Redis |
//! | [`limiter`] | one check's way: denied cache, breaker, batch, deadline; and what decides when the store is away |
//! | [`node`] | the only room that knows JavaScript |
//!
//! `__test__/rust/rooms.rs` holds these rules.

pub mod limiter;
pub mod napi;
pub mod quota;
pub mod store;

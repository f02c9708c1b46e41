//! The only layer that knows JavaScript. It converts and does nothing else: promises, classes and errors are made in
//! `lib/`, since a test runner's realm has its own `Promise` and `Error`.

pub mod abi;
pub mod anomaly_log;
pub mod completion_queue;
mod credentials;
mod io_thread;
pub mod limiter;
pub mod metrics;
mod native_fn;
pub mod options;
mod outage_log;
mod registry;
mod submit;

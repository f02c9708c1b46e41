//! The only room that knows JavaScript. It converts and nothing else: promises, classes and errors are the face's
//! (`index.js`), since a test runner's realm has its own `Promise` and `Error`.

mod anomaly_log;
mod bound;
pub mod completions;
pub mod constants;
mod desk;
pub mod limiter;
mod meters;
pub mod metrics;
pub mod options;
mod outage_log;
pub mod outages;
pub mod record;
pub mod runtime;
pub mod stores;
mod trial;
pub mod wake;
mod way;

//! Drivers: the I/O of an engine.

mod io_thread;
mod socket;

use std::time::{Instant, SystemTime};

pub use io_thread::{Deliver, Driver};

use crate::engine::Moment;

/// The present moment.
pub fn now() -> Moment {
    Moment {
        steady: Instant::now(),
        wall: SystemTime::now(),
    }
}

//! How long to wait before the next attempt to connect.
//!
//! Full jitter: a random time from zero to a bound that doubles. Processes that lose a server at the same moment reconnect
//! spread over the whole wait. The wait ends early when the server's name resolves to another address: see
//! `engine/reconnect.rs`. (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.)

use std::time::Duration;

/// The bound of the first wait.
const FIRST: Duration = Duration::from_millis(100);

/// The largest bound. A server that is back is found within a second on average, and 500 processes are 500 connects a second,
/// which a small node can take.
const LONGEST: Duration = Duration::from_secs(2);

/// The longest wait after `failures` failures in a row (from 1).
fn bound(failures: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1));
    doubled.map_or(LONGEST, |times| FIRST.saturating_mul(times).min(LONGEST))
}

/// How long to wait after `failures` failures in a row (from 1).
pub(crate) fn wait(failures: u32, random: &mut fastrand::Rng) -> Duration {
    bound(failures).mul_f64(random.f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_of_the_wait_doubles_up_to_two_seconds() {
        let bounds = [1, 2, 3, 4, 5, 6, 40, u32::MAX].map(|n| bound(n).as_millis());
        assert_eq!(bounds, [100, 200, 400, 800, 1600, 2000, 2000, 2000]);
    }
}

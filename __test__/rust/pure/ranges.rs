//! Illegal quotas cannot be built.

use huntaze_rate_limit::quota::{
    Clock, Limit, MAX_LIMIT, MAX_WINDOW_MS, ManualClock, StoreClock, Window,
};

#[test]
fn a_limit_is_1_to_a_million() {
    assert_eq!(Limit::new(1).unwrap().get(), 1);
    assert_eq!(Limit::new(1_000_000).unwrap().get(), MAX_LIMIT);
    for n in [0, 1_000_001, u32::MAX] {
        let refused = Limit::new(n).unwrap_err();
        assert_eq!(refused.to_string(), "limit must be 1 to 1000000");
    }
}

#[test]
fn a_window_is_a_millisecond_to_31_days() {
    assert_eq!(Window::new(1).unwrap().ms(), 1);
    assert_eq!(Window::new(2_678_400_000).unwrap().ms(), MAX_WINDOW_MS);
    for ms in [0, 2_678_400_001, u64::MAX] {
        let refused = Window::new(ms).unwrap_err();
        assert_eq!(refused.to_string(), "windowMs must be 1 to 2678400000");
    }
}

#[test]
fn clocks_tell_unix_milliseconds_and_the_manual_one_obeys() {
    let unix = || {
        std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap()
            .as_millis() as u64
    };
    let before = unix();
    let told = StoreClock::new().now();
    assert!((before..=unix() + 1).contains(&told), "{told}");
    let clock = ManualClock::at(10);
    clock.advance(5);
    assert_eq!(clock.now(), 15);
    clock.set(3);
    assert_eq!(clock.now(), 3);
}

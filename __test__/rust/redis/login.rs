//! The schedule of re-authentication, by two clocks that a test sets.

use std::time::{Duration, Instant, SystemTime};

use huntaze_rate_limit::engine::Moment;
use huntaze_rate_limit::engine::login::Login;
use huntaze_rate_limit::store::redis::LOGIN_LIFE;

const MINUTE: Duration = Duration::from_secs(60);

fn login(now: Moment) -> Login {
    Login::new(LOGIN_LIFE, now, &mut fastrand::Rng::new())
}

/// A moment, and the same with each clock moved by this many minutes.
fn moments(steady: u32, wall: u32) -> (Moment, Moment) {
    let first = Moment {
        steady: Instant::now(),
        wall: SystemTime::now(),
    };
    let then = Moment {
        steady: first.steady + MINUTE * steady,
        wall: first.wall + MINUTE * wall,
    };
    (first, then)
}

fn is_due(steady: u32, wall: u32) -> bool {
    let (first, then) = moments(steady, wall);
    login(first).is_due(then)
}

#[test]
fn a_login_is_renewed_after_ten_and_a_half_to_eleven_and_a_half_hours() {
    for _ in 0..1000 {
        assert!(!is_due(10 * 60 + 29, 10 * 60 + 29));
        assert!(is_due(11 * 60 + 30, 11 * 60 + 30));
    }
    let early = (0..1000).filter(|_| is_due(11 * 60, 11 * 60)).count();
    // Half of them: 500, give or take 16.
    assert!((350..650).contains(&early), "{early}");
}

/// A process that is suspended for a night finds its timers where they were.
#[test]
fn either_clock_makes_a_login_due() {
    assert!(is_due(1, 12 * 60) && is_due(12 * 60, 1));
    let (now, _) = moments(0, 0);
    let set_back = Moment {
        steady: now.steady,
        wall: now.wall - MINUTE * 24 * 60,
    };
    assert!(!login(now).is_due(set_back));
}

#[test]
fn a_login_is_over_a_quarter_of_an_hour_before_its_end() {
    for (minutes, over) in [(11 * 60 + 44, false), (11 * 60 + 45, true)] {
        let (first, then) = moments(minutes, minutes);
        let mut login = login(first);
        assert_eq!(login.is_over(then), over);
        login.renewed(then, &mut fastrand::Rng::new());
        assert!(!login.is_over(then) && !login.is_due(then));
    }
}

/// A re-authentication is late by no more than this interval.
#[test]
fn its_age_is_checked_every_five_minutes() {
    let (first, then) = moments(10 * 60 + 28, 10 * 60 + 28);
    let login = login(first);
    assert_eq!(
        login.next_age_check(first, &mut fastrand::Rng::new()),
        MINUTE * 5
    );
    let wait = login.next_age_check(then, &mut fastrand::Rng::new());
    assert!(MINUTE * 2 <= wait && wait <= MINUTE * 5, "{wait:?}");
}

#[test]
fn the_delay_grows_with_each_failed_renewal() {
    let (first, then) = moments(11 * 60 + 30, 11 * 60 + 30);
    let mut login = login(first);
    assert_eq!(
        login.next_age_check(then, &mut fastrand::Rng::new()),
        Duration::ZERO
    );
    for seconds in [30, 60, 120, 240, 300, 300] {
        login.failed();
        let wait = login.next_age_check(then, &mut fastrand::Rng::new());
        let bound = Duration::from_secs(seconds);
        assert!(
            bound / 2 <= wait && wait <= bound,
            "{wait:?} of {seconds} s"
        );
    }
    login.renewed(then, &mut fastrand::Rng::new());
    assert_eq!(
        login.next_age_check(then, &mut fastrand::Rng::new()),
        MINUTE * 5
    );
}

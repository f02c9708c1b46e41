//! Who asks most: a bounded list whose counts are never too low.

use std::collections::HashMap;

use huntaze_rate_limit::limiter::meter::{MAX_ASKERS, Top};
use huntaze_rate_limit::quota::{Id, Limit, Window};
use proptest::prelude::*;

const HOUR: u64 = 3_600_000;

fn top() -> Top<u32> {
    Top::new(Window::new(HOUR).expect("an hour"))
}

fn id(n: u32) -> Id {
    Id::new(n.to_string()).expect("an id")
}

fn limit(n: u32) -> Limit {
    Limit::new(n).expect("a limit")
}

#[test]
fn the_one_nearest_to_its_limit_comes_first() {
    let top = top();
    for (n, asked, of) in [(1, 40, 50), (2, 60, 100), (3, 120, 500), (4, 70, 50)] {
        for _ in 0..asked {
            // A turn of its own for each: none is crowded.
            top.note(&id(n), limit(of), &n, u64::from(n), false);
        }
    }
    let read = top.read(3);
    let ids: Vec<_> = read.iter().map(|asker| asker.id.as_str()).collect();
    assert_eq!(ids, ["4", "1", "2"]);
    assert_eq!(read[0].requests, 70);
    assert_eq!((read[1].limit, read[1].ticket), (limit(50), 1));
}

#[test]
fn what_is_long_past_counts_less_and_is_gone_in_the_end() {
    let top = top();
    for _ in 0..8 {
        top.note(&id(1), limit(50), &0, 5, false);
    }
    let after = |windows: f64| 5 + (HOUR as f64 * windows / 1000.0) as u64;
    top.note(&id(2), limit(50), &0, after(1.01), false);
    assert_eq!(top.read(1)[0].requests, 2);
    top.note(&id(2), limit(50), &0, after(2.1), false);
    assert!(top.read(9).iter().all(|asker| asker.id != id(1)));
}

#[test]
fn a_crowd_is_sampled_and_whoever_asks_most_is_found() {
    let top = top();
    // One in ten of 200,000 requests in a second is of one id, the others are of 50,000.
    for n in 0..200_000_u32 {
        let who = if n % 10 == 0 { 7 } else { 1_000 + n % 50_000 };
        top.note(&id(who), limit(100), &0, 5, false);
    }
    let read = top.read(1);
    assert_eq!(read[0].id, id(7));
    // A sample of some 310: its standard deviation is 6 in a hundred, and what a newcomer takes over is at most 800.
    assert!((15_000..26_000).contains(&read[0].requests), "{read:?}");
}

#[test]
fn whoever_must_not_be_missed_is_found_in_any_crowd() {
    let top = top();
    for n in 0..10_000_u32 {
        top.note(&id(1_000 + n), limit(1_000_000), &0, 5, false);
    }
    for _ in 0..3 {
        top.note(&id(7), limit(5), &0, 5, true);
    }
    assert_eq!(top.read(1)[0].id, id(7));
}

proptest! {
    /// The bounds of the paper: with so many places, a count is never too low, and too high by less than a share.
    #[test]
    fn counts_are_bounded(asked in prop::collection::vec((0_u32..400, 0_u32..3), 1..4_000)) {
        let top = top();
        let mut exact = HashMap::new();
        for (i, (far, near)) in asked.iter().enumerate() {
            // Some ids often, many seldom; and a turn for each hundred: nothing is sampled.
            let who = if i % 3 == 0 { *near } else { *far };
            *exact.entry(who).or_insert(0_u64) += 1;
            top.note(&id(who), limit(100), &0, 5 + i as u64 / 100, false);
        }
        let read = top.read(usize::MAX);
        prop_assert!(read.len() <= MAX_ASKERS);
        let share = asked.len() as u64 / MAX_ASKERS as u64;
        for asker in &read {
            let really = exact[&asker.id.as_str().parse::<u32>().expect("a number")];
            prop_assert!(asker.requests >= really);
            prop_assert!(asker.requests <= really + share);
        }
        for (who, &really) in &exact {
            prop_assert!(really <= share || read.iter().any(|asker| asker.id == id(*who)));
        }
    }
}

//! Who asks most for their limit: a bounded list whose shares are never too low.

use std::cell::Cell;
use std::collections::HashMap;

use huntaze_rate_limit::metrics::{Entry, MAX_ENTRIES, Sample, TopK};
use huntaze_rate_limit::quota::{Id, Limit, Window};
use proptest::prelude::*;

const HOUR: u64 = 3_600_000;

struct Sketch(TopK, Cell<u64>);

impl Sketch {
    fn new() -> Self {
        Self(TopK::new(Window::new(HOUR).expect("an hour")), Cell::new(0))
    }

    /// One request of `who`, who may make `of`, in that second.
    fn ask(&self, who: u32, of: u32, second: u64) {
        self.look(who, of, second, None, false);
    }

    fn look(&self, who: u32, of: u32, second: u64, used: Option<u32>, telling: bool) {
        let look = Sample {
            id: &id(who),
            limit: Limit::new(of).expect("a limit"),
            label: who,
            used,
            near_limit: telling,
            one_in_bits: 6,
        };
        self.1.set(self.1.get() + 1);
        self.0.update(&look, second, self.1.get());
    }

    fn first(&self) -> Entry {
        self.0.top(1).swap_remove(0)
    }

    fn finds(&self, who: u32) -> bool {
        self.0
            .top(usize::MAX)
            .iter()
            .any(|asker| asker.id == id(who))
    }
}

fn id(n: u32) -> Id {
    Id::new(n.to_string()).expect("an id")
}

#[test]
fn the_one_nearest_to_its_limit_comes_first() {
    let top = Sketch::new();
    for (n, asked, of) in [(1, 40, 50), (2, 60, 100), (3, 120, 500), (4, 70, 50)] {
        for _ in 0..asked {
            // A second of its own for each: there is no crowd.
            top.ask(n, of, u64::from(n));
        }
    }
    let read = top.0.top(3);
    let ids: Vec<_> = read.iter().map(|asker| asker.id.as_str()).collect();
    assert_eq!(ids, ["4", "1", "2"]);
    assert_eq!(read[0].requests, 70);
    assert_eq!((read[1].limit.get(), read[1].label), (50, 1));
}

#[test]
fn many_with_large_limits_do_not_crowd_out_one_with_a_small_one() {
    let top = Sketch::new();
    for _ in 0..2 {
        top.ask(7, 2, 1);
    }
    for second in 2..8 {
        for n in 0..250 {
            top.ask(1_000 + n + second as u32, 500, second);
            top.ask(2_000 + n + second as u32, 500, second + 100);
        }
    }
    assert_eq!(top.first().id, id(7));
}

#[test]
fn what_is_long_past_counts_less_and_is_gone_in_the_end() {
    let top = Sketch::new();
    // From the first second on, whatever it is called.
    for _ in 0..8 {
        top.ask(1, 50, 0);
    }
    let after = |windows: f64| (HOUR as f64 * windows / 1000.0) as u64;
    top.ask(2, 50, after(1.01));
    assert_eq!(top.first().requests, 2);
    top.ask(2, 50, after(2.1));
    assert!(!top.finds(1));
}

#[test]
fn a_crowd_is_sampled_and_whoever_asks_most_is_found() {
    let top = Sketch::new();
    // One in ten of 200,000 requests in a second is of one id, the others are of 50,000.
    for n in 0..200_000_u32 {
        let who = if n % 10 == 0 { 7 } else { 1_000 + n % 50_000 };
        top.ask(who, 100, 5);
    }
    let first = top.first();
    assert_eq!(first.id, id(7));
    // A sample of some 310.
    assert!((14_000..26_000).contains(&first.requests), "{first:?}");
}

#[test]
fn what_is_telling_is_found_in_a_crowd() {
    let top = Sketch::new();
    for n in 0..10_000_u32 {
        top.ask(1_000 + n, 1_000_000, 5);
    }
    for _ in 0..3 {
        top.look(7, 5, 5, None, true);
    }
    assert_eq!(top.first().id, id(7));
    // Seen once, with the quota nearly used up.
    top.look(8, 1_000, 5, Some(990), true);
    assert_eq!(top.first().id, id(8));
}

/// Else ten thousand ids near their quota would cost each of their checks a lock and a search.
#[test]
fn a_crowd_of_telling_ones_is_sampled_too() {
    let top = Sketch::new();
    for n in 0..4_095 {
        top.look(1_000 + n, 1_000_000, 5, Some(990_000), true);
    }
    // The last one that is looked at in any case.
    top.look(9, 1_000_000, 5, Some(999_000), true);
    assert!(top.finds(9));
    for _ in 0..6_450 {
        top.look(7, 100, 5, None, true);
    }
    let first = top.first();
    assert_eq!((&first.id, first.requests % 64), (&id(7), 0));
    assert!((4_800..8_000).contains(&first.requests), "{first:?}");
    // The next second is looked at anew.
    top.look(8, 1, 6, Some(1), true);
    assert!(top.finds(8));
}

proptest! {
    /// The bounds of the paper: with so many places, a share is never too low, and too high by less than a part of all.
    #[test]
    fn shares_are_bounded(asked in prop::collection::vec((0_u32..400, 0_u32..3), 1..4_000)) {
        let top = Sketch::new();
        let mut exact = HashMap::new();
        for (i, (far, near)) in asked.iter().enumerate() {
            // Some ids often, many seldom; and a second for each hundred: nothing is sampled.
            let who = if i % 3 == 0 { *near } else { *far };
            *exact.entry(who).or_insert(0_u64) += 1;
            top.ask(who, 100, 5 + i as u64 / 100);
        }
        let read = top.0.top(usize::MAX);
        prop_assert!(read.len() <= MAX_ENTRIES);
        let part = asked.len() as f64 / MAX_ENTRIES as f64;
        for asker in &read {
            let really = exact[&asker.id.as_str().parse::<u32>().expect("a number")];
            prop_assert!(asker.requests <= really);
            let share = asker.share * 100.0;
            prop_assert!(share > really as f64 - 0.001 && share < really as f64 + part + 0.001);
        }
        for (who, &really) in &exact {
            prop_assert!(really as f64 <= part || top.finds(*who));
        }
    }
}

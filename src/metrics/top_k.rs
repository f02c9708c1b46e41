//! The ids that request most in proportion to their limit: a bounded list of the top k.
//!
//! "Space-Saving" (Metwally, Agrawal, El Abbadi: "Efficient computation of frequent and top-k elements in data streams",
//! ICDT 2005) over shares, to which a request adds 1 / limit: a new id replaces the entry with the least share and takes over
//! that share. So a share is never too low, and too high by no more than the least share in the list. Every id with a greater
//! share is in the list, whatever the limits of the others.
//!
//! Above a rate of requests only a sample of them is counted, each with the weight of the others. Then a share is an estimate.
//! Requests that show an id near its limit are sampled only above a higher rate.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::quota::{Id, Limit, Window};

/// The most ids in the list.
pub(super) const MAX_TOP_IDS: usize = 256;

/// The number of requests a second that are counted without sampling, and of those near their limit. To count a request takes
/// up to a microsecond, for an id that is not in the list: together at most half a percent of one core. Sampled requests
/// come on top.
const UNSAMPLED: u32 = 256;
const UNSAMPLED_NEAR_LIMIT: u32 = 4096;

/// The length of a tick, in seconds.
pub(super) const TICK_SECONDS: u64 = 1;

/// No tick has this number.
const NO_TICK: u64 = u64::MAX;

/// An opaque number that the caller gives a request, and finds again in the list.
pub type Label = u32;

/// An id in the list.
#[derive(Debug, Clone, PartialEq)]
pub struct TopEntry {
    /// The id.
    pub id: Id,
    /// The limit of its last counted request.
    pub limit: Limit,
    /// The label of that request.
    pub label: Label,
    /// Requests since it entered the list, estimated.
    pub requests: u64,
    /// Requests divided by their limits, estimated, and at least the used part of the limit where an answer showed it. This
    /// number and `requests` are halved with each half of the window that passes, so that older requests count less.
    pub share: f64,
}

/// A request, as the list counts it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample<'a> {
    /// The id.
    pub id: &'a Id,
    /// Its limit.
    pub limit: Limit,
    /// Its label.
    pub label: Label,
    /// How much of the limit is used, if the answer shows it.
    pub used: Option<u32>,
    /// It shows the id near its limit: sampled apart from the requests that do not.
    pub near_limit: bool,
    /// When sampled, one request in two to this power is counted.
    pub one_in_bits: u32,
}

/// The ids of one limiter that request most.
#[derive(Debug)]
pub(super) struct TopK {
    /// The tick in which requests are sampled, and the tick in which requests near their limit are.
    sampled: AtomicU64,
    sampled_near_limit: AtomicU64,
    /// The number of ticks after which counts are halved.
    half_life: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: Vec<TopEntry>,
    indices: HashMap<Id, usize>,
    tick: Option<u64>,
    sampled: u32,
    near_limit: u32,
    halved: u64,
}

impl TopK {
    /// The list of a limiter with this window.
    pub(super) fn new(window: Window) -> Self {
        Self {
            sampled: AtomicU64::new(NO_TICK),
            sampled_near_limit: AtomicU64::new(NO_TICK),
            half_life: (window.ms() / 2000 / TICK_SECONDS).max(1),
            state: Mutex::new(State::default()),
        }
    }

    /// Counts a request in `tick`. Ticks may start from any number, and rise; `number` differs for each request.
    pub(super) fn update(&self, sample: &Sample<'_>, tick: u64, number: u64) {
        let sampled_tick = match sample.near_limit {
            true => &self.sampled_near_limit,
            false => &self.sampled,
        };
        let is_sampling = sampled_tick.load(Ordering::Relaxed) == tick;
        if is_sampling && !is_chosen(number, sample.one_in_bits) {
            return;
        }
        let mut state = self.state.lock();
        if state.tick != Some(tick) {
            state.begin(tick, self.half_life);
        }
        if state.reaches_bound(sample.near_limit) {
            sampled_tick.store(tick, Ordering::Relaxed);
        }
        let weight = if is_sampling {
            1 << sample.one_in_bits
        } else {
            1
        };
        state.count(sample, weight);
    }

    /// Empties the list.
    pub(super) fn clear(&self) {
        *self.state.lock() = State::default();
        for sampled_tick in [&self.sampled, &self.sampled_near_limit] {
            sampled_tick.store(NO_TICK, Ordering::Relaxed);
        }
    }

    /// At most `count` entries, the greatest share first.
    pub(super) fn top(&self, count: usize) -> Vec<TopEntry> {
        let mut entries = self.state.lock().entries.clone();
        entries.sort_by(|a, b| b.share.total_cmp(&a.share));
        entries.truncate(count);
        entries
    }
}

/// Chooses one number in two to the power of `bits`, by multiples of the golden ratio, which are spread evenly for any step
/// (Knuth, "The Art of Computer Programming", vol. 3, 6.4). With every n-th number, ids that take turns would be missed.
fn is_chosen(number: u64, bits: u32) -> bool {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - bits) == 0
}

impl State {
    fn begin(&mut self, tick: u64, half_life: u64) {
        if self.tick.replace(tick).is_none() {
            self.halved = tick;
        }
        (self.sampled, self.near_limit) = (0, 0);
        let halvings = tick.saturating_sub(self.halved) / half_life;
        if halvings == 0 {
            return;
        }
        self.halved += halvings * half_life;
        // 64 halvings leave nothing of any count.
        let halvings = halvings.min(64) as i32;
        for entry in &mut self.entries {
            entry.requests = entry.requests.checked_shr(halvings as u32).unwrap_or(0);
            entry.share *= 0.5_f64.powi(halvings);
        }
        self.entries.retain(|entry| entry.requests > 0);
        let indices = self.entries.iter().enumerate();
        self.indices = indices.map(|(n, entry)| (entry.id.clone(), n)).collect();
    }

    /// Counts a request of this tick towards the bound of its kind. Returns whether it is the last one before sampling.
    fn reaches_bound(&mut self, near_limit: bool) -> bool {
        let (counted, bound) = match near_limit {
            true => (&mut self.near_limit, UNSAMPLED_NEAR_LIMIT),
            false => (&mut self.sampled, UNSAMPLED),
        };
        *counted += 1;
        *counted == bound
    }

    fn count(&mut self, sample: &Sample<'_>, weight: u32) {
        let index = match self.indices.get(sample.id) {
            Some(&index) => index,
            None => self.enter(sample),
        };
        let entry = &mut self.entries[index];
        entry.limit = sample.limit;
        entry.label = sample.label;
        entry.requests += u64::from(weight);
        let of_limit = |count: u32| f64::from(count) / f64::from(sample.limit.get());
        entry.share += of_limit(weight);
        entry.share = entry.share.max(sample.used.map_or(0.0, of_limit));
    }

    /// Adds an id to the list, before its first request is counted. Returns its index.
    fn enter(&mut self, sample: &Sample<'_>) -> usize {
        let mut entry = TopEntry {
            id: sample.id.clone(),
            limit: sample.limit,
            label: sample.label,
            requests: 0,
            share: 0.0,
        };
        let shares = self.entries.iter().map(|entry| entry.share).enumerate();
        let least = shares.min_by(|(_, a), (_, b)| a.total_cmp(b));
        let index = match least {
            Some((index, share)) if self.entries.len() >= MAX_TOP_IDS => {
                entry.share = share;
                let replaced = std::mem::replace(&mut self.entries[index], entry);
                self.indices.remove(&replaced.id);
                index
            }
            _ => {
                self.entries.push(entry);
                self.entries.len() - 1
            }
        };
        self.indices.insert(sample.id.clone(), index);
        index
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::quota::Window;

    const HOUR: u64 = 3_600_000;

    /// The list, and the number of the last request.
    struct Sketch(TopK, Cell<u64>);

    impl Sketch {
        fn new() -> Self {
            Self(TopK::new(Window::new(HOUR).expect("an hour")), Cell::new(0))
        }

        /// One request of `who` under the limit `of` in that second.
        fn ask(&self, who: u32, of: u32, second: u64) {
            self.sample(who, of, second, None, false);
        }

        fn sample(&self, who: u32, of: u32, second: u64, used: Option<u32>, near_limit: bool) {
            let sample = Sample {
                id: &id(who),
                limit: Limit::new(of).expect("a limit"),
                label: who,
                used,
                near_limit,
                one_in_bits: 6,
            };
            self.1.set(self.1.get() + 1);
            self.0.update(&sample, second, self.1.get());
        }

        fn first(&self) -> TopEntry {
            self.0.top(1).swap_remove(0)
        }

        fn finds(&self, who: u32) -> bool {
            self.0
                .top(usize::MAX)
                .iter()
                .any(|entry| entry.id == id(who))
        }
    }

    fn id(n: u32) -> Id {
        Id::new(n.to_string()).expect("an id")
    }

    #[test]
    fn the_id_nearest_to_its_limit_comes_first() {
        let top = Sketch::new();
        for (n, asked, of) in [(1, 40, 50), (2, 60, 100), (3, 120, 500), (4, 70, 50)] {
            for _ in 0..asked {
                // A second of its own for each id: nothing is sampled.
                top.ask(n, of, u64::from(n));
            }
        }
        let read = top.0.top(3);
        let ids: Vec<_> = read.iter().map(|entry| entry.id.as_str()).collect();
        assert_eq!(ids, ["4", "1", "2"]);
        assert_eq!(read[0].requests, 70);
        assert_eq!((read[1].limit.get(), read[1].label), (50, 1));
    }

    #[test]
    fn many_ids_with_large_limits_do_not_evict_one_with_a_small_limit() {
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
    fn old_requests_count_less_and_are_forgotten_in_the_end() {
        let top = Sketch::new();
        // The first second may have any number.
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
    fn above_the_rate_requests_are_sampled_and_the_top_id_is_found() {
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
    fn a_request_near_its_limit_is_not_sampled_with_the_others() {
        let top = Sketch::new();
        for n in 0..10_000_u32 {
            top.ask(1_000 + n, 1_000_000, 5);
        }
        for _ in 0..3 {
            top.sample(7, 5, 5, None, true);
        }
        assert_eq!(top.first().id, id(7));
        // Seen once, with the quota nearly used up.
        top.sample(8, 1_000, 5, Some(990), true);
        assert_eq!(top.first().id, id(8));
    }

    /// Else ten thousand ids near their limit would cost each of their checks a lock and a search.
    #[test]
    fn many_requests_near_their_limit_are_sampled_too() {
        let top = Sketch::new();
        for n in 0..4_095 {
            top.sample(1_000 + n, 1_000_000, 5, Some(990_000), true);
        }
        // The last one before sampling begins.
        top.sample(9, 1_000_000, 5, Some(999_000), true);
        assert!(top.finds(9));
        for _ in 0..6_450 {
            top.sample(7, 100, 5, None, true);
        }
        let first = top.first();
        assert_eq!((&first.id, first.requests % 64), (&id(7), 0));
        assert!((4_800..8_000).contains(&first.requests), "{first:?}");
        // The next second begins without sampling.
        top.sample(8, 1, 6, Some(1), true);
        assert!(top.finds(8));
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// The bounds of the paper: a share is never too low, and too high by at most the number of all requests divided by the
        /// length of the list.
        #[test]
        fn shares_are_bounded(asked in prop::collection::vec((0_u32..400, 0_u32..3), 1..4_000)) {
            let top = Sketch::new();
            let mut exact = HashMap::new();
            for (i, (far, near)) in asked.iter().enumerate() {
                // Some ids often, many rarely, and a second for each hundred requests: nothing is sampled.
                let who = if i % 3 == 0 { *near } else { *far };
                *exact.entry(who).or_insert(0_u64) += 1;
                top.ask(who, 100, 5 + i as u64 / 100);
            }
            let read = top.0.top(usize::MAX);
            prop_assert!(read.len() <= MAX_TOP_IDS);
            let bound = asked.len() as f64 / MAX_TOP_IDS as f64;
            for entry in &read {
                let really = exact[&entry.id.as_str().parse::<u32>().expect("a number")];
                prop_assert!(entry.requests <= really);
                let share = entry.share * 100.0;
                prop_assert!(share > really as f64 - 0.001 && share < really as f64 + bound + 0.001);
            }
            for (who, &really) in &exact {
                prop_assert!(really as f64 <= bound || top.finds(*who));
            }
        }
    }
}

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
pub const MAX_ENTRIES: usize = 256;

/// The number of requests a second that are counted without sampling, and of those near their limit. To count a request takes
/// up to a microsecond, for an id that is not in the list: together at most half a percent of one core. Sampled requests
/// come on top.
const UNSAMPLED: u32 = 256;
const UNSAMPLED_NEAR_LIMIT: u32 = 4096;

/// The length of a tick, in seconds.
pub const TICK_SECONDS: u64 = 1;

/// No tick has this number.
const NO_TICK: u64 = u64::MAX;

/// An opaque number that the caller gives a request, and finds again in the list: the creator's plan.
pub type Label = u32;

/// An id in the list.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
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
pub struct Sample<'a> {
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
pub struct TopK {
    /// The tick in which requests are sampled, and the tick in which requests near their limit are.
    sampled: AtomicU64,
    sampled_near_limit: AtomicU64,
    /// The number of ticks after which counts are halved.
    half_life: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: Vec<Entry>,
    indices: HashMap<Id, usize>,
    tick: Option<u64>,
    sampled: u32,
    near_limit: u32,
    halved: u64,
}

impl TopK {
    /// The list of a limiter with this window.
    pub fn new(window: Window) -> Self {
        Self {
            sampled: AtomicU64::new(NO_TICK),
            sampled_near_limit: AtomicU64::new(NO_TICK),
            half_life: (window.ms() / 2000 / TICK_SECONDS).max(1),
            state: Mutex::new(State::default()),
        }
    }

    /// Counts a request in `tick`. Ticks may start from any number, and rise; `number` differs for each request.
    pub fn update(&self, sample: &Sample<'_>, tick: u64, number: u64) {
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
    pub fn clear(&self) {
        *self.state.lock() = State::default();
        for sampled_tick in [&self.sampled, &self.sampled_near_limit] {
            sampled_tick.store(NO_TICK, Ordering::Relaxed);
        }
    }

    /// At most `count` entries, the greatest share first.
    pub fn top(&self, count: usize) -> Vec<Entry> {
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
        let mut entry = Entry {
            id: sample.id.clone(),
            limit: sample.limit,
            label: sample.label,
            requests: 0,
            share: 0.0,
        };
        let shares = self.entries.iter().map(|entry| entry.share).enumerate();
        let least = shares.min_by(|(_, a), (_, b)| a.total_cmp(b));
        let index = match least {
            Some((index, share)) if self.entries.len() >= MAX_ENTRIES => {
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

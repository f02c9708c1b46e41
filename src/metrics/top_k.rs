//! Who asks most for their limit: a bounded list that an id enters by asking.
//!
//! "Space-Saving" (Metwally, Agrawal, El Abbadi: "Efficient computation of frequent and top-k elements in data streams",
//! ICDT 2005) over shares, of which a request adds 1 / limit: a newcomer takes the place of the least share, and takes that
//! share over. So a share is never too low, and too high by no more than the least in the list; whoever has more than that
//! is in it, whatever the limits of the others.
//!
//! In a crowd a few requests are looked at, and count for those that are not. Then a share is an estimate. Of requests that say
//! that an id is near its quota a larger crowd is looked at, one by one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::quota::{Id, Limit, Window};

/// The most ids it holds.
pub const MAX_ENTRIES: usize = 256;

/// Requests that are looked at in any case in one turn, and telling ones besides. A look takes up to a microsecond, for an id
/// that is not in the list: so many are half a hundredth of one core. Samples come on top.
const UNSAMPLED: u32 = 256;
const UNSAMPLED_NEAR_LIMIT: u32 = 4096;

/// How long a turn is.
pub const TICK_SECONDS: u64 = 1;

/// The turn that never comes.
const NO_TICK: u64 = u64::MAX;

/// An opaque number that the caller gives a request and finds in the list again: the creators' plan.
pub type Label = u32;

/// One who asks often.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Who.
    pub id: Id,
    /// The limit of the request that was looked at last.
    pub limit: Limit,
    /// What told that request from others.
    pub label: Label,
    /// Requests since it is in the list, about.
    pub requests: u64,
    /// Requests by limit, about, and not less than was known to be used. This and the number of requests are halved with each
    /// half of the window that passes: what is long past counts less.
    pub share: f64,
}

/// One request, as it is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// Who asks.
    pub id: &'a Id,
    /// For what limit.
    pub limit: Limit,
    /// What tells this request from others.
    pub label: Label,
    /// How much of the limit is used, where the answer says so.
    pub used: Option<u32>,
    /// It says that the id is near its quota: not to be missed in a crowd that is not.
    pub near_limit: bool,
    /// In a crowd one in two to this power is looked at.
    pub one_in_bits: u32,
}

/// The ids of one limiter that ask most.
#[derive(Debug)]
pub struct TopK {
    /// The turn in which there is a crowd, and one of telling requests.
    sampled: AtomicU64,
    sampled_near_limit: AtomicU64,
    /// Turns after which counts are halved.
    half_life: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    entries: Vec<Entry>,
    indices: HashMap<Id, usize>,
    tick: Option<u64>,
    sampled: u32,
    near_limit: u32,
    halved: u64,
}

impl TopK {
    /// Of a limiter with this window.
    pub fn new(window: Window) -> Self {
        Self {
            sampled: AtomicU64::new(NO_TICK),
            sampled_near_limit: AtomicU64::new(NO_TICK),
            half_life: (window.ms() / 2000 / TICK_SECONDS).max(1),
            state: Mutex::new(State::default()),
        }
    }

    /// Somebody asks in that turn. Turns count from anywhere, and on; `number` is another for each request.
    pub fn update(&self, look: &Sample<'_>, turn: u64, number: u64) {
        let crowd = match look.near_limit {
            true => &self.sampled_near_limit,
            false => &self.sampled,
        };
        let crowded = crowd.load(Ordering::Relaxed) == turn;
        if crowded && !is_sampled(number, look.one_in_bits) {
            return;
        }
        let mut state = self.state.lock();
        if state.tick != Some(turn) {
            state.begin(turn, self.half_life);
        }
        if state.reaches_bound(look.near_limit) {
            crowd.store(turn, Ordering::Relaxed);
        }
        state.count(look, if crowded { 1 << look.one_in_bits } else { 1 });
    }

    /// Forgets everybody.
    pub fn clear(&self) {
        *self.state.lock() = State::default();
        for crowd in [&self.sampled, &self.sampled_near_limit] {
            crowd.store(NO_TICK, Ordering::Relaxed);
        }
    }

    /// Up to `count` of them, first who has asked most for the limit.
    pub fn top(&self, count: usize) -> Vec<Entry> {
        let mut askers = self.state.lock().entries.clone();
        askers.sort_by(|a, b| b.share.total_cmp(&a.share));
        askers.truncate(count);
        askers
    }
}

/// Chooses one in two to the power of `bits`: not each so many-th, for who asks in turns with others would be missed, but by
/// the multiples of the golden ratio, which are spread evenly, whatever the step (Knuth, "The Art of Computer Programming",
/// vol. 3, 6.4).
fn is_sampled(number: u64, bits: u32) -> bool {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - bits) == 0
}

impl Default for State {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            indices: HashMap::new(),
            tick: None,
            sampled: 0,
            near_limit: 0,
            halved: 0,
        }
    }
}

impl State {
    fn begin(&mut self, turn: u64, half_life: u64) {
        if self.tick.replace(turn).is_none() {
            self.halved = turn;
        }
        (self.sampled, self.near_limit) = (0, 0);
        let halvings = turn.saturating_sub(self.halved) / half_life;
        if halvings == 0 {
            return;
        }
        self.halved += halvings * half_life;
        // After so many nothing is left of any count.
        let halvings = halvings.min(64) as i32;
        for asker in &mut self.entries {
            asker.requests = asker.requests.checked_shr(halvings as u32).unwrap_or(0);
            asker.share *= 0.5_f64.powi(halvings);
        }
        self.entries.retain(|asker| asker.requests > 0);
        let places = self.entries.iter().enumerate();
        self.indices = places.map(|(n, asker)| (asker.id.clone(), n)).collect();
    }

    /// One more is looked at in this turn. Whether it is the last of its kind that is looked at in any case.
    fn reaches_bound(&mut self, telling: bool) -> bool {
        let (seen, full) = match telling {
            true => (&mut self.near_limit, UNSAMPLED_NEAR_LIMIT),
            false => (&mut self.sampled, UNSAMPLED),
        };
        *seen += 1;
        *seen == full
    }

    fn count(&mut self, look: &Sample<'_>, weight: u32) {
        let place = match self.indices.get(look.id) {
            Some(&place) => place,
            None => self.enter(look),
        };
        let asker = &mut self.entries[place];
        asker.limit = look.limit;
        asker.label = look.label.clone();
        asker.requests += u64::from(weight);
        let of_limit = |count: u32| f64::from(count) / f64::from(look.limit.get());
        asker.share += of_limit(weight);
        asker.share = asker.share.max(look.used.map_or(0.0, of_limit));
    }

    /// The place of a newcomer, where nothing is counted yet.
    fn enter(&mut self, look: &Sample<'_>) -> usize {
        let mut asker = Entry {
            id: look.id.clone(),
            limit: look.limit,
            label: look.label.clone(),
            requests: 0,
            share: 0.0,
        };
        let shares = self.entries.iter().map(|asker| asker.share).enumerate();
        let least = shares.min_by(|(_, a), (_, b)| a.total_cmp(b));
        let place = match least {
            Some((place, share)) if self.entries.len() >= MAX_ENTRIES => {
                asker.share = share;
                let gone = std::mem::replace(&mut self.entries[place], asker);
                self.indices.remove(&gone.id);
                place
            }
            _ => {
                self.entries.push(asker);
                self.entries.len() - 1
            }
        };
        self.indices.insert(look.id.clone(), place);
        place
    }
}

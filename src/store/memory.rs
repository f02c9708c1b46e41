//! The embedded store: exact for all threads of the process, and lost with it.
//!
//! It holds a bounded number of ids. A new id evicts the one that has used least of its limit. An id that is being denied is
//! evicted last: else a client that is denied would be admitted again after enough requests under other ids.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::num::NonZeroU64;

use hashlink::LinkedHashMap;
use hashlink::linked_hash_map::RawEntryMut;
use parking_lot::Mutex;

use super::{Op, Request};
use crate::quota::{
    Clock, Decision, History, Id, Limit, Millis, Outcome, Rules, StoreClock, Verdict,
};

/// How many ids a memory store holds. With full logs of 100 admissions that measured 133 MB; an application with more active
/// ids needs Redis.
pub const MAX_MEMORY_IDS: usize = 100_000;

/// The most idle histories that a request frees. More than one, so that many ids are freed faster than they came.
const SWEEP: usize = 2;

/// Histories in process memory.
pub struct MemoryStore<C = StoreClock> {
    clock: C,
    capacity: usize,
    histories: Mutex<Histories>,
}

/// Less than half of the limit used, less than the limit, all of it; and denied at the last request.
const CLASSES: usize = 4;

/// Histories by how much of the limit is used; in each class, the least recently used first.
struct Histories {
    // Ids come from users: with the keyed hasher of std they cannot choose collisions.
    classes: [LinkedHashMap<Id, History, RandomState>; CLASSES],
    hasher: RandomState,
}

impl Histories {
    fn new() -> Self {
        let hasher = RandomState::new();
        Self {
            classes: std::array::from_fn(|_| LinkedHashMap::with_hasher(hasher.clone())),
            hasher,
        }
    }

    fn len(&self) -> usize {
        self.classes.iter().map(LinkedHashMap::len).sum()
    }

    fn get(&self, id: &Id) -> Option<&History> {
        let hash = self.hasher.hash_one(id);
        let mut classes = self.classes.iter();
        let found = classes.find_map(|class| class.raw_entry().from_key_hashed_nocheck(hash, id));
        found.map(|(_, history)| history)
    }

    fn get_mut(&mut self, id: &Id) -> Option<&mut History> {
        self.classes.iter_mut().find_map(|class| class.get_mut(id))
    }

    fn remove(&mut self, id: &Id) -> Option<History> {
        self.classes.iter_mut().find_map(|class| class.remove(id))
    }

    /// Calls `decide` with the history of `id`, which is then the most recently used of its class. For a new history an id may
    /// be evicted, which is returned.
    fn update(
        &mut self,
        id: &Id,
        limit: Limit,
        capacity: usize,
        decide: impl FnOnce(&mut History) -> Outcome,
    ) -> (Outcome, Option<Id>) {
        let hash = self.hasher.hash_one(id);
        for current in 0..CLASSES {
            let entry = self.classes[current].raw_entry_mut();
            let RawEntryMut::Occupied(mut entry) = entry.from_key_hashed_nocheck(hash, id) else {
                continue;
            };
            let outcome = decide(entry.get_mut());
            let class = class(entry.get(), limit, &outcome);
            if class == current {
                entry.to_back();
            } else {
                let (id, history) = entry.remove_entry();
                self.insert(hash, class, id, history);
            }
            return (outcome, None);
        }
        let mut evicted = None;
        while self.len() >= capacity {
            evicted = self.evict(capacity);
        }
        let mut history = History::default();
        let outcome = decide(&mut history);
        self.insert(hash, class(&history, limit, &outcome), id.clone(), history);
        (outcome, evicted)
    }

    /// Evicts a history, and returns its id. The first class keeps an eighth of the capacity: if ids that have used more fill the
    /// rest, two new ids would otherwise evict each other, and neither would ever be denied.
    fn evict(&mut self, capacity: usize) -> Option<Id> {
        let order = match self.classes[0].len() < capacity / 8 {
            true => [1, 2, 0, 3],
            false => [0, 1, 2, 3],
        };
        let mut classes = order.into_iter();
        let evicted = classes.find_map(|class| self.classes[class].pop_front());
        evicted.map(|(id, _)| id)
    }

    fn insert(&mut self, hash: u64, class: usize, id: Id, history: History) {
        let entry = self.classes[class].raw_entry_mut();
        if let RawEntryMut::Vacant(entry) = entry.from_key_hashed_nocheck(hash, &id) {
            entry.insert_hashed_nocheck(hash, id, history);
        }
    }

    /// Frees up to [`SWEEP`] idle histories, from the least recently used on.
    fn sweep(&mut self, now: Millis, rules: Rules) {
        let mut left = SWEEP;
        for class in &mut self.classes {
            while left > 0
                && let Some((_, history)) = class.front()
                && history.is_idle(now, rules)
            {
                class.pop_front();
                left -= 1;
            }
        }
    }
}

/// The class of a history after a request.
fn class(history: &History, limit: Limit, outcome: &Outcome) -> usize {
    let limit = limit.get() as usize;
    match history.admissions() {
        _ if !outcome.decision.is_allowed() => 3,
        used if used >= limit => 2,
        used if used * 2 >= limit => 1,
        _ => 0,
    }
}

impl MemoryStore {
    /// An empty store for [`MAX_MEMORY_IDS`] ids, on the process's clock.
    pub fn new() -> Self {
        Self::with_clock(StoreClock::new(), MAX_MEMORY_IDS)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Clock> MemoryStore<C> {
    /// An empty store for `capacity` ids (at least one) on `clock`.
    pub fn with_clock(clock: C, capacity: usize) -> Self {
        Self {
            clock,
            capacity: capacity.max(1),
            histories: Mutex::new(Histories::new()),
        }
    }

    /// Decides one request in the call itself.
    pub fn answer(&self, rules: Rules, request: &Request) -> Outcome {
        self.decide(rules, request).0
    }

    /// As [`answer`](Self::answer), and returns the moment of the decision.
    pub fn decide(&self, rules: Rules, request: &Request) -> (Outcome, Millis) {
        let (outcome, now, _) = self.decide_evicting(rules, request);
        (outcome, now)
    }

    /// As [`decide`](Self::decide), and returns the id that was evicted, if there is one.
    pub(crate) fn decide_evicting(
        &self,
        rules: Rules,
        request: &Request,
    ) -> (Outcome, Millis, Option<Id>) {
        let mut histories = self.histories.lock();
        // Read under the lock, so that moments enter a log in the order of its decisions.
        let now = self.clock.now();
        histories.sweep(now, rules);
        let (id, limit) = (&request.id, request.limit);
        let capacity = self.capacity;
        let mut evicted = None;
        let outcome = match request.op {
            Op::Check | Op::Limit => {
                let check = |history: &mut History| history.check(now, rules, limit);
                let (outcome, removed) = histories.update(id, limit, capacity, check);
                evicted = removed;
                outcome
            }
            Op::Status => match histories.get(id) {
                Some(history) => Outcome::of(history.status(now, rules, limit)),
                None => Outcome::of(unused(now, rules, limit)),
            },
            Op::Reset => {
                histories.remove(id);
                Outcome::of(unused(now, rules, limit))
            }
            Op::CountDenials(denials) => {
                let count = |history: &mut History| Outcome {
                    anomaly_status: history.count_denials(now, rules, limit, denials),
                    ..Outcome::of(history.status(now, rules, limit))
                };
                histories.update(id, limit, capacity, count).0
            }
        };
        (outcome, now, evicted)
    }

    /// The clock of the store.
    pub(crate) fn clock(&self) -> &C {
        &self.clock
    }

    /// The ages at `now` of the admissions of `id` to replay next: of its `pending` newest admissions the oldest `most`, newest
    /// first. Also returns how many pending ones are left after these.
    pub fn ages(&self, id: &Id, pending: usize, most: usize, now: Millis) -> (Vec<Millis>, usize) {
        let histories = self.histories.lock();
        let Some(history) = histories.get(id) else {
            return (Vec::new(), 0);
        };
        let count = history.admissions().min(pending);
        let newer = count.saturating_sub(most);
        let moments = history.moments().take(count).skip(newer);
        let ages = moments.map(|moment| now.saturating_sub(moment));
        (ages.collect(), newer)
    }

    /// Another store has reported an anomaly of `id`: none is reported here for `pause` ms. A new id is not entered if the store is
    /// full.
    pub fn pause(&self, id: &Id, rules: Rules, pause: NonZeroU64) {
        let mut histories = self.histories.lock();
        let now = self.clock.now();
        histories.sweep(now, rules);
        if let Some(history) = histories.get_mut(id) {
            history.pause(now, rules, pause);
        } else if histories.len() < self.capacity {
            let mut history = History::default();
            history.pause(now, rules, pause);
            let hash = histories.hasher.hash_one(id);
            histories.insert(hash, 0, id.clone(), history);
        }
    }

    /// Deletes the log and tally of an id.
    pub fn forget(&self, id: &Id) {
        self.histories.lock().remove(id);
    }

    /// Deletes the logs and tallies of all ids.
    pub fn clear(&self) {
        *self.histories.lock() = Histories::new();
    }

    /// The number of ids in the store.
    pub fn len(&self) -> usize {
        self.histories.lock().len()
    }

    /// Whether the store holds no id.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn unused(now: Millis, rules: Rules, limit: Limit) -> Decision {
    Decision {
        verdict: Verdict::Allowed,
        remaining: limit.get(),
        reset: now + rules.window.ms(),
        reset_after: rules.window.ms(),
    }
}

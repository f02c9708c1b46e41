//! The store inside the process: exact for all its threads, gone with it.
//!
//! It holds so many ids and no more. When one too many comes, the id that has used least of its limit makes room, and one
//! that is being denied goes last: else a client that is denied would be let in again by asking under enough other ids.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::num::NonZeroU64;

use hashlink::LinkedHashMap;
use hashlink::linked_hash_map::RawEntryMut;
use parking_lot::Mutex;

use super::{Op, Request, Scope, Store, StoreError};
use crate::quota::{
    Clock, Decision, History, Id, Limit, Millis, Outcome, Rules, StoreClock, Verdict,
};

/// How many ids a memory store holds before one makes room. With full logs of 100 admissions that measured 133 MB; an
/// application with more live ids than this wants Redis.
pub const MAX_MEMORY_IDS: usize = 100_000;

/// How many idle histories a request looks for and frees. More than one, so that a crowd leaves faster than it came.
const SWEEP: usize = 2;

/// Histories in process memory.
pub struct MemoryStore<C = StoreClock> {
    clock: C,
    capacity: usize,
    histories: Mutex<Histories>,
}

/// Less than half of the limit used, less than the limit, all of it; and denied when it asked last.
const CLASSES: usize = 4;

/// Histories by how much of the limit is used, each class in the order of the last use.
struct Histories {
    // Ids come from users: the keyed hasher of std keeps them from choosing collisions.
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

    /// Uses the history of `id`, a new one if there is none in fewer than `capacity`. It is then the one of its class that
    /// was used last. Returns the id that has made room for it, too.
    fn use_one(
        &mut self,
        id: &Id,
        limit: Limit,
        capacity: usize,
        answer: impl FnOnce(&mut History) -> Outcome,
    ) -> (Outcome, Option<Id>) {
        let hash = self.hasher.hash_one(id);
        for at in 0..CLASSES {
            let entry = self.classes[at].raw_entry_mut();
            let RawEntryMut::Occupied(mut entry) = entry.from_key_hashed_nocheck(hash, id) else {
                continue;
            };
            let outcome = answer(entry.get_mut());
            let class = class(entry.get(), limit, &outcome);
            if class == at {
                entry.to_back();
            } else {
                let (id, history) = entry.remove_entry();
                self.insert(hash, class, id, history);
            }
            return (outcome, None);
        }
        let mut evicted = None;
        while self.len() >= capacity {
            evicted = self.make_room(capacity);
        }
        let mut history = History::default();
        let outcome = answer(&mut history);
        self.insert(hash, class(&history, limit, &outcome), id.clone(), history);
        (outcome, evicted)
    }

    /// Evicts one, and returns its id. The first class keeps an eighth: where ids that have used more fill the rest, two new
    /// ones would otherwise evict each other, and neither would ever be denied.
    fn make_room(&mut self, capacity: usize) -> Option<Id> {
        let order = match self.classes[0].len() < capacity / 8 {
            true => [1, 2, 0, 3],
            false => [0, 1, 2, 3],
        };
        let mut classes = order.into_iter();
        let evicted = classes.find_map(|at| self.classes[at].pop_front());
        evicted.map(|(id, _)| id)
    }

    fn insert(&mut self, hash: u64, class: usize, id: Id, history: History) {
        let entry = self.classes[class].raw_entry_mut();
        if let RawEntryMut::Vacant(entry) = entry.from_key_hashed_nocheck(hash, &id) {
            entry.insert_hashed_nocheck(hash, id, history);
        }
    }

    /// Frees up to [`SWEEP`] idle histories, where they were used longest ago.
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

/// The class of a history that has just been used.
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
    /// An empty store for `capacity` ids (at least one) that reads its time from `clock`.
    pub fn with_clock(clock: C, capacity: usize) -> Self {
        Self {
            clock,
            capacity: capacity.max(1),
            histories: Mutex::new(Histories::new()),
        }
    }

    /// Answers one request in the call itself.
    pub fn answer(&self, rules: Rules, request: &Request) -> Outcome {
        self.decide(rules, request).0
    }

    /// Answers one request in the call itself, and says when it was decided.
    pub fn decide(&self, rules: Rules, request: &Request) -> (Outcome, Millis) {
        let (outcome, now, _) = self.decide_evicting(rules, request);
        (outcome, now)
    }

    /// The same; and the id that has made room, if one had to.
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
                let (outcome, out) = histories.use_one(id, limit, capacity, check);
                evicted = out;
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
            Op::Denied(denials) => {
                let count = |history: &mut History| Outcome {
                    count: history.count_denials(now, rules, limit, denials),
                    ..Outcome::of(history.status(now, rules, limit))
                };
                histories.use_one(id, limit, capacity, count).0
            }
        };
        (outcome, now, evicted)
    }

    /// Where it reads its time.
    pub(crate) fn clock(&self) -> &C {
        &self.clock
    }

    /// How long before `now` the oldest `room` of the `most` newest admissions in the log of `id` were made, newest first; and
    /// how many newer ones there are.
    pub fn ages(&self, id: &Id, most: usize, room: usize, now: Millis) -> (Vec<Millis>, usize) {
        let histories = self.histories.lock();
        let Some(history) = histories.get(id) else {
            return (Vec::new(), 0);
        };
        let count = history.admissions().min(most);
        let newer = count.saturating_sub(room);
        let moments = history.moments().take(count).skip(newer);
        let ages = moments.map(|moment| now.saturating_sub(moment));
        (ages.collect(), newer)
    }

    /// An anomaly of `id` was reported by another store: none is reported here for so many ms. Where the store is full of
    /// other ids, it is not entered.
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

    /// Forgets an id.
    pub fn forget(&self, id: &Id) {
        self.histories.lock().remove(id);
    }

    /// Forgets every id.
    pub fn clear(&self) {
        *self.histories.lock() = Histories::new();
    }

    /// How many ids it holds.
    pub fn len(&self) -> usize {
        self.histories.lock().len()
    }

    /// Whether it holds no id.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<C: Clock + 'static> Store for MemoryStore<C> {
    async fn run(&self, scope: &Scope, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        requests
            .iter()
            .map(|request| Ok(self.answer(scope.rules, request)))
            .collect()
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

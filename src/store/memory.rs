//! The store inside the process: exact for all its threads, gone with it.

use std::collections::hash_map::RandomState;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashlink::LinkedHashMap;

use super::{Op, Request, Scope, Store, StoreError};
use crate::quota::{
    Clock, Decision, History, Id, Limit, Millis, Outcome, Rules, StoreClock, Verdict,
};

/// How many ids a memory store holds before the one unused for longest makes room. With full logs of 100 admissions
/// that measured 133 MB; an application with more live ids than this wants Redis.
pub const MAX_MEMORY_IDS: usize = 100_000;

/// How many idle histories a request looks for and frees. More than one, so that a crowd leaves faster than it came.
const SWEEP: usize = 2;

/// Histories in process memory, in the order of their last use.
pub struct MemoryStore<C = StoreClock> {
    clock: C,
    capacity: usize,
    // Ids come from users: the keyed hasher of std keeps them from choosing collisions.
    histories: Mutex<Histories>,
}

type Histories = LinkedHashMap<Id, History, RandomState>;

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
            histories: Mutex::new(Histories::with_hasher(RandomState::new())),
        }
    }

    /// Answers one request in the call itself.
    pub fn answer(&self, rules: Rules, request: &Request) -> Outcome {
        self.decide(rules, request).0
    }

    /// Answers one request in the call itself, and says when it was decided.
    pub fn decide(&self, rules: Rules, request: &Request) -> (Outcome, Millis) {
        let mut histories = self.lock();
        // Read under the lock, so that moments enter a log in the order of its decisions.
        let now = self.clock.now();
        sweep(&mut histories, now, rules);
        let (id, limit) = (&request.id, request.limit);
        let outcome = match request.op {
            Op::Check | Op::Limit => self.use_history(&mut histories, id, |history| {
                history.check(now, rules, limit)
            }),
            Op::Status => match histories.get(id) {
                Some(history) => Outcome::of(history.status(now, rules, limit)),
                None => Outcome::of(unused(now, rules, limit)),
            },
            Op::Reset => {
                histories.remove(id);
                Outcome::of(unused(now, rules, limit))
            }
            Op::Denied(denials) => self.use_history(&mut histories, id, |history| Outcome {
                count: history.count_denials(now, rules, limit, denials),
                ..Outcome::of(history.status(now, rules, limit))
            }),
        };
        (outcome, now)
    }

    /// Uses the history of `id`, which is then the one used last.
    fn use_history(
        &self,
        histories: &mut Histories,
        id: &Id,
        answer: impl FnOnce(&mut History) -> Outcome,
    ) -> Outcome {
        match histories.to_back(id) {
            Some(history) => answer(history),
            None => {
                while histories.len() >= self.capacity {
                    histories.pop_front();
                }
                answer(histories.entry(id.clone()).or_insert_with(History::default))
            }
        }
    }

    /// Where it reads its time.
    pub fn clock(&self) -> &C {
        &self.clock
    }

    /// How long before `now` the oldest `room` of the `most` newest admissions in the log of `id` were made, newest first; and
    /// how many newer ones there are.
    pub fn ages(&self, id: &Id, most: usize, room: usize, now: Millis) -> (Vec<Millis>, usize) {
        let histories = self.lock();
        let Some(history) = histories.get(id) else {
            return (Vec::new(), 0);
        };
        let count = history.admissions().min(most);
        let newer = count.saturating_sub(room);
        let moments = history.moments().take(count).skip(newer);
        let ages = moments.map(|moment| now.saturating_sub(moment));
        (ages.collect(), newer)
    }

    /// Forgets an id.
    pub fn forget(&self, id: &Id) {
        self.lock().remove(id);
    }

    /// Forgets every id.
    pub fn clear(&self) {
        *self.lock() = Histories::with_hasher(RandomState::new());
    }

    /// How many ids it holds.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether it holds no id.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Histories> {
        // No decision panics half-way through a history, so the data behind a poisoned lock is whole.
        self.histories
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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

/// Frees up to [`SWEEP`] idle histories from the end that was used longest ago.
fn sweep(histories: &mut Histories, now: Millis, rules: Rules) {
    for _ in 0..SWEEP {
        match histories.front() {
            Some((_, history)) if history.is_idle(now, rules) => histories.pop_front(),
            _ => return,
        };
    }
}

fn unused(now: Millis, rules: Rules, limit: Limit) -> Decision {
    Decision {
        verdict: Verdict::Allowed,
        remaining: limit.get(),
        reset: now + rules.window.ms(),
    }
}

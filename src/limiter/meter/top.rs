//! Who asks most for their limit: a bounded list that an id enters by asking.
//!
//! "Space-Saving" (Metwally, Agrawal, El Abbadi: "Efficient computation of frequent and top-k elements in data streams",
//! ICDT 2005): a newcomer takes the place of the one seen least, and its count with it. So a count is never too low, and too
//! high by no more than the least; who asks more often than that is in the list.
//!
//! Under load one request in 64 is looked at, and counts 64 times: who asks often is seen all the same, and a look, which
//! takes up to half a microsecond for an id that is not in the list, adds less than 10 ns to a request. Who has used up the
//! quota is looked at each time the store says so.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::quota::{Id, Limit, Window};

/// The most ids it holds.
pub const MAX_ASKERS: usize = 256;

/// Requests that are all looked at in one turn; of those beyond, one in [`SAMPLE`] is, by chance: who asks in turns with
/// others must not be missed for it.
const FULL: u32 = 256;
const SAMPLE: u32 = 64;

/// One who asks often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker<T> {
    /// Who.
    pub id: Id,
    /// The limit of the request that was looked at last, and its ticket.
    pub limit: Limit,
    /// What told that request from others.
    pub ticket: T,
    /// Requests, about. They are halved with each half of the window that passes: what is long past counts less.
    pub requests: u64,
}

/// The ids of one limiter that ask most.
#[derive(Debug)]
pub struct Top<T> {
    /// The turn in which only samples are looked at.
    crowded: AtomicU64,
    /// Turns after which counts are halved.
    half_life: u64,
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    askers: Vec<Asker<T>>,
    places: HashMap<Id, usize>,
    turn: u64,
    looked_at: u32,
    halved: u64,
}

impl<T: Clone> Top<T> {
    /// Of a limiter with this window.
    pub fn new(window: Window) -> Self {
        Self {
            // No turn.
            crowded: AtomicU64::new(u64::MAX),
            half_life: (window.ms() / 2000).max(1),
            state: Mutex::new(State {
                askers: Vec::new(),
                places: HashMap::new(),
                turn: 0,
                looked_at: 0,
                halved: 0,
            }),
        }
    }

    /// `id` has asked in that turn: turns take about a second each, and count from anywhere. `telling`: one that must not be
    /// missed, whatever the crowd.
    pub fn note(&self, id: &Id, limit: Limit, ticket: &T, turn: u64, telling: bool) {
        let crowded = !telling && self.crowded.load(Ordering::Relaxed) == turn;
        if crowded && fastrand::u32(..SAMPLE) != 0 {
            return;
        }
        let mut state = self.lock();
        if state.turn != turn {
            state.begin(turn, self.half_life);
        }
        state.looked_at += 1;
        if state.looked_at == FULL {
            self.crowded.store(turn, Ordering::Relaxed);
        }
        let weight = if crowded { u64::from(SAMPLE) } else { 1 };
        state.count(id, limit, ticket, weight);
    }

    /// Up to `count` of them, first who has asked most for the limit.
    pub fn read(&self, count: usize) -> Vec<Asker<T>> {
        let mut askers = self.lock().askers.clone();
        // Requests and limits are far below 2^53: exact as doubles.
        let share = |asker: &Asker<T>| asker.requests as f64 / f64::from(asker.limit.get());
        askers.sort_by(|a, b| share(b).total_cmp(&share(a)));
        askers.truncate(count);
        askers
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics while the list is being changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> State<T> {
    fn begin(&mut self, turn: u64, half_life: u64) {
        if self.turn == 0 {
            self.halved = turn;
        }
        self.turn = turn;
        self.looked_at = 0;
        let halvings = turn.saturating_sub(self.halved) / half_life;
        if halvings == 0 {
            return;
        }
        self.halved += halvings * half_life;
        for asker in &mut self.askers {
            asker.requests = asker.requests.checked_shr(halvings as u32).unwrap_or(0);
        }
        self.askers.retain(|asker| asker.requests > 0);
        let places = self.askers.iter().enumerate();
        self.places = places.map(|(n, asker)| (asker.id.clone(), n)).collect();
    }

    fn count(&mut self, id: &Id, limit: Limit, ticket: &T, weight: u64) {
        if let Some(&place) = self.places.get(id) {
            let asker = &mut self.askers[place];
            asker.requests += weight;
            asker.limit = limit;
            asker.ticket = ticket.clone();
            return;
        }
        let mut asker = Asker {
            id: id.clone(),
            limit,
            ticket: ticket.clone(),
            requests: weight,
        };
        let place = if self.askers.len() < MAX_ASKERS {
            self.askers.push(asker);
            self.askers.len() - 1
        } else {
            let all = self.askers.iter().enumerate();
            let Some((least, _)) = all.min_by_key(|(_, asker)| asker.requests) else {
                return;
            };
            asker.requests += self.askers[least].requests;
            let gone = std::mem::replace(&mut self.askers[least], asker);
            self.places.remove(&gone.id);
            least
        };
        self.places.insert(id.clone(), place);
    }
}

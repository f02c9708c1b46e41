//! What this process has decided while the store was away, to be replayed into it.
//!
//! The local logs know when; the journal knows how many of an id's newest admissions the store has not heard of, and whether
//! its log was forgotten meanwhile. The local logs stay as they are: a store that comes and goes many times in a window
//! grants no more than one limit a process.

use std::collections::hash_map::RandomState;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashlink::LinkedHashMap;

use crate::quota::{Clock, Id, Millis, Outcome, Rules};
use crate::store::{MAX_MEMORY_IDS, MemoryStore, Op, Replay, Request};

/// The most admissions and the most ids of one call: at a microsecond or two each, the server does nothing else for a
/// millisecond.
const MAX_ADMISSIONS: usize = 500;
const MAX_IDS: usize = 64;

/// Decisions that are still to be replayed, by id, in the order of the first.
#[derive(Default)]
pub struct Journal {
    notes: Mutex<Notes>,
    /// How many there are, to be read without the lock by each batch.
    count: AtomicUsize,
    /// One replay at a time: two would not know which admissions the other has taken.
    replaying: AtomicBool,
}

type Notes = LinkedHashMap<Id, Note, RandomState>;

/// What is to be replayed of one id.
#[derive(Debug, Clone, Copy, Default)]
struct Note {
    /// When its log was forgotten, by the clock of the local logs.
    reset: Option<Millis>,
    /// So many of the newest admissions in its local log.
    admissions: usize,
}

impl Journal {
    /// Answers `request` from the local `logs`, and notes what the store has to hear of.
    pub fn answer(&self, logs: &MemoryStore, rules: Rules, request: &Request) -> Outcome {
        // Held meanwhile, so that the newest admissions of a log are those that are noted.
        let mut notes = self.notes();
        let outcome = logs.answer(rules, request);
        let admitted = match request.op {
            Op::Check | Op::Limit => outcome.decision.is_allowed(),
            Op::Reset => false,
            Op::Status | Op::Denied(_) => return outcome,
        };
        if !admitted && request.op != Op::Reset {
            return outcome;
        }
        // As many ids as there are logs. One more: the oldest is forgotten, as its log is.
        while notes.len() >= MAX_MEMORY_IDS && !notes.contains_key(&request.id) {
            notes.pop_front();
        }
        let note = notes
            .entry(request.id.clone())
            .or_insert_with(Note::default);
        if admitted {
            note.admissions += 1;
        } else {
            *note = Note {
                reset: Some(logs.clock().now()),
                admissions: 0,
            };
        }
        self.counted(&notes);
        outcome
    }

    /// Whether there is nothing to replay.
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let mut notes = self.notes();
        *notes = Notes::default();
        self.counted(&notes);
    }

    /// Begins a replay. `None`: another one is under way.
    pub fn replay(&self) -> Option<Replaying<'_>> {
        let free = !self.replaying.swap(true, Ordering::Acquire);
        free.then_some(Replaying(self))
    }

    fn counted(&self, notes: &Notes) {
        self.count.store(notes.len(), Ordering::Relaxed);
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        // Nothing panics while they are being changed.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The replay that is under way.
pub struct Replaying<'a>(&'a Journal);

impl Replaying<'_> {
    /// Takes out what goes into the next call, the ids noted first before the others; of an id, the oldest admissions first.
    pub fn take(&self, logs: &MemoryStore) -> Vec<Replay> {
        let mut notes = self.0.notes();
        let now = logs.clock().now();
        let mut taken = Vec::new();
        let mut room = MAX_ADMISSIONS;
        while taken.len() < MAX_IDS && room > 0 {
            let Some((id, note)) = notes.pop_front() else {
                break;
            };
            // Fewer than noted, where some count no more.
            let mut ages = logs.ages(&id, note.admissions, now);
            let left = ages.len().saturating_sub(room);
            let now_sent = ages.split_off(left);
            room -= now_sent.len();
            if left > 0 {
                let rest = Note {
                    reset: None,
                    admissions: left,
                };
                notes.insert(id.clone(), rest);
                notes.to_front(&id);
            }
            taken.push(Replay {
                reset: note.reset.map(|moment| now.saturating_sub(moment)),
                ages: now_sent,
                id,
            });
        }
        self.0.counted(&notes);
        taken
    }

    /// Notes again what the store has not taken.
    pub fn put_back(&self, logs: &MemoryStore, replays: impl DoubleEndedIterator<Item = Replay>) {
        let mut notes = self.0.notes();
        let now = logs.clock().now();
        for replay in replays.rev() {
            let note = notes.entry(replay.id.clone()).or_insert_with(Note::default);
            // A reset that came meanwhile has made what was before it void.
            if note.reset.is_none() {
                note.admissions += replay.ages.len();
                note.reset = replay.reset.map(|age| now.saturating_sub(age));
            }
            notes.to_front(&replay.id);
        }
        self.0.counted(&notes);
    }
}

impl Drop for Replaying<'_> {
    fn drop(&mut self) {
        self.0.replaying.store(false, Ordering::Release);
    }
}

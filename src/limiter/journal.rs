//! What this process has decided while the store was away, to be replayed into it.
//!
//! The local logs know when; the journal knows how many of an id's newest admissions the store has not heard of, and whether
//! its log was forgotten meanwhile. The local logs stay as they are: a store that comes and goes many times in a window
//! grants no more than one limit a process.

use std::collections::hash_map::RandomState;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashlink::LinkedHashMap;

use crate::quota::{Clock, Id, Millis, Outcome, Rules};
use crate::store::{ErrorKind, MAX_MEMORY_IDS, MemoryStore, Op, Replay, Request, StoreError};

/// The most admissions and the most ids of one call: at a microsecond or two each, the server does nothing else for a
/// millisecond.
const MAX_ADMISSIONS: usize = 500;
const MAX_IDS: usize = 64;

/// How often the same admissions are sent at most, where nobody knows what became of them.
const SENT: u32 = 2;

/// Decisions that are still to be replayed, by id, in the order of the first.
#[derive(Default)]
pub struct Journal {
    notes: Mutex<Notes>,
    /// How many there are, to be read without the lock by each batch.
    count: AtomicUsize,
    /// One replay at a time: two would not know which admissions the other has taken.
    replaying: AtomicBool,
    /// Counts how often everything was forgotten: what is taken out before that must not come back.
    epoch: AtomicU64,
}

type Notes = LinkedHashMap<Id, Note, RandomState>;

/// What is to be replayed of one id.
#[derive(Debug, Clone, Copy, Default)]
struct Note {
    /// When its log was forgotten, by the clock of the local logs.
    reset: Option<Millis>,
    /// So many of the newest admissions in its local log.
    admissions: usize,
    /// How often these have been sent, with nobody knowing what became of them.
    sent: u32,
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
                ..Note::default()
            };
        }
        self.counted(&notes);
        outcome
    }

    /// Whether the store has been told everything: nothing is noted, and no replay is under way.
    pub fn is_settled(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0 && !self.replaying.load(Ordering::Acquire)
    }

    /// Forgets everything, the logs too.
    pub fn clear(&self, logs: &MemoryStore) {
        let mut notes = self.notes();
        logs.clear();
        *notes = Notes::default();
        self.epoch.fetch_add(1, Ordering::Relaxed);
        self.counted(&notes);
    }

    /// Forgets an id: the store has.
    pub fn forget(&self, logs: &MemoryStore, id: &Id) {
        let mut notes = self.notes();
        logs.forget(id);
        notes.remove(id);
        self.counted(&notes);
    }

    /// Begins a replay. `None`: another one is under way.
    pub fn replay(&self) -> Option<Replaying<'_>> {
        let busy = self.replaying.swap(true, Ordering::Acquire);
        (!busy).then(|| Replaying(self))
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

/// What goes into one call of a replay. What is left of it when it is dropped, however that comes, is noted again.
pub struct Call<'a> {
    journal: &'a Journal,
    logs: &'a MemoryStore,
    epoch: u64,
    replays: Vec<Replay>,
}

impl Replaying<'_> {
    /// Takes out what goes into the next call, the ids noted first before the others; of an id, the oldest admissions first.
    pub fn take<'a>(&'a self, logs: &'a MemoryStore) -> Call<'a> {
        let journal = self.0;
        let mut notes = journal.notes();
        let now = logs.clock().now();
        let mut replays = Vec::new();
        let mut room = MAX_ADMISSIONS;
        while replays.len() < MAX_IDS && room > 0 {
            let Some((id, note)) = notes.pop_front() else {
                break;
            };
            // Fewer than noted, where some count no more.
            let mut ages = logs.ages(&id, note.admissions, now);
            let left = ages.len().saturating_sub(room);
            let sent_now = ages.split_off(left);
            room -= sent_now.len();
            if left > 0 {
                let rest = Note {
                    admissions: left,
                    ..Note::default()
                };
                notes.insert(id.clone(), rest);
                notes.to_front(&id);
            }
            replays.push(Replay {
                reset: note.reset.map(|moment| now.saturating_sub(moment)),
                ages: sent_now,
                sent: note.sent,
                id,
            });
        }
        journal.counted(&notes);
        let epoch = journal.epoch.load(Ordering::Relaxed);
        Call {
            journal,
            logs,
            epoch,
            replays,
        }
    }
}

impl Drop for Replaying<'_> {
    fn drop(&mut self) {
        self.0.replaying.store(false, Ordering::Release);
    }
}

impl Call<'_> {
    /// What is to be replayed.
    pub fn replays(&self) -> &[Replay] {
        &self.replays
    }

    /// Keeps what has not been taken. What may have been, with nobody knowing, is sent once more, and then no more: an
    /// admission may count twice, which is strict, but not with each attempt. A key that is somebody else's takes nothing.
    pub fn keep(&mut self, results: &[Result<(), StoreError>]) {
        let mut results = results.iter();
        self.replays.retain_mut(|replay| match results.next() {
            Some(Err(error)) if error.kind() == ErrorKind::WrongType => false,
            Some(Err(error)) => {
                replay.sent += u32::from(error.may_have_run());
                replay.sent < SENT
            }
            Some(Ok(())) | None => false,
        });
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let left = std::mem::take(&mut self.replays);
        let mut notes = self.journal.notes();
        if left.is_empty() || self.epoch != self.journal.epoch.load(Ordering::Relaxed) {
            return;
        }
        let now = self.logs.clock().now();
        for replay in left.into_iter().rev() {
            let note = notes.entry(replay.id.clone()).or_insert_with(Note::default);
            // A reset that came meanwhile has made what was before it void.
            if note.reset.is_none() {
                note.admissions += replay.ages.len();
                note.reset = replay.reset.map(|age| now.saturating_sub(age));
                note.sent = note.sent.max(replay.sent);
            }
            notes.to_front(&replay.id);
        }
        self.journal.counted(&notes);
    }
}

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

/// A reset is told as if it had been so much earlier: on its way it becomes later, and would take along what others have been
/// admitted since. What it leaves counts once more than it should.
const MARGIN: Millis = 1000;

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
    /// So many of the oldest of these have been sent, with nobody knowing what became of them.
    in_doubt: usize,
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
        // In the order of the last use, as the logs are.
        notes.to_back(&request.id);
        self.counted(&notes);
        outcome
    }

    /// Whether the store has been told everything: nothing is noted, and no replay is under way.
    pub fn is_settled(&self) -> bool {
        let replaying = || self.replaying.load(Ordering::SeqCst);
        // Looked at twice: what is being replayed is not noted meanwhile.
        !replaying() && self.count.load(Ordering::SeqCst) == 0 && !replaying()
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
        let busy = self.replaying.swap(true, Ordering::SeqCst);
        (!busy).then(|| Replaying(self))
    }

    fn counted(&self, notes: &Notes) {
        self.count.store(notes.len(), Ordering::SeqCst);
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
    epoch: u64,
    taken_at: Millis,
    replays: Vec<Replay>,
    /// Of each, how many of its oldest admissions have been sent before.
    in_doubt: Vec<usize>,
}

impl Replaying<'_> {
    /// Takes out what goes into the next call, the ids used longest ago first; of an id, the oldest admissions first.
    pub fn take(&self, logs: &MemoryStore) -> Call<'_> {
        let journal = self.0;
        let mut notes = journal.notes();
        let taken_at = logs.clock().now();
        let (mut replays, mut in_doubt) = (Vec::new(), Vec::new());
        let mut room = MAX_ADMISSIONS;
        while replays.len() < MAX_IDS && room > 0 {
            let Some((id, note)) = notes.pop_front() else {
                break;
            };
            // Fewer than noted, where some count no more.
            let (ages, left) = logs.ages(&id, note.admissions, room, taken_at);
            room -= ages.len();
            if left > 0 {
                let rest = Note {
                    reset: None,
                    admissions: left,
                    in_doubt: note.in_doubt.saturating_sub(ages.len()),
                };
                notes.insert(id.clone(), rest);
                notes.to_front(&id);
            }
            in_doubt.push(note.in_doubt.min(ages.len()));
            replays.push(Replay {
                reset: note
                    .reset
                    .map(|moment| taken_at.saturating_sub(moment) + MARGIN),
                ages,
                id,
            });
        }
        journal.counted(&notes);
        Call {
            journal,
            epoch: journal.epoch.load(Ordering::Relaxed),
            taken_at,
            replays,
            in_doubt,
        }
    }
}

impl Drop for Replaying<'_> {
    fn drop(&mut self) {
        self.0.replaying.store(false, Ordering::SeqCst);
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
        let replays = std::mem::take(&mut self.replays);
        let in_doubt = std::mem::take(&mut self.in_doubt);
        for ((mut replay, mut doubtful), result) in replays.into_iter().zip(in_doubt).zip(results) {
            match result {
                Ok(()) => continue,
                Err(error) if error.kind() == ErrorKind::WrongType => continue,
                Err(error) if error.may_have_run() => {
                    replay.ages.truncate(replay.ages.len() - doubtful);
                    doubtful = replay.ages.len();
                }
                Err(_) => {}
            }
            if replay.reset.is_some() || !replay.ages.is_empty() {
                self.replays.push(replay);
                self.in_doubt.push(doubtful);
            }
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let left = std::mem::take(&mut self.replays);
        let mut notes = self.journal.notes();
        if left.is_empty() || self.epoch != self.journal.epoch.load(Ordering::Relaxed) {
            return;
        }
        for (replay, &doubtful) in left.into_iter().zip(&self.in_doubt).rev() {
            let note = notes.entry(replay.id.clone()).or_insert_with(Note::default);
            // A reset that came meanwhile has made what was before it void.
            if note.reset.is_none() {
                if doubtful == replay.ages.len() {
                    note.in_doubt += doubtful;
                } else {
                    note.in_doubt = doubtful;
                }
                note.admissions += replay.ages.len();
                note.reset = replay
                    .reset
                    .map(|age| (self.taken_at + MARGIN).saturating_sub(age));
            }
            notes.to_front(&replay.id);
        }
        self.journal.counted(&notes);
    }
}

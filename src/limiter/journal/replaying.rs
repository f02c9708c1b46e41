//! A replay: what was decided here is taken out of the journal, call by call, and what the store does not take is put back.

use std::sync::atomic::Ordering;

use super::{Journal, PendingReplay, ShardEntries};
use crate::quota::{Clock, Millis};
use crate::store::{ErrorKind, MemoryStore, Replay, StoreError};

/// The most admissions and the most ids of one call: at a microsecond or two each, the server does nothing else for a
/// millisecond.
const MAX_ADMISSIONS: usize = 500;
const MAX_IDS: usize = 64;

/// A reset is told as if it had been so much earlier: on its way it becomes later, and would take along what others have been
/// admitted since. What it leaves counts once more than it should.
const MARGIN: Millis = 1000;

/// The replay into a shard of the store that is under way.
pub struct ReplaySession<'a> {
    journal: &'a Journal,
    shard: usize,
}

/// What goes into one call of a replay. What is left of it when it is dropped, however that comes, is noted again.
pub struct ReplayBatch<'a> {
    journal: &'a Journal,
    shard: usize,
    epoch: u64,
    taken_at: Millis,
    replays: Vec<Replay>,
    /// Of each, how many of its oldest admissions have been sent before.
    in_doubt: Vec<usize>,
}

impl<'a> ReplaySession<'a> {
    /// `None`: another one is under way.
    pub(super) fn begin(journal: &'a Journal, shard: usize) -> Option<Self> {
        let mut shards = journal.shards.lock();
        let there = shards.get_mut(shard).filter(|there| !there.replaying)?;
        there.replaying = true;
        journal.update_count(&shards);
        Some(Self { journal, shard })
    }

    /// Takes out what goes into the next call, the ids used longest ago first; of an id, the oldest admissions first.
    pub fn take(&self, logs: &MemoryStore) -> ReplayBatch<'_> {
        let journal = self.journal;
        let mut shards = journal.shards.lock();
        let ShardEntries {
            pending: notes,
            taken,
            ..
        } = &mut shards[self.shard];
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
                let rest = PendingReplay {
                    reset: None,
                    reported: None,
                    admissions: left,
                    in_doubt: note.in_doubt.saturating_sub(ages.len()),
                };
                notes.insert(id.clone(), rest);
                notes.to_front(&id);
            }
            taken.insert(id.clone());
            in_doubt.push(note.in_doubt.min(ages.len()));
            replays.push(Replay {
                reset: note
                    .reset
                    .map(|moment| taken_at.saturating_sub(moment) + MARGIN),
                reported: note.reported.map(|moment| taken_at.saturating_sub(moment)),
                ages,
                id,
            });
        }
        journal.update_count(&shards);
        ReplayBatch {
            journal,
            shard: self.shard,
            epoch: journal.epoch.load(Ordering::Relaxed),
            taken_at,
            replays,
            in_doubt,
        }
    }
}

impl Drop for ReplaySession<'_> {
    fn drop(&mut self) {
        let mut shards = self.journal.shards.lock();
        shards[self.shard].replaying = false;
        self.journal.update_count(&shards);
    }
}

impl ReplayBatch<'_> {
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
            let left = replay.reset.or(replay.reported).is_some() || !replay.ages.is_empty();
            if left {
                self.replays.push(replay);
                self.in_doubt.push(doubtful);
            }
        }
    }
}

impl Drop for ReplayBatch<'_> {
    fn drop(&mut self) {
        let left = std::mem::take(&mut self.replays);
        let mut shards = self.journal.shards.lock();
        let ShardEntries {
            pending: notes,
            taken,
            ..
        } = &mut shards[self.shard];
        taken.clear();
        if left.is_empty() || self.epoch != self.journal.epoch.load(Ordering::Relaxed) {
            return;
        }
        for (replay, &doubtful) in left.into_iter().zip(&self.in_doubt).rev() {
            let note = notes
                .entry(replay.id.clone())
                .or_insert_with(PendingReplay::default);
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
                let reported = replay.reported;
                let reported = reported.map(|age| self.taken_at.saturating_sub(age));
                note.reported = note.reported.or(reported);
            }
            notes.to_front(&replay.id);
        }
        self.journal.update_count(&shards);
    }
}

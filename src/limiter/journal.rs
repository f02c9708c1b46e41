//! What this process has decided while the store was away, to be replayed into it.
//!
//! The local logs know when; the journal knows how many of an id's newest admissions the store has not heard of, whether its
//! log was forgotten meanwhile, and whether an anomaly was reported. The local logs stay as they are: a store that comes and goes many times in a window
//! grants no more than one limit a process.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hashlink::LinkedHashMap;
use parking_lot::Mutex;

use crate::quota::{Clock, Id, Millis, Outcome, Rules};
use crate::store::{ErrorKind, MAX_MEMORY_IDS, MemoryStore, Op, Replay, Request, StoreError};

/// The most admissions and the most ids of one call: at a microsecond or two each, the server does nothing else for a
/// millisecond.
const MAX_ADMISSIONS: usize = 500;
const MAX_IDS: usize = 64;

/// A reset is told as if it had been so much earlier: on its way it becomes later, and would take along what others have been
/// admitted since. What it leaves counts once more than it should.
const MARGIN: Millis = 1000;

/// Decisions that are still to be replayed, by shard of the store and id, in the order of the first.
#[derive(Default)]
pub struct Journal {
    shards: Mutex<Vec<ShardEntries>>,
    /// How many notes there are, and replays under way: to be read without the lock by each batch.
    open: AtomicUsize,
    /// Counts how often everything was forgotten: what is taken out before that must not come back.
    epoch: AtomicU64,
    /// The store's division by which the notes are sorted.
    division: AtomicU64,
}

/// What one shard of the store has to hear of.
#[derive(Default)]
struct ShardEntries {
    pending: LinkedHashMap<Id, PendingReplay, RandomState>,
    /// One replay at a time: two would not know which admissions the other has taken.
    replaying: bool,
    /// The ids of its call under way.
    taken: HashSet<Id>,
}

/// What is to be replayed of one id.
#[derive(Debug, Clone, Copy, Default)]
struct PendingReplay {
    /// When its log was forgotten, by the clock of the local logs.
    reset: Option<Millis>,
    /// When an anomaly was reported, by that clock.
    reported: Option<Millis>,
    /// So many of the newest admissions in its local log.
    admissions: usize,
    /// So many of the oldest of these have been sent, with nobody knowing what became of them.
    in_doubt: usize,
}

impl Journal {
    /// Answers `request` from the local `logs`, and notes what that shard of the store has to hear of.
    pub fn answer(
        &self,
        logs: &MemoryStore,
        rules: Rules,
        shard: usize,
        request: &Request,
    ) -> Outcome {
        // Held meanwhile, so that the newest admissions of a log are those that are noted.
        let mut shards = self.shards.lock();
        let (outcome, _, evicted) = logs.decide_evicting(rules, request);
        if let Some(evicted) = evicted {
            // Its log has made room: there is no admission left to replay.
            for shard in shards.iter_mut() {
                let Some(note) = shard.pending.get_mut(&evicted) else {
                    continue;
                };
                (note.admissions, note.in_doubt) = (0, 0);
                if note.reset.or(note.reported).is_none() {
                    shard.pending.remove(&evicted);
                }
            }
            self.update_count(&shards);
        }
        let admitted = match request.op {
            Op::Check | Op::Limit => outcome.decision.is_allowed(),
            Op::Reset => false,
            Op::Status | Op::Denied(_) => return outcome,
        };
        let reported = outcome.count.anomaly().is_some();
        if !admitted && !reported && request.op != Op::Reset {
            return outcome;
        }
        evict(&mut shards, &request.id);
        let notes = &mut owner(&mut shards, shard, &request.id).pending;
        let note = notes
            .entry(request.id.clone())
            .or_insert_with(PendingReplay::default);
        if request.op != Op::Reset {
            note.admissions += usize::from(admitted);
            if reported {
                note.reported = Some(logs.clock().now());
            }
        } else {
            *note = PendingReplay {
                reset: Some(logs.clock().now()),
                ..PendingReplay::default()
            };
        }
        // In the order of the last use, as the logs are.
        notes.to_back(&request.id);
        self.update_count(&shards);
        outcome
    }

    /// Whether that shard of the store has been told everything: nothing is noted, and no replay is under way.
    pub fn is_empty(&self, shard: usize) -> bool {
        self.open.load(Ordering::SeqCst) == 0
            || self
                .shards
                .lock()
                .get(shard)
                .is_none_or(ShardEntries::is_settled)
    }

    /// The shards that have not been told everything.
    pub fn pending_shards(&self) -> Vec<usize> {
        if self.open.load(Ordering::SeqCst) == 0 {
            return Vec::new();
        }
        let shards = self.shards.lock();
        let unsettled = shards
            .iter()
            .enumerate()
            .filter(|(_, shard)| !shard.is_settled());
        unsettled.map(|(at, _)| at).collect()
    }

    /// Forgets everything, the logs too.
    pub fn clear(&self, logs: &MemoryStore) {
        let mut shards = self.shards.lock();
        logs.clear();
        shards.iter_mut().for_each(|shard| shard.pending.clear());
        self.epoch.fetch_add(1, Ordering::Relaxed);
        self.update_count(&shards);
    }

    /// Forgets an id: the store has.
    pub fn forget(&self, logs: &MemoryStore, id: &Id) {
        let mut shards = self.shards.lock();
        logs.forget(id);
        for shard in shards.iter_mut() {
            shard.pending.remove(id);
        }
        self.update_count(&shards);
    }

    /// Sorts the notes anew where the store is divided otherwise than when they were made. What is being told stays where it is
    /// until that has ended.
    pub fn rebalance(&self, division: u64, shard_of: impl Fn(&Id) -> usize) {
        if self.division.load(Ordering::Relaxed) == division {
            return;
        }
        let mut shards = self.shards.lock();
        let mut moved = Vec::new();
        for (at, shard) in shards.iter_mut().enumerate() {
            let leaves = |id: &Id| shard_of(id) != at && !shard.taken.contains(id);
            let ids: Vec<_> = shard
                .pending
                .keys()
                .filter(|id| leaves(id))
                .cloned()
                .collect();
            let notes = ids
                .into_iter()
                .filter_map(|id| shard.pending.remove_entry(&id));
            moved.extend(notes);
        }
        for (id, note) in moved {
            let there = owner(&mut shards, shard_of(&id), &id);
            there.pending.insert(id, note);
        }
        let settled = shards.iter().all(|shard| shard.taken.is_empty());
        self.update_count(&shards);
        drop(shards);
        if settled {
            self.division.store(division, Ordering::Relaxed);
        }
    }

    /// Begins a replay into that shard of the store. `None`: another one is under way.
    pub fn replay(&self, shard: usize) -> Option<ReplaySession<'_>> {
        ReplaySession::begin(self, shard)
    }

    fn update_count(&self, shards: &[ShardEntries]) {
        let open = shards
            .iter()
            .map(|shard| shard.pending.len() + usize::from(shard.replaying));
        self.open.store(open.sum(), Ordering::SeqCst);
    }
}

impl ShardEntries {
    fn is_settled(&self) -> bool {
        self.pending.is_empty() && !self.replaying
    }

    fn contains(&self, id: &Id) -> bool {
        self.pending.contains_key(id) || self.taken.contains(id)
    }
}

/// Where an id is noted: with the shard that its first note was for, should its log be with another by now.
fn owner<'a>(shards: &'a mut Vec<ShardEntries>, shard: usize, id: &Id) -> &'a mut ShardEntries {
    let at = shards
        .iter()
        .position(|shard| shard.contains(id))
        .unwrap_or(shard);
    if at >= shards.len() {
        shards.resize_with(at + 1, ShardEntries::default);
    }
    &mut shards[at]
}

/// As many ids as there are logs. One more, where many were reset: one that was used long ago is forgotten.
fn evict(shards: &mut [ShardEntries], id: &Id) {
    let count = |shards: &[ShardEntries]| {
        shards
            .iter()
            .map(|shard| shard.pending.len())
            .sum::<usize>()
    };
    while count(shards) >= MAX_MEMORY_IDS
        && !shards.iter().any(|shard| shard.pending.contains_key(id))
    {
        let largest = shards.iter_mut().max_by_key(|shard| shard.pending.len());
        largest.and_then(|shard| shard.pending.pop_front());
    }
}

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
    fn begin(journal: &'a Journal, shard: usize) -> Option<Self> {
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

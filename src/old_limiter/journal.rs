//! The decisions that this process made while the store was away, to be replayed into it.
//!
//! The local logs hold the moments of the admissions. The journal holds, for each id, how many of its newest admissions are
//! missing in the store, whether the id was reset, and whether an anomaly was reported. A replay leaves the local logs as
//! they are, so that a store which fails many times in a window costs no more than one limit a process.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hashlink::LinkedHashMap;
use parking_lot::Mutex;

use crate::quota::{Clock, Id, Millis, Outcome, Rules};
use crate::store::{ErrorKind, MAX_MEMORY_IDS, MemoryStore, Op, Replay, Request, StoreError};

/// The most admissions and ids in one script call. An admission takes the server one or two microseconds, so that a call
/// blocks it for about a millisecond.
const MAX_ADMISSIONS: usize = 500;
const MAX_IDS: usize = 64;

/// A reset is replayed as if it had happened this much earlier. Its age is measured when the batch is made, and the time to
/// the store would move it later, over admissions that other processes were granted since. An admission that the margin
/// spares is counted twice.
const MARGIN: Millis = 1000;

/// The decisions that have not been replayed, by shard and id, in the order of last use.
#[derive(Default)]
pub struct Journal {
    shards: Mutex<Vec<ShardEntries>>,
    /// The number of ids with a pending replay, plus the replays in progress. Each batch reads it without the lock.
    unsettled: AtomicUsize,
    /// The number of times the journal was cleared: a replay batch that was taken before a clear must not be put back.
    epoch: AtomicU64,
    /// The version of the shard map by which ids are assigned to shards.
    shard_map_version: AtomicU64,
}

/// The pending replays of one shard.
#[derive(Default)]
struct ShardEntries {
    pending: LinkedHashMap<Id, PendingReplay, RandomState>,
    /// One replay at a time: two would not know of each other which admissions they have taken.
    replaying: bool,
    /// The ids of its batch in flight.
    taken: HashSet<Id>,
}

/// What the store does not know of one id.
#[derive(Debug, Clone, Copy, Default)]
struct PendingReplay {
    /// When it was reset, on the clock of the local logs.
    reset: Option<Millis>,
    /// When an anomaly was reported, on the same clock.
    reported: Option<Millis>,
    /// The number of its newest admissions, from the local log.
    admissions: usize,
    /// How many of the oldest of these were sent in a batch that may have been executed.
    in_doubt: usize,
}

impl Journal {
    /// Answers `request` from the local `logs`, and records what has to be replayed into `shard`.
    pub fn answer(
        &self,
        logs: &MemoryStore,
        rules: Rules,
        shard: usize,
        request: &Request,
    ) -> Outcome {
        // Locked until the decision is recorded: the newest admissions of the log must be those that are counted here.
        let mut shards = self.shards.lock();
        let (outcome, _, evicted) = logs.decide_evicting(rules, request);
        if let Some(evicted) = evicted {
            // The log of this id is gone, and with it the admissions to replay.
            for shard in shards.iter_mut() {
                let Some(pending) = shard.pending.get_mut(&evicted) else {
                    continue;
                };
                (pending.admissions, pending.in_doubt) = (0, 0);
                if pending.reset.or(pending.reported).is_none() {
                    shard.pending.remove(&evicted);
                }
            }
            self.update_count(&shards);
        }
        let admitted = match request.op {
            Op::Check | Op::Limit => outcome.decision.is_allowed(),
            Op::Reset => false,
            Op::Status | Op::CountDenials(_) => return outcome,
        };
        let reported = outcome.anomaly_status.anomaly().is_some();
        if !admitted && !reported && request.op != Op::Reset {
            return outcome;
        }
        evict(&mut shards, &request.id);
        let entries = &mut owner(&mut shards, shard, &request.id).pending;
        let pending = entries
            .entry(request.id.clone())
            .or_insert_with(PendingReplay::default);
        if request.op != Op::Reset {
            pending.admissions += usize::from(admitted);
            if reported {
                pending.reported = Some(logs.clock().now());
            }
        } else {
            *pending = PendingReplay {
                reset: Some(logs.clock().now()),
                ..PendingReplay::default()
            };
        }
        // In the order of last use, like the logs.
        entries.to_back(&request.id);
        self.update_count(&shards);
        outcome
    }

    /// Whether `shard` has no pending replays and no replay in progress.
    pub fn is_empty(&self, shard: usize) -> bool {
        self.unsettled.load(Ordering::SeqCst) == 0
            || self
                .shards
                .lock()
                .get(shard)
                .is_none_or(ShardEntries::is_settled)
    }

    /// The shards with pending replays or a replay in progress.
    pub(crate) fn pending_shards(&self) -> Vec<usize> {
        if self.unsettled.load(Ordering::SeqCst) == 0 {
            return Vec::new();
        }
        let shards = self.shards.lock();
        let unsettled = shards
            .iter()
            .enumerate()
            .filter(|(_, shard)| !shard.is_settled());
        unsettled.map(|(at, _)| at).collect()
    }

    /// Clears the journal and the logs.
    pub fn clear(&self, logs: &MemoryStore) {
        let mut shards = self.shards.lock();
        logs.clear();
        shards.iter_mut().for_each(|shard| shard.pending.clear());
        self.epoch.fetch_add(1, Ordering::Relaxed);
        self.update_count(&shards);
    }

    /// Removes an id, which was reset in the store.
    pub fn forget(&self, logs: &MemoryStore, id: &Id) {
        let mut shards = self.shards.lock();
        logs.forget(id);
        for shard in shards.iter_mut() {
            shard.pending.remove(id);
        }
        self.update_count(&shards);
    }

    /// Assigns ids to their shards anew, if the shard map has changed. The ids of a batch in flight stay with their shard until
    /// that has ended.
    pub(crate) fn rebalance(&self, shard_map_version: u64, shard_of: impl Fn(&Id) -> usize) {
        if self.shard_map_version.load(Ordering::Relaxed) == shard_map_version {
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
            let entries = ids
                .into_iter()
                .filter_map(|id| shard.pending.remove_entry(&id));
            moved.extend(entries);
        }
        for (id, pending) in moved {
            let owner = owner(&mut shards, shard_of(&id), &id);
            owner.pending.insert(id, pending);
        }
        let settled = shards.iter().all(|shard| shard.taken.is_empty());
        self.update_count(&shards);
        drop(shards);
        if settled {
            self.shard_map_version
                .store(shard_map_version, Ordering::Relaxed);
        }
    }

    /// Begins a replay into `shard`. `None`: another replay into it is in progress.
    pub fn replay(&self, shard: usize) -> Option<ReplaySession<'_>> {
        ReplaySession::begin(self, shard)
    }

    fn update_count(&self, shards: &[ShardEntries]) {
        let unsettled = shards
            .iter()
            .map(|shard| shard.pending.len() + usize::from(shard.replaying));
        self.unsettled.store(unsettled.sum(), Ordering::SeqCst);
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

/// The shard that holds an id: the one it was first recorded for, even if the shard map has changed since.
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

/// Evicts the id used longest ago from the largest shard, if one more id would exceed the number of logs: resets are recorded
/// for ids without a log, too.
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

/// The replay into one shard: at most one exists at a time.
pub struct ReplaySession<'a> {
    journal: &'a Journal,
    shard: usize,
}

/// The replays in one script call. When it is dropped, for whatever reason, its remaining replays return to the journal.
pub struct ReplayBatch<'a> {
    journal: &'a Journal,
    shard: usize,
    epoch: u64,
    taken_at: Millis,
    replays: Vec<Replay>,
    /// For each replay, how many of its oldest admissions were sent before.
    in_doubt: Vec<usize>,
}

impl<'a> ReplaySession<'a> {
    /// `None`: another replay into `shard` is in progress.
    fn begin(journal: &'a Journal, shard: usize) -> Option<Self> {
        let mut shards = journal.shards.lock();
        let entries = shards.get_mut(shard).filter(|entries| !entries.replaying)?;
        entries.replaying = true;
        journal.update_count(&shards);
        Some(Self { journal, shard })
    }

    /// Takes the replays of the next call from the journal: ids used longest ago first, and of an id its oldest admissions first.
    pub fn take(&self, logs: &MemoryStore) -> ReplayBatch<'_> {
        let journal = self.journal;
        let mut shards = journal.shards.lock();
        let ShardEntries {
            pending: entries,
            taken,
            ..
        } = &mut shards[self.shard];
        let taken_at = logs.clock().now();
        let (mut replays, mut in_doubt) = (Vec::new(), Vec::new());
        let mut capacity = MAX_ADMISSIONS;
        while replays.len() < MAX_IDS && capacity > 0 {
            let Some((id, pending)) = entries.pop_front() else {
                break;
            };
            // Admissions that have left the window are not replayed.
            let (ages, left) = logs.ages(&id, pending.admissions, capacity, taken_at);
            capacity -= ages.len();
            if left > 0 {
                let rest = PendingReplay {
                    reset: None,
                    reported: None,
                    admissions: left,
                    in_doubt: pending.in_doubt.saturating_sub(ages.len()),
                };
                entries.insert(id.clone(), rest);
                entries.to_front(&id);
            }
            taken.insert(id.clone());
            in_doubt.push(pending.in_doubt.min(ages.len()));
            replays.push(Replay {
                reset: pending
                    .reset
                    .map(|moment| taken_at.saturating_sub(moment) + MARGIN),
                reported: pending
                    .reported
                    .map(|moment| taken_at.saturating_sub(moment)),
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
    /// The replays to send.
    pub fn replays(&self) -> &[Replay] {
        &self.replays
    }

    /// Keeps the replays that were not executed. Admissions that may have been executed are sent once more and then dropped: an
    /// admission may count twice, which is strict, but not once for each attempt. A key of a foreign type
    /// ([`ErrorKind::WrongType`]) can never take a replay.
    pub fn retain_unconfirmed(&mut self, results: &[Result<(), StoreError>]) {
        let replays = std::mem::take(&mut self.replays);
        let in_doubt = std::mem::take(&mut self.in_doubt);
        for ((mut replay, mut sent_before), result) in
            replays.into_iter().zip(in_doubt).zip(results)
        {
            match result {
                Ok(()) => continue,
                Err(error) if error.kind() == ErrorKind::WrongType => continue,
                Err(error) if error.may_have_run() => {
                    replay.ages.truncate(replay.ages.len() - sent_before);
                    sent_before = replay.ages.len();
                }
                Err(_) => {}
            }
            let left = replay.reset.or(replay.reported).is_some() || !replay.ages.is_empty();
            if left {
                self.replays.push(replay);
                self.in_doubt.push(sent_before);
            }
        }
    }
}

impl Drop for ReplayBatch<'_> {
    fn drop(&mut self) {
        let left = std::mem::take(&mut self.replays);
        let mut shards = self.journal.shards.lock();
        let ShardEntries {
            pending: entries,
            taken,
            ..
        } = &mut shards[self.shard];
        taken.clear();
        if left.is_empty() || self.epoch != self.journal.epoch.load(Ordering::Relaxed) {
            return;
        }
        for (replay, &sent_before) in left.into_iter().zip(&self.in_doubt).rev() {
            let pending = entries
                .entry(replay.id.clone())
                .or_insert_with(PendingReplay::default);
            // A reset that came meanwhile voids the admissions before it.
            if pending.reset.is_none() {
                if sent_before == replay.ages.len() {
                    pending.in_doubt += sent_before;
                } else {
                    pending.in_doubt = sent_before;
                }
                pending.admissions += replay.ages.len();
                pending.reset = replay
                    .reset
                    .map(|age| (self.taken_at + MARGIN).saturating_sub(age));
                let reported = replay.reported;
                let reported = reported.map(|age| self.taken_at.saturating_sub(age));
                pending.reported = pending.reported.or(reported);
            }
            entries.to_front(&replay.id);
        }
        self.journal.update_count(&shards);
    }
}

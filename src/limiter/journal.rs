//! The decisions that this process made while the store was away, to be replayed into it.
//!
//! The local logs hold the moments of the admissions. The journal holds, for each id, how many of its newest admissions are
//! missing in the store, whether the id was reset, and whether an anomaly was reported. A replay leaves the local logs as
//! they are, so that a store which fails many times in a window costs no more than one limit a process.
//!
//! All limiters of a name share one journal, and each may have a shard map of its own. So an entry carries the slot of its key,
//! and a limiter replays the slots that its map gives to a shard.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hashlink::LinkedHashMap;
use parking_lot::Mutex;

use crate::planted::planted;
use crate::quota::{Clock, Id, Millis, Outcome, Rules};
use crate::store::{ErrorKind, MAX_MEMORY_IDS, MemoryStore, Op, Replay, Request, StoreError};

/// The most admissions and ids in one script call. An admission takes the server one or two microseconds, so that a call
/// blocks it for about a millisecond.
const MAX_ADMISSIONS: usize = 500;
const MAX_IDS: usize = 64;

/// A reset is replayed as if it had happened this much earlier. Its age is measured when the claim is made, and the time to
/// the store would move it later, over admissions that other processes were granted since. An admission that the margin
/// spares is counted twice.
const MARGIN: Millis = 1000;

/// The decisions that have not been replayed, by id.
#[derive(Default)]
pub struct Journal {
    entries: Mutex<Entries>,
    /// The number of pending and claimed ids. Each batch reads it without the lock.
    unsettled: AtomicUsize,
    /// Changes whenever a slot gets its first or loses its last id.
    generation: AtomicU64,
}

#[derive(Default)]
struct Entries {
    /// In the order of last use.
    pending: LinkedHashMap<Id, PendingReplay, RandomState>,
    /// The ids of the claims and their slots. An id is in one claim at a time: two would not know of each other which of its
    /// admissions they have taken.
    claimed: HashMap<Id, u16>,
    /// How many ids of each slot are pending, and how many are claimed; none of a slot without either.
    slots: HashMap<u16, SlotCounts>,
    /// The number of times the journal was cleared: a claim from before a clear must not be put back.
    epoch: u64,
    /// See [`Journal::generation`].
    generation: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct SlotCounts {
    pending: usize,
    claimed: usize,
}

/// What the store does not know of one id.
#[derive(Debug, Clone, Copy, Default)]
struct PendingReplay {
    slot: u16,
    /// When it was reset, on the clock of the local logs.
    reset: Option<Millis>,
    /// When an anomaly was reported, on the same clock.
    reported: Option<Millis>,
    /// The number of its newest admissions, from the local log.
    admissions: usize,
    /// How many of the oldest of these were sent in a call that may have been executed.
    in_doubt: usize,
}

impl Journal {
    /// Answers `request` from the local `logs`, and records what has to be replayed. `slot` is the slot of the id.
    pub fn answer(
        &self,
        logs: &MemoryStore,
        rules: Rules,
        slot: u16,
        request: &Request,
    ) -> Outcome {
        // Locked until the decision is recorded: the newest admissions of the log must be those that are counted here.
        let mut entries = self.entries.lock();
        let (outcome, _, evicted) = logs.decide_evicting(rules, request);
        if let Some(evicted) = evicted {
            entries.on_evicted(&evicted);
            self.publish(&entries);
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
        // Resets are recorded for ids without a log, too: bounded as the logs are.
        while entries.pending.len() >= MAX_MEMORY_IDS && !entries.pending.contains_key(&request.id)
        {
            entries.pop_front();
        }
        let pending = entries.pending_mut(&request.id, slot);
        if request.op != Op::Reset {
            pending.admissions += usize::from(admitted);
            if reported {
                pending.reported = Some(logs.clock().now());
            }
        } else {
            *pending = PendingReplay {
                slot: pending.slot,
                reset: Some(logs.clock().now()),
                ..PendingReplay::default()
            };
        }
        // In the order of last use, like the logs.
        entries.pending.to_back(&request.id);
        self.publish(&entries);
        outcome
    }

    /// Whether no decision is pending, and none claimed, in the slots for which `owns` is true.
    pub fn is_empty(&self, owns: impl Fn(u16) -> bool) -> bool {
        self.unsettled.load(Ordering::SeqCst) == 0
            || !self.entries.lock().slots.keys().any(|&slot| owns(slot))
    }

    /// Changes whenever the answer of [`is_empty`](Self::is_empty) may have changed. `None`: the journal is empty for all slots.
    pub(super) fn generation(&self) -> Option<u64> {
        let empty = self.unsettled.load(Ordering::SeqCst) == 0;
        (!empty).then(|| self.generation.load(Ordering::SeqCst))
    }

    /// The slots with pending or claimed decisions.
    pub(super) fn slots(&self) -> Vec<u16> {
        match self.unsettled.load(Ordering::SeqCst) {
            0 => Vec::new(),
            _ => self.entries.lock().slots.keys().copied().collect(),
        }
    }

    /// Clears the journal and the logs.
    pub fn clear(&self, logs: &MemoryStore) {
        let mut entries = self.entries.lock();
        logs.clear();
        while entries.pop_front().is_some() {}
        entries.epoch += 1;
        self.publish(&entries);
    }

    /// Removes an id, which was reset in the store.
    pub fn forget(&self, logs: &MemoryStore, id: &Id) {
        let mut entries = self.entries.lock();
        logs.forget(id);
        entries.remove(id);
        self.publish(&entries);
    }

    /// Claims decisions in the slots for which `owns` is true, to be replayed in one call: of the ids used longest ago, and of an
    /// id its oldest admissions first. `None`: there are none, or another claim holds ids in these slots.
    ///
    /// Skips the entries of other slots, which may be those of a shard that is still away: at most [`MAX_MEMORY_IDS`], a
    /// millisecond or two.
    pub fn claim(
        self: &Arc<Self>,
        logs: &MemoryStore,
        owns: impl Fn(u16) -> bool,
    ) -> Option<Claim> {
        let mut entries = self.entries.lock();
        let mut available = 0;
        for (_, counts) in entries.slots.iter().filter(|&(&slot, _)| owns(slot)) {
            if counts.claimed > 0 {
                return None;
            }
            available += counts.pending;
        }
        if available == 0 {
            return None;
        }
        let owned = entries
            .pending
            .iter()
            .filter(|(_, pending)| owns(pending.slot));
        let ids: Vec<_> = owned
            .take(available.min(MAX_IDS))
            .map(|(id, _)| id.clone())
            .collect();
        let taken_at = logs.clock().now();
        let (mut claimed, mut replays, mut in_doubt) = (Vec::new(), Vec::new(), Vec::new());
        let mut capacity = MAX_ADMISSIONS;
        for id in ids {
            if capacity == 0 {
                break;
            }
            let Some(pending) = entries.remove(&id) else {
                continue;
            };
            // Admissions that have left the window are not replayed.
            let (ages, left) = logs.ages(&id, pending.admissions, capacity, taken_at);
            capacity -= ages.len();
            if left > 0 {
                *entries.pending_mut(&id, pending.slot) = PendingReplay {
                    slot: pending.slot,
                    reset: None,
                    reported: None,
                    admissions: left,
                    in_doubt: pending.in_doubt.saturating_sub(ages.len()),
                };
                entries.pending.to_front(&id);
            }
            entries.claimed.insert(id.clone(), pending.slot);
            entries.count(pending.slot, |counts| counts.claimed += 1);
            claimed.push(id.clone());
            in_doubt.push(pending.in_doubt.min(ages.len()));
            let age = |moment| taken_at.saturating_sub(moment);
            replays.push(Replay {
                reset: pending.reset.map(|moment| age(moment) + MARGIN),
                reported: pending.reported.map(age),
                ages,
                id,
            });
        }
        self.publish(&entries);
        Some(Claim {
            journal: Arc::clone(self),
            epoch: entries.epoch,
            taken_at,
            replays,
            in_doubt,
            ids: claimed,
        })
    }

    /// Makes the counts known to those who read them without the lock.
    fn publish(&self, entries: &Entries) {
        self.generation.store(entries.generation, Ordering::SeqCst);
        let unsettled = entries.pending.len() + entries.claimed.len();
        self.unsettled.store(unsettled, Ordering::SeqCst);
    }
}

impl Entries {
    /// What is pending of an id; a new entry for `slot` if nothing is.
    fn pending_mut(&mut self, id: &Id, slot: u16) -> &mut PendingReplay {
        if !self.pending.contains_key(id) {
            self.count(slot, |counts| counts.pending += 1);
        }
        self.pending
            .entry(id.clone())
            .or_insert_with(|| PendingReplay {
                slot,
                ..PendingReplay::default()
            })
    }

    fn remove(&mut self, id: &Id) -> Option<PendingReplay> {
        let pending = self.pending.remove(id)?;
        self.count(pending.slot, |counts| counts.pending -= 1);
        Some(pending)
    }

    fn pop_front(&mut self) -> Option<()> {
        let (_, pending) = self.pending.pop_front()?;
        self.count(pending.slot, |counts| counts.pending -= 1);
        Some(())
    }

    /// The log of this id is gone, and with it the admissions to replay.
    fn on_evicted(&mut self, id: &Id) {
        let Some(pending) = self.pending.get_mut(id) else {
            return;
        };
        (pending.admissions, pending.in_doubt) = (0, 0);
        if pending.reset.or(pending.reported).is_none() {
            self.remove(id);
        }
    }

    /// Changes the counts of a slot.
    fn count(&mut self, slot: u16, change: impl FnOnce(&mut SlotCounts)) {
        let counts = self.slots.entry(slot).or_default();
        let is_empty = |counts: &SlotCounts| counts.pending == 0 && counts.claimed == 0;
        let before = is_empty(counts);
        change(counts);
        let after = is_empty(counts);
        if after {
            self.slots.remove(&slot);
        }
        self.generation += u64::from(before != after);
    }
}

/// The replays of one script call. When it is dropped, for whatever reason, its remaining replays return to the journal.
pub struct Claim {
    journal: Arc<Journal>,
    epoch: u64,
    taken_at: Millis,
    replays: Vec<Replay>,
    /// For each replay, how many of its oldest admissions were sent before.
    in_doubt: Vec<usize>,
    /// All claimed ids.
    ids: Vec<Id>,
}

impl Claim {
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
                Ok(()) if planted!(ReplayTwice) && sent_before == 0 => {
                    sent_before = replay.ages.len();
                }
                Ok(()) => continue,
                Err(error) if error.kind() == ErrorKind::WrongType => continue,
                Err(error) if error.may_have_run() => {
                    if !planted!(ReplayDoubtForever) {
                        replay.ages.truncate(replay.ages.len() - sent_before);
                        sent_before = replay.ages.len();
                    }
                }
                Err(_) if planted!(ReplayDropped) => continue,
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

impl Drop for Claim {
    fn drop(&mut self) {
        if planted!(ClaimNotReleased) {
            return;
        }
        let left = std::mem::take(&mut self.replays);
        let mut entries = self.journal.entries.lock();
        let mut slots = HashMap::new();
        for id in self.ids.drain(..) {
            if let Some(slot) = entries.claimed.remove(&id) {
                entries.count(slot, |counts| counts.claimed -= 1);
                slots.insert(id, slot);
            }
        }
        let current = self.epoch == entries.epoch;
        for (replay, &sent_before) in left.into_iter().zip(&self.in_doubt).rev() {
            let Some(&slot) = slots.get(&replay.id).filter(|_| current) else {
                continue;
            };
            let pending = entries.pending_mut(&replay.id, slot);
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
            entries.pending.to_front(&replay.id);
        }
        self.journal.publish(&entries);
    }
}

//! What is remembered of all ids, and what an answer changes of it.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use super::denial::{Denial, Entry, Waiting};
use super::{BatchTimes, MAX_ENTRIES, Released};
use crate::limiter::Pending;
use crate::quota::{Id, Limit};
use crate::store::{Op, Request};

/// What is remembered of all ids.
pub(super) struct State<T> {
    /// Of an id, one for each limit that it was asked under.
    pub(super) entries: HashMap<Id, Vec<Entry<T>>>,
    /// How many these are.
    pub(super) count: usize,
    /// Requests that wait in them.
    pub(super) waiting: usize,
    /// Those with denials to be counted, in the order of the first. One may be gone or have been counted since.
    pub(super) uncounted: VecDeque<(Id, Limit)>,
    /// How many of these are due.
    pub(super) due: usize,
    /// Counts resets and replays, so that no denial from before one is remembered after it. One count for all ids: they are
    /// rare, and what is under way meanwhile is only asked once more.
    pub(super) epoch: u64,
    /// When the last denial from before one has come. What was in flight then may have been decided before it.
    pub(super) invalid_until: Option<Instant>,
}

impl<T: Clone> State<T> {
    pub(super) fn entry(&mut self, request: &Request) -> Option<&mut Entry<T>> {
        find(self.entries.get_mut(&request.id)?, request.limit)
    }

    pub(super) fn remove(&mut self, id: &Id) -> Vec<Pending<T>> {
        self.epoch += 1;
        let entries = self.entries.remove(id).unwrap_or_default();
        self.count -= entries.len();
        let asking = entries.into_iter().filter_map(|entry| entry.refresh);
        let waiting = asking.flat_map(|asking| asking.waiting);
        let released: Vec<_> = waiting.map(|waiting| waiting.pending).collect();
        self.waiting -= released.len();
        released
    }

    /// A denial that is not remembered may still have been decided last: an entry with an earlier retry time expires.
    pub(super) fn expire_if_earlier(&mut self, request: &Request, denial: &Denial, now: Instant) {
        if let Some(known) = self.entry(request)
            && known.denial.promised < denial.promised
        {
            known.denial.until = known.denial.until.min(now);
        }
    }

    /// A denial takes the place of the one before, also where it cannot be repeated: the moment that the one before promises
    /// may be too early by now. It answers what waits.
    pub(super) fn insert(
        &mut self,
        request: &Request,
        mut denial: Denial,
        ticket: &T,
        batch: BatchTimes,
        released: &mut Released<T>,
    ) {
        let now = batch.received;
        if let Some(known) = self.entry(request) {
            match &mut denial.remaining_uses {
                // The store has not heard of these yet.
                Some(left) => *left = left.saturating_sub(known.denials),
                None => known.denials = 0,
            }
            // Of two batches in flight, the one that was decided first may be answered last. Neither moment is too late.
            if now < known.denial.until {
                denial.promised = denial.promised.max(known.denial.promised);
                // What is not counted is so only until its own end.
                if denial.remaining_uses.is_some() == known.denial.remaining_uses.is_some() {
                    denial.until = denial.until.max(known.denial.until);
                }
            }
            known.denial = denial;
            return self.answer_waiting(batch, request, released);
        }
        if self.count < MAX_ENTRIES {
            self.count += 1;
            let entries = self.entries.entry(request.id.clone()).or_default();
            entries.push(Entry {
                limit: request.limit,
                denial,
                denials: 0,
                queued: false,
                ticket: ticket.clone(),
                refresh: None,
            });
        }
    }

    /// Answers those that wait, as if the denial had been known when they asked. One of the others asks, if there are any.
    pub(super) fn answer_waiting(
        &mut self,
        batch: BatchTimes,
        request: &Request,
        released: &mut Released<T>,
    ) {
        let now = batch.received;
        let Some(entry) = self.entry(request) else {
            return;
        };
        let Some(mut asking) = entry.refresh.take() else {
            return;
        };
        let before = asking.waiting.len();
        while let Some(Waiting { since, pending }) = asking.waiting.pop_front() {
            if let Some(decision) = entry.answer(since, now) {
                released.denied.push((pending, decision));
                continue;
            }
            asking.waiting.push_front(Waiting { since, pending });
            break;
        }
        let listed = entry.denials > 0 && !std::mem::replace(&mut entry.queued, true);
        let left = asking.waiting.len();
        if batch.sent.at < asking.since {
            // The request that asks has not been answered yet.
            entry.refresh = Some(asking);
        } else if left > 0 {
            asking.asked = 0;
            asking.allowed = 1;
            asking.since = now;
            entry.refresh = Some(asking);
            entry.release(released);
        }
        self.waiting -= before - entry.waiting();
        if listed {
            self.uncounted
                .push_back((request.id.clone(), request.limit));
        }
    }

    /// One that asked, in a batch sent at `sent`, was admitted, and so many slots remain. As many may ask, and one more. Where
    /// that is enough for all, nobody waits any more.
    pub(super) fn on_admission(
        &mut self,
        sent: Instant,
        request: &Request,
        remaining: usize,
        released: &mut Released<T>,
    ) {
        let Some(entry) = self.entry(request) else {
            return;
        };
        let Some(asking) = entry.refresh.as_mut().filter(|asking| sent >= asking.since) else {
            return;
        };
        let before = asking.waiting.len();
        asking.asked = asking.asked.saturating_sub(1);
        asking.allowed = remaining.saturating_add(1);
        if remaining >= asking.asked + before {
            let left = entry.refresh.take().map(|asking| asking.waiting);
            let left = left.into_iter().flatten();
            released.ask.extend(left.map(|waiting| waiting.pending));
            self.waiting -= before;
            return;
        }
        entry.release(released);
        self.waiting -= before - entry.waiting();
    }

    /// One that was to ask has not been answered. What has waited for it asks for itself.
    pub(super) fn on_unanswered(&mut self, request: &Request) -> Vec<Pending<T>> {
        if !matches!(request.op, Op::Check | Op::Limit) {
            return Vec::new();
        }
        let asking = self.entry(request).and_then(|entry| entry.refresh.take());
        let waiting = asking.into_iter().flat_map(|asking| asking.waiting);
        let released: Vec<_> = waiting.map(|waiting| waiting.pending).collect();
        self.waiting -= released.len();
        released
    }
}

impl<T: Clone> Entry<T> {
    /// Releases as many of those that wait as may ask.
    pub(super) fn release(&mut self, released: &mut Released<T>) {
        while let Some(asking) = &mut self.refresh
            && !asking.waiting.is_empty()
            && asking.try_ask()
            && let Some(Waiting { mut pending, .. }) = asking.waiting.pop_front()
        {
            pending.request.op = Op::Limit;
            let counts = self.take_denials(&pending.request.id);
            released.ask.extend(counts.map(|(request, ticket)| Pending {
                request,
                ticket,
                deadline: pending.deadline,
            }));
            released.ask.push(pending);
        }
    }
}

/// The entry of that limit.
pub(super) fn find<T>(entries: &mut [Entry<T>], limit: Limit) -> Option<&mut Entry<T>> {
    entries.iter_mut().find(|entry| entry.limit == limit)
}

/// The requests that count what has been answered from here.
pub(super) fn take_denials<T: Clone>(entries: &mut [Entry<T>], id: &Id) -> Vec<(Request, T)> {
    let counts = entries
        .iter_mut()
        .filter_map(|entry| entry.take_denials(id));
    counts.collect()
}

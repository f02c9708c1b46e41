//! The entries of the deny cache, and how an answer of the store changes them.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU64;

use tokio::time::Instant;

use super::{BatchTimes, MAX_ENTRIES, Released};
use crate::limiter::Pending;
use crate::quota::{Decision, Id, Limit, Millis, Verdict};
use crate::store::{Op, Request};

/// A denial by the store.
pub(super) struct Denial {
    /// Before that it is repeated without asking: there is no slot for sure.
    pub(super) until: Instant,
    /// Then there is one, for a caller who is alone.
    pub(super) promised: Instant,
    pub(super) reset: Millis,
    /// When that is, by the clock of this process.
    pub(super) reset_at: Instant,
    /// How many more may be answered from here. `None`: any number, and they are not counted.
    pub(super) remaining_uses: Option<u32>,
}

impl Denial {
    pub(super) fn decision(&self, now: Instant) -> Decision {
        // Rounded up, or the promise would be kept a moment too early.
        let ms_until = |moment: Instant| {
            let wait = moment.saturating_duration_since(now);
            wait.as_nanos().div_ceil(1_000_000) as Millis
        };
        let retry_after = ms_until(self.promised);
        Decision {
            verdict: Verdict::Denied {
                retry_after: NonZeroU64::new(retry_after).unwrap_or(NonZeroU64::MIN),
            },
            remaining: 0,
            reset: self.reset,
            reset_after: ms_until(self.reset_at).max(retry_after),
        }
    }
}

/// Requests of one id under one limit.
pub(super) struct Entry<T> {
    pub(super) limit: Limit,
    pub(super) denial: Denial,
    /// Answered from here and not sent to be counted yet.
    pub(super) denials: u32,
    /// Whether it is in the list of those to be counted.
    pub(super) queued: bool,
    pub(super) ticket: T,
    /// The store is being asked, since the denial may no longer be repeated.
    pub(super) refresh: Option<Refresh<T>>,
}

/// Requests that ask the store, and others that wait for their answer.
pub(super) struct Refresh<T> {
    /// An answer to a batch sent before then is of an earlier request.
    pub(super) since: Instant,
    /// How many ask, and how many may.
    pub(super) asked: usize,
    pub(super) allowed: usize,
    pub(super) waiting: VecDeque<Waiting<T>>,
}

/// A request that waits, and since when.
pub(super) struct Waiting<T> {
    pub(super) since: Instant,
    pub(super) pending: Pending<T>,
}

impl<T> Refresh<T> {
    /// One may ask.
    pub(super) fn begin(now: Instant) -> Self {
        Self {
            since: now,
            asked: 0,
            allowed: 1,
            waiting: VecDeque::new(),
        }
    }

    /// Whether one more may ask. It then counts as asking.
    pub(super) fn try_ask(&mut self) -> bool {
        let admits = self.asked < self.allowed;
        self.asked += usize::from(admits);
        admits
    }
}

impl<T: Clone> Entry<T> {
    /// Answers a request that was made at `asked`, and counts it where it is to be counted. `None`: the store has to be asked.
    pub(super) fn answer(&mut self, asked: Instant, now: Instant) -> Option<Decision> {
        if asked >= self.denial.until {
            return None;
        }
        if let Some(left) = &mut self.denial.remaining_uses {
            *left = left.checked_sub(1)?;
            self.denials = self.denials.saturating_add(1);
        }
        Some(self.denial.decision(now))
    }

    /// The request that counts what has been answered from here, if there is anything to count.
    pub(super) fn take_denials(&mut self, id: &Id) -> Option<(Request, T)> {
        let denials = std::mem::take(&mut self.denials);
        let request = Request {
            op: Op::Denied(denials),
            id: id.clone(),
            limit: self.limit,
        };
        (denials > 0).then(|| (request, self.ticket.clone()))
    }

    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.refresh
            .as_ref()
            .map_or(0, |asking| asking.waiting.len())
    }

    /// Whether there is something in it that is still needed.
    pub(super) fn is_live(&self, now: Instant) -> bool {
        self.queued || self.refresh.is_some() || now < self.denial.until
    }

    /// Releases as many of those that wait as may ask.
    fn release(&mut self, released: &mut Released<T>) {
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

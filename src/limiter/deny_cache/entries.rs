//! The entries of the deny cache, and how an answer of the store changes them.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use super::{BatchTimes, MAX_ENTRIES, Released};
use crate::limiter::completion::RequestId;
use crate::limiter::queue::Pending;
use crate::planted::planted;
use crate::quota::{AnomalyRule, AnomalyStatus, Decision, Id, Limit, Millis, Outcome, Verdict};
use crate::store::{Op, Request};

/// A denial by the store.
pub(super) struct Denial {
    /// It may be repeated before this moment: no slot can be free.
    pub(super) repeat_until: Instant,
    /// The retry time: a slot is free then, if no other caller takes it.
    pub(super) retry_at: Instant,
    pub(super) reset: Millis,
    /// The reset, on the clock of this process.
    pub(super) reset_at: Instant,
    /// How many times it may still be repeated. `None`: any number of times, without counting.
    pub(super) remaining_uses: Option<u32>,
}

impl Denial {
    /// The denial of an answer, if it is one, to be repeated for at most `max_age`.
    pub(super) fn of(
        outcome: Outcome,
        batch: BatchTimes,
        max_age: Duration,
        rule: Option<AnomalyRule>,
    ) -> Option<Self> {
        let Verdict::Denied { retry_after } = outcome.decision.verdict else {
            return None;
        };
        let wait = Duration::from_millis(retry_after.get());
        let (remaining_uses, pause) = match (rule, outcome.anomaly_status) {
            (None, _) => (None, None),
            (Some(rule), AnomalyStatus::Anomaly(_)) => (None, Some(rule.window().ms())),
            (Some(_), AnomalyStatus::Paused(ms)) => (None, Some(ms.get())),
            (Some(_), AnomalyStatus::Below(more)) => (Some(more.get() - 1), None),
            (Some(_), AnomalyStatus::None) => (Some(0), None),
        };
        let pause = pause.map_or(Duration::MAX, Duration::from_millis);
        let from = match batch.sent.at {
            _ if planted!(DenyFromReceipt) => batch.received,
            at if planted!(DenyCacheLong) => at + Duration::from_millis(2),
            at => at,
        };
        Some(Self {
            repeat_until: from + wait.min(max_age).min(pause),
            retry_at: batch.received.checked_add(wait)?,
            reset: outcome.decision.reset,
            reset_at: batch
                .received
                .checked_add(Duration::from_millis(outcome.decision.reset_after))?,
            remaining_uses,
        })
    }

    pub(super) fn decision(&self, now: Instant) -> Decision {
        // Rounded up: rounded down, a caller could come back a moment too early.
        let ms_until = |moment: Instant| {
            let wait = moment.saturating_duration_since(now);
            wait.as_nanos().div_ceil(1_000_000) as Millis
        };
        let retry_after = ms_until(self.retry_at);
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

/// The last denial of one id under one limit, and the requests that wait for the next answer.
pub(super) struct Entry {
    pub(super) limit: Limit,
    pub(super) denial: Denial,
    /// Repetitions that have not been sent to be counted.
    pub(super) denials: u32,
    /// Whether it stands in [`State::uncounted`].
    pub(super) queued: bool,
    pub(super) request_id: RequestId,
    /// Requests sent since the denial may no longer be repeated.
    pub(super) refresh: Option<Refresh>,
}

/// Requests sent to renew an entry, and the requests that wait for their answers.
pub(super) struct Refresh {
    /// A batch sent before this moment holds none of these requests.
    pub(super) since: Instant,
    /// How many are in flight, and how many may be.
    pub(super) sent: usize,
    pub(super) allowed: usize,
    pub(super) waiting: VecDeque<Waiting>,
}

/// A request that waits since a moment.
pub(super) struct Waiting {
    pub(super) since: Instant,
    pub(super) pending: Pending,
}

impl Refresh {
    /// One request may be sent.
    pub(super) fn begin(now: Instant) -> Self {
        Self {
            since: now,
            sent: 0,
            allowed: 1,
            waiting: VecDeque::new(),
        }
    }

    /// Whether one more may be sent. If so, it is counted as sent.
    pub(super) fn try_send(&mut self) -> bool {
        let may_send = self.sent < self.allowed;
        self.sent += usize::from(may_send);
        may_send
    }
}

impl Entry {
    /// Repeats the denial for a request that was made at `made`, and counts the repetition. `None`: the request has to be sent.
    pub(super) fn answer(&mut self, made: Instant, now: Instant) -> Option<Decision> {
        if made >= self.denial.repeat_until {
            return None;
        }
        if let Some(uses) = &mut self.denial.remaining_uses {
            *uses = uses.checked_sub(1)?;
            self.denials = self.denials.saturating_add(1);
        }
        Some(self.denial.decision(now))
    }

    /// The request that counts the repetitions so far, if there are any.
    pub(super) fn take_denials(&mut self, id: &Id) -> Option<(Request, RequestId)> {
        let denials = std::mem::take(&mut self.denials);
        let request = Request {
            op: Op::CountDenials(denials),
            id: id.clone(),
            limit: self.limit,
        };
        (denials > 0).then_some((request, self.request_id))
    }

    /// The number of requests that wait.
    pub(super) fn waiting(&self) -> usize {
        self.refresh
            .as_ref()
            .map_or(0, |refresh| refresh.waiting.len())
    }

    /// Whether it is still needed.
    pub(super) fn is_live(&self, now: Instant) -> bool {
        self.queued || self.refresh.is_some() || now < self.denial.repeat_until
    }

    /// Releases as many waiting requests as may be sent.
    fn release(&mut self, released: &mut Released) {
        while let Some(refresh) = &mut self.refresh
            && !refresh.waiting.is_empty()
            && refresh.try_send()
            && let Some(Waiting { mut pending, .. }) = refresh.waiting.pop_front()
        {
            pending.request.op = Op::Limit;
            let counts = self.take_denials(&pending.request.id);
            released
                .send
                .extend(counts.map(|(request, request_id)| Pending {
                    request,
                    request_id,
                    deadline: pending.deadline,
                }));
            released.send.push(pending);
        }
    }
}

/// All entries of a cache.
pub(super) struct State {
    /// By id, an entry for each limit that it was denied under.
    pub(super) entries: HashMap<Id, Vec<Entry>>,
    /// The number of entries.
    pub(super) count: usize,
    /// The number of requests that wait in them.
    pub(super) waiting: usize,
    /// Entries with repetitions to count, in the order of the first repetition. Such an entry may have been removed or counted
    /// since.
    pub(super) uncounted: VecDeque<(Id, Limit)>,
    /// How many of these are due.
    pub(super) due: usize,
    /// The number of resets and replays: a denial from before one must not be inserted after it. One number for all ids:
    /// both are rare, and cost a batch in flight meanwhile no more than one further request.
    pub(super) epoch: u64,
    /// When the last denial from before a reset or replay arrived. A batch that was in flight then may have been decided
    /// before it, too.
    pub(super) invalid_until: Option<Instant>,
}

impl State {
    pub(super) fn entry(&mut self, request: &Request) -> Option<&mut Entry> {
        find(self.entries.get_mut(&request.id)?, request.limit)
    }

    pub(super) fn remove(&mut self, id: &Id) -> Vec<Pending> {
        self.epoch += 1;
        let entries = self.entries.remove(id).unwrap_or_default();
        self.count -= entries.len();
        let refreshes = entries.into_iter().filter_map(|entry| entry.refresh);
        let waiting = refreshes.flat_map(|refresh| refresh.waiting);
        let released: Vec<_> = waiting.map(|waiting| waiting.pending).collect();
        self.waiting -= released.len();
        released
    }

    /// Expires an entry with an earlier retry time than `denial`, which cannot be inserted but may have been decided last.
    pub(super) fn expire_if_earlier(&mut self, request: &Request, denial: &Denial, now: Instant) {
        if let Some(existing) = self.entry(request)
            && existing.denial.retry_at < denial.retry_at
        {
            existing.denial.repeat_until = existing.denial.repeat_until.min(now);
        }
    }

    /// Replaces the entry's denial, even by one that cannot be repeated, since the earlier retry time may be too early by now.
    /// Answers the requests that wait.
    pub(super) fn insert(
        &mut self,
        request: &Request,
        mut denial: Denial,
        request_id: RequestId,
        batch: BatchTimes,
        released: &mut Released,
    ) {
        let now = batch.received;
        if let Some(existing) = self.entry(request) {
            match &mut denial.remaining_uses {
                // The store has not counted these repetitions yet.
                Some(uses) => *uses = uses.saturating_sub(existing.denials),
                None => existing.denials = 0,
            }
            // Of two batches in flight the first decided may be answered last. Neither retry time is too late.
            if now < existing.denial.repeat_until {
                denial.retry_at = denial.retry_at.max(existing.denial.retry_at);
                // A denial that is not counted must not outlast the pause of counting.
                if denial.remaining_uses.is_some() == existing.denial.remaining_uses.is_some() {
                    denial.repeat_until = denial.repeat_until.max(existing.denial.repeat_until);
                }
            }
            existing.denial = denial;
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
                request_id,
                refresh: None,
            });
        }
    }

    /// Answers the requests that wait, as if the cache had held the denial when they were made. If any are left, one is sent.
    pub(super) fn answer_waiting(
        &mut self,
        batch: BatchTimes,
        request: &Request,
        released: &mut Released,
    ) {
        let now = batch.received;
        let Some(entry) = self.entry(request) else {
            return;
        };
        let Some(mut refresh) = entry.refresh.take() else {
            return;
        };
        let before = refresh.waiting.len();
        while let Some(Waiting { since, pending }) = refresh.waiting.pop_front() {
            if let Some(decision) = entry.answer(since, now) {
                released.denied.push((pending, decision));
                continue;
            }
            refresh.waiting.push_front(Waiting { since, pending });
            break;
        }
        let uncounted = entry.denials > 0 && !std::mem::replace(&mut entry.queued, true);
        let left = refresh.waiting.len();
        if batch.sent.at < refresh.since {
            // The request that was sent for them has not been answered yet.
            entry.refresh = Some(refresh);
        } else if left > 0 {
            refresh.sent = 0;
            refresh.allowed = 1;
            refresh.since = now;
            entry.refresh = Some(refresh);
            entry.release(released);
        }
        self.waiting -= before - entry.waiting();
        if uncounted {
            self.uncounted
                .push_back((request.id.clone(), request.limit));
        }
    }

    /// A request in a batch sent at `sent` was admitted, and `remaining` slots are left: that many requests may be sent, and
    /// one more. If that is enough for all that wait, the entry needs no further answers.
    pub(super) fn on_admission(
        &mut self,
        sent: Instant,
        request: &Request,
        remaining: usize,
        released: &mut Released,
    ) {
        let Some(entry) = self.entry(request) else {
            return;
        };
        let Some(refresh) = entry
            .refresh
            .as_mut()
            .filter(|refresh| sent >= refresh.since)
        else {
            return;
        };
        let before = refresh.waiting.len();
        refresh.sent = refresh.sent.saturating_sub(1);
        refresh.allowed = remaining.saturating_add(1);
        if remaining >= refresh.sent + before {
            let left = entry.refresh.take().map(|refresh| refresh.waiting);
            let left = left.into_iter().flatten();
            released.send.extend(left.map(|waiting| waiting.pending));
            self.waiting -= before;
            return;
        }
        entry.release(released);
        self.waiting -= before - entry.waiting();
    }

    /// A request that others wait for was not answered. Returns those, to be sent.
    pub(super) fn on_unanswered(&mut self, request: &Request) -> Vec<Pending> {
        if !matches!(request.op, Op::Check | Op::Limit) {
            return Vec::new();
        }
        let refresh = self.entry(request).and_then(|entry| entry.refresh.take());
        let waiting = refresh.into_iter().flat_map(|refresh| refresh.waiting);
        let released: Vec<_> = waiting.map(|waiting| waiting.pending).collect();
        self.waiting -= released.len();
        released
    }
}

/// The entry for `limit`.
pub(super) fn find(entries: &mut [Entry], limit: Limit) -> Option<&mut Entry> {
    let larger = |entry: &Entry| planted!(DenyLargerLimit) && entry.limit < limit;
    entries
        .iter_mut()
        .find(|entry| entry.limit == limit || larger(entry))
}

/// The requests that count the repetitions of these entries.
pub(super) fn take_denials(entries: &mut [Entry], id: &Id) -> Vec<(Request, RequestId)> {
    let counts = entries
        .iter_mut()
        .filter_map(|entry| entry.take_denials(id));
    counts.collect()
}

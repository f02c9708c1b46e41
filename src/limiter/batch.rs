//! A batch in flight. Each of its requests is completed exactly once: when the store answers, or at its own deadline.

use std::sync::Arc;
use std::time::Instant;

use super::completer::{Completer, late};
use super::completion::{Action, Context, RequestId};
use super::deny_cache::{BatchTimes, Sent};
use super::queue::{Load, Pending};
use super::shard::Shard;
use crate::planted::planted;
use crate::quota::Outcome;
use crate::store::{Request, StoreError};

/// One batch in flight.
pub(super) struct Batch {
    pub(super) number: u64,
    load: Load,
    pub(super) requests: Arc<[Request]>,
    sent: Sent,
    callers: Vec<Caller>,
    /// How many requests have not been completed.
    open: usize,
    /// True until the first reply. Requests still open after that have been redirected to another node of the cluster, and no
    /// longer occupy one of this shard's batches.
    in_flight: bool,
    /// The shard has replied with something other than that it is away: what is late after that is late because of another shard.
    has_replied: bool,
    /// The first error, if the first result was one.
    error: Option<StoreError>,
}

/// The caller of one request.
struct Caller {
    deadline: Instant,
    /// `None`: the request has been completed.
    request_id: Option<RequestId>,
}

/// What a batch says of the shard.
enum Observation {
    Nothing,
    Answer,
    Failure { sent: Instant, error: StoreError },
}

impl Batch {
    pub(super) fn new(
        number: u64,
        load: Load,
        batch: impl ExactSizeIterator<Item = Pending>,
        sent: Sent,
    ) -> Self {
        let mut callers = Vec::with_capacity(batch.len());
        let requests = batch.map(|pending| {
            callers.push(Caller {
                deadline: pending.deadline,
                request_id: Some(pending.request_id),
            });
            pending.request
        });
        let requests = requests.collect();
        Self {
            number,
            load,
            requests,
            sent,
            open: callers.len(),
            callers,
            in_flight: true,
            has_replied: false,
            error: None,
        }
    }

    /// When the next of its requests has to be completed, unless all are.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let open = self.callers.iter().filter(|c| c.request_id.is_some());
        open.map(|caller| caller.deadline).min()
    }

    /// Takes the requests at `indices`, an entry each: `None` for one that has been completed.
    fn take(&mut self, indices: &[usize]) -> Vec<Option<RequestId>> {
        let mut taken = Vec::with_capacity(indices.len());
        for &index in indices {
            let caller = self.callers.get_mut(index);
            let request_id = caller.and_then(|caller| caller.request_id.take());
            self.open -= usize::from(request_id.is_some());
            taken.push(request_id);
        }
        taken
    }

    /// Takes the requests whose deadline is no later than `deadline`, with an entry for each request of the batch.
    fn take_late(&mut self, deadline: Instant) -> Vec<Option<RequestId>> {
        let mut taken = Vec::with_capacity(self.callers.len());
        for caller in &mut self.callers {
            if planted!(CountLateReply) && caller.deadline <= deadline {
                caller.deadline += std::time::Duration::from_secs(3600);
                taken.push(caller.request_id);
                continue;
            }
            let request_id = caller.request_id.take_if(|_| caller.deadline <= deadline);
            self.open -= usize::from(request_id.is_some());
            taken.push(request_id);
        }
        taken
    }

    /// The indices of the requests that have not been completed.
    fn open_indices(&self) -> Vec<usize> {
        let callers = self.callers.iter().enumerate();
        let open = callers.filter(|(_, caller)| caller.request_id.is_some());
        open.map(|(index, _)| index).collect()
    }

    /// What the results say of the shard: that it is away, if none has said anything else by the last.
    fn observe(&mut self, results: &[Result<Outcome, StoreError>]) -> Observation {
        let before = self.has_replied;
        self.has_replied |= !results.iter().all(says_away) || results.is_empty();
        if let Some(Err(error)) = results.first() {
            self.error.get_or_insert_with(|| error.clone());
        }
        match &self.error {
            _ if before => Observation::Nothing,
            _ if self.has_replied => Observation::Answer,
            Some(error) if self.open == 0 => Observation::Failure {
                sent: self.sent.at,
                error: error.clone(),
            },
            _ => Observation::Nothing,
        }
    }
}

/// Whether it is an error of a store that is away.
pub(super) fn says_away<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(error) if error.is_unavailable())
}

impl Shard {
    /// The store has answered some requests of a batch, or all; or the shard has replied, if only with a redirect.
    pub(super) fn on_results(
        &mut self,
        number: u64,
        indices: &[usize],
        results: Vec<Result<Outcome, StoreError>>,
        completer: &mut Completer,
        cx: &mut Context<'_>,
    ) {
        if let Ok(at) = self.batches.binary_search_by_key(&number, |b| b.number) {
            self.on_batch_results(at, indices, results, completer, cx);
        }
    }

    fn on_batch_results(
        &mut self,
        at: usize,
        indices: &[usize],
        results: Vec<Result<Outcome, StoreError>>,
        completer: &mut Completer,
        cx: &mut Context<'_>,
    ) {
        let batch = &mut self.batches[at];
        let taken = batch.take(indices);
        let done = taken.iter().flatten().count();
        let (open, load, sent) = (batch.open, batch.load, batch.sent);
        let in_flight = std::mem::replace(&mut batch.in_flight, false);
        let observation = batch.observe(&results);
        let has_replied = batch.has_replied;
        let requests = Arc::clone(&batch.requests);
        if open == 0 {
            self.batches.remove(at);
        }
        let asked = || indices.iter().filter_map(|&index| requests.get(index));
        // Those that the store has left out are not answered either.
        let outcomes = results.iter().map(|result| result.as_ref().ok().copied());
        let outcomes = outcomes.chain(std::iter::repeat(None));
        let answered = asked().zip(&taken).zip(outcomes);
        let answered = answered.filter_map(|((request, request_id), outcome)| {
            Some((request, (*request_id)?, outcome))
        });
        let times = BatchTimes {
            sent,
            received: cx.now,
        };
        let (sweep, released) = self.deny_cache.insert(times, answered);
        completer.on_resets(asked().zip(&taken));
        // A batch that failed as a whole met a store that is away, and no caller waits for the other counts.
        if load == Load::Counts && open == 0 && !has_replied {
            self.deny_cache.drop_counts();
        }
        let time = cx.now.saturating_duration_since(sent.at);
        if let (Observation::Answer, Load::Requests(_)) = (&observation, load) {
            completer.metrics.on_batch_done(time);
        }
        if in_flight {
            self.queue.on_replied(load, open, time);
        } else {
            self.queue.on_redirected_done(done);
        }
        self.schedule_sweep(sweep, cx.now);
        self.observe(observation, completer, cx);
        self.enqueue(released.send, completer, cx);
        completer.complete(asked().zip(taken), results, cx);
        completer.repeat_all(released.denied, cx);
    }

    /// No more results come for a batch: `error` for the requests without one.
    pub(super) fn on_finished(
        &mut self,
        number: u64,
        error: &StoreError,
        completer: &mut Completer,
        cx: &mut Context<'_>,
    ) {
        if let Ok(at) = self.batches.binary_search_by_key(&number, |b| b.number) {
            let open = self.batches[at].open_indices();
            let results = vec![Err(error.clone()); open.len()];
            self.on_batch_results(at, &open, results, completer, cx);
        }
    }

    /// What a batch says of the shard, to the breaker. If that opens it, no request waits any longer.
    fn observe(
        &mut self,
        observation: Observation,
        completer: &mut Completer,
        cx: &mut Context<'_>,
    ) {
        let (sent, error) = match observation {
            Observation::Nothing => return,
            Observation::Answer => return self.breaker.on_success(cx.now),
            Observation::Failure { sent, error } => (sent, error),
        };
        if !self.breaker.on_error(sent, cx.now, &error) {
            return;
        }
        let (waiting, flush) = self.queue.drain();
        completer.on_opened(self.index, &error, cx);
        self.deny_cache.drop_counts();
        completer.refuse(waiting, &error, cx);
        completer.refuse(self.deny_cache.drain(), &error, cx);
        if let Some(flush) = flush {
            completer.on_flushed(flush, cx);
        }
    }

    /// Completes the requests in flight whose deadlines have passed, one deadline after the other.
    pub(super) fn expire(&mut self, completer: &mut Completer, cx: &mut Context<'_>) {
        loop {
            let batches = self.batches.iter().enumerate();
            let deadlines = batches.filter_map(|(at, batch)| Some((batch.deadline()?, at)));
            match deadlines.min() {
                Some((deadline, at)) if deadline <= cx.now => {
                    self.expire_batch(at, deadline, completer, cx);
                }
                _ => return,
            }
        }
    }

    fn expire_batch(
        &mut self,
        at: usize,
        deadline: Instant,
        completer: &mut Completer,
        cx: &mut Context<'_>,
    ) {
        let batch = &mut self.batches[at];
        let taken = batch.take_late(deadline);
        let done = taken.iter().flatten().count();
        let (load, sent, has_replied) = (batch.load, batch.sent, batch.has_replied);
        let (is_over, was_in_flight) = (batch.open == 0, batch.in_flight);
        let (number, requests) = (batch.number, Arc::clone(&batch.requests));
        if is_over {
            let batch = self.batch_id(number);
            self.batches.remove(at);
            cx.out.actions.push(Action::Abandon { batch });
        }
        let times = BatchTimes {
            sent,
            received: cx.now,
        };
        let asked = requests.iter().zip(&taken);
        let unknown =
            asked.filter_map(|(request, request_id)| Some((request, (*request_id)?, None)));
        let (sweep, released) = self.deny_cache.insert(times, unknown);
        completer.on_resets(requests.iter().zip(&taken));
        if load == Load::Counts {
            self.deny_cache.drop_counts();
        }
        // What is late after a reply of the shard is late because of another shard.
        let observation = if !has_replied && self.breaker.counts_as_failure(sent.at, deadline) {
            Observation::Failure {
                sent: sent.at,
                error: late(),
            }
        } else {
            Observation::Nothing
        };
        if is_over && was_in_flight {
            if let Load::Requests(_) = load {
                // Left out, the slowest batches would be missing.
                let time = deadline.saturating_duration_since(sent.at);
                completer.metrics.on_batch_done(time);
            }
            let time = cx.now.saturating_duration_since(sent.at);
            self.queue.on_replied(load, 0, time);
        } else if !was_in_flight {
            self.queue.on_redirected_done(done);
        }
        self.schedule_sweep(sweep, cx.now);
        self.observe(observation, completer, cx);
        self.enqueue(released.send, completer, cx);
        let results = vec![Err(late()); requests.len()];
        completer.complete(requests.iter().zip(taken), results, cx);
    }
}

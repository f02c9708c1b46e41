//! What a lane makes of what is seen of the store: the breaker, and the search for a store that is away.

use parking_lot::MutexGuard;
use std::time::Duration;

use tokio::time::Instant;

use super::{Lane, State};
use crate::metrics::{BreakerState, OldGauge};
use crate::old_limiter::CompletionSink;
use crate::old_limiter::batch::settler::{gone, overloaded};
use crate::store::StoreError;

/// What has been seen of the store.
pub(in crate::old_limiter::batch) enum Seen {
    Nothing,
    Answer(Instant),
    Failure {
        sent: Instant,
        at: Instant,
        error: StoreError,
    },
}

impl<K: CompletionSink> State<K> {
    /// Why no request is taken in, while none is.
    pub(super) fn refuses(&self) -> Option<StoreError> {
        if self.ended {
            return Some(gone());
        }
        let full = (!self.queues.has_room()).then(overloaded);
        self.breaker.reason().cloned().or(full)
    }
}

impl<K: CompletionSink> OldGauge for Lane<K> {
    fn in_flight(&self) -> usize {
        self.state.lock().queues.in_flight() + self.denied.waiting()
    }

    fn breaker(&self) -> BreakerState {
        self.state.lock().breaker.state()
    }
}

impl<K: CompletionSink> Lane<K> {
    /// Some of a batch that is still under way are late.
    pub(in crate::old_limiter::batch) fn seen(&self, seen: Seen) {
        self.look(self.state.lock(), seen);
    }

    /// Whether a batch that was sent then and has not been answered says something of the store.
    pub(in crate::old_limiter::batch) fn is_telling(&self, sent: Instant, now: Instant) -> bool {
        self.state.lock().breaker.counts_as_failure(sent, now)
    }

    /// What the breaker makes of it. Where that opens it, nobody waits any longer.
    pub(super) fn look(&self, mut state: MutexGuard<'_, State<K>>, seen: Seen) {
        let error = match seen {
            Seen::Nothing => return,
            Seen::Answer(at) => return state.breaker.on_success(at),
            Seen::Failure { sent, at, error } => {
                if !state.breaker.on_error(sent, at, &error) {
                    return;
                }
                error
            }
        };
        let (left, told) = state.queues.drain();
        self.settler.opened(self.shard, &error);
        drop(state);
        self.denied.drop_counts();
        self.settler.refuse(left, &error);
        self.settler.refuse(self.denied.drain(), &error);
        drop(told);
        self.opened.notify_one();
        self.changed.notify_one();
    }

    /// Whether the store has to hear of something that was decided here.
    pub(in crate::old_limiter::batch) fn is_noted(&self) -> bool {
        self.settler.fallback.local_to_replay(self.shard).is_some()
    }

    /// Something may have been decided here.
    pub(in crate::old_limiter::batch) fn noted(&self) {
        if self.is_noted() && !self.state.lock().recovering {
            self.changed.notify_one();
        }
    }

    /// Sends nothing, because of `error`, until the store has been asked and told.
    pub(in crate::old_limiter::batch) fn hold(&self, error: StoreError) {
        self.state.lock().breaker.force_open(error);
    }

    /// Whether the breaker is open.
    pub(in crate::old_limiter::batch) fn is_open(&self) -> bool {
        self.state.lock().breaker.reason().is_some()
    }

    /// How long to wait until the store is looked for again.
    pub(in crate::old_limiter::batch) fn wait(&self) -> Duration {
        self.state.lock().breaker.probe_delay(fastrand::f64())
    }

    /// Whether it is being asked if it is back, or told what it has missed.
    pub(in crate::old_limiter::batch) fn probing(&self, probing: bool) {
        self.state.lock().breaker.probing(probing);
    }

    /// There is a new connection to it.
    pub(in crate::old_limiter::batch) fn encouraged(&self) {
        self.state.lock().breaker.reset_probe_delay();
    }

    /// It has been looked for, and does not decide yet.
    pub(in crate::old_limiter::batch) fn still_away(&self, error: StoreError) {
        let mut state = self.state.lock();
        // One that was only held until the store had been told is away from here on.
        self.settler.opened(self.shard, &error);
        state.breaker.on_probe_failure(error);
    }

    /// The store has been told something that was decided here.
    pub(in crate::old_limiter::batch) fn told(&self) {
        self.denied.invalidate_all(Instant::now());
    }

    /// The store decides again.
    pub(in crate::old_limiter::batch) fn recovered(&self) {
        let mut state = self.state.lock();
        state.breaker.close();
        self.settler.closed(self.shard);
    }

    /// The search for the store has ended.
    pub(in crate::old_limiter::batch) fn found(&self) {
        self.state.lock().recovering = false;
    }
}

//! A trial of the way to Redis, and its report to JavaScript.

use std::sync::Arc;
use std::time::Duration;

use super::completion_queue::CompletionQueue;
use super::record::Event;
use super::registry::SharedRedis;
use crate::store::budget::Budget;
use crate::store::redis::ConnectionTest;
use crate::store::{ErrorKind, Scope, StoreError};

/// Tries `redis` out for a limiter of `scope`, on its own thread.
pub(super) fn start(redis: Arc<SharedRedis>, scope: Scope, budget: Duration, report: TestReport) {
    let io = Arc::clone(&redis.io);
    io.handle().spawn(async move {
        let late = || StoreError::new(ErrorKind::Timeout, "the trial was not over in time");
        let tried = Budget::new(budget).within(redis.try_out(&scope)).await;
        match tried.unwrap_or_else(|| Err(late())) {
            Ok(trial) => report.succeeded(trial),
            Err(error) => report.failed(&error),
        }
    });
}

/// Reports once for a slot, come what may: a promise waits for it.
pub(super) struct TestReport {
    completions: Arc<CompletionQueue>,
    slot: Option<u32>,
}

impl TestReport {
    pub(super) fn new(completions: Arc<CompletionQueue>, slot: u32) -> Self {
        let slot = Some(slot);
        Self { completions, slot }
    }

    /// Nobody waits.
    pub(super) fn withdraw(mut self) {
        self.slot = None;
    }

    /// It could not be done, and why: code, message, and what the code does not tell apart.
    pub(super) fn failed(mut self, error: &StoreError) {
        let kind = error.kind();
        let texts = [kind.code(), &error.to_string(), kind.reason()];
        self.report(texts.map(str::to_owned).into());
    }

    /// Version (empty: unknown), key, value and the milliseconds of the four steps, after an empty code.
    fn succeeded(mut self, trial: ConnectionTest) {
        let ms = |time: Duration| (time.as_secs_f64() * 1000.0).to_string();
        let ConnectionTest {
            version,
            key,
            value,
            ..
        } = trial;
        let steps = [trial.ping, trial.set, trial.get, trial.delete].map(ms);
        let texts = [String::new(), version.unwrap_or_default(), key, value];
        self.report(texts.into_iter().chain(steps).collect());
    }

    fn report(&mut self, report: Vec<String>) {
        if let Some(slot) = self.slot.take() {
            self.completions.push([Event::Tried { slot, report }]);
        }
    }
}

impl Drop for TestReport {
    fn drop(&mut self) {
        let gone = StoreError::new(ErrorKind::Disconnected, "the trial was given up");
        self.report(vec![
            gone.code().to_owned(),
            gone.to_string(),
            String::new(),
        ]);
    }
}

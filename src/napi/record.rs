//! How an event looks in the mailbox: a row of numbers, and a text where numbers do not do.

use crate::limiter::StoreChange;
use crate::quota::{Id, Plan};
use crate::store::{Answer, Source, StoreError};

/// Numbers in a record: kind, slot or limiter, allowed, remaining, reset, reset after, retry after, source.
pub const RECORD_FIELDS: usize = 8;

/// Something JavaScript has to hear of.
pub enum Event {
    /// The request in `slot` has its answer.
    Decided {
        /// The face's number for the promise.
        slot: u32,
        /// The answer.
        answer: Answer,
    },
    /// The request in `slot` has none.
    Failed {
        /// The face's number for the promise.
        slot: u32,
        /// Why.
        error: StoreError,
    },
    /// The flush in `slot` is over.
    Flushed {
        /// The face's number for the promise.
        slot: u32,
    },
    /// The trial in `slot` is over.
    Tested {
        /// The face's number for the promise.
        slot: u32,
        /// What it showed: see `tryConnection` in face/session.js.
        report: Vec<String>,
    },
    /// An id asked for more than it should.
    Anomaly {
        /// The face's number for the limiter.
        limiter: u32,
        /// Who.
        id: Id,
        /// The creator's plan, for the creators' limiter.
        plan: Option<Plan>,
        /// Requests counted.
        requests: u32,
        /// Requests that would have been ordinary.
        threshold: u32,
        /// Whether it is one of those that are logged, where nobody listens.
        logged: bool,
    },
    /// Anomalies have been reported that nobody listens for and that are not logged one by one: their number is to be logged.
    UnloggedAnomalies,
    /// The store has gone away for a limiter, or is back.
    StoreChanged {
        /// The face's number for the limiter.
        limiter: u32,
        /// What has changed.
        change: StoreChange,
    },
    /// The store is still away, and that is to be logged now.
    StillAway {
        /// The face's number for the limiter.
        limiter: u32,
        /// Code and shard.
        text: [String; 2],
    },
    /// A connect wants the password from the limiter's function.
    PasswordRequested {
        /// The face's number for the limiter.
        limiter: u32,
        /// What to answer it with.
        request: u32,
        /// Whether the server has just refused the last one.
        refused: bool,
    },
}

impl Event {
    /// Whether it is what a request waits for.
    pub(super) fn completes_request(&self) -> bool {
        matches!(
            self,
            Self::Decided { .. } | Self::Failed { .. } | Self::Flushed { .. } | Self::Tested { .. }
        )
    }
}

const DECIDED: f64 = 0.0;
const FAILED: f64 = 1.0;
const ANOMALY: f64 = 2.0;
const PASSWORD: f64 = 3.0;
const TESTED: f64 = 4.0;
const UNLOGGED_ANOMALIES: f64 = 5.0;
const STORE_AWAY: f64 = 6.0;
const STORE_BACK: f64 = 7.0;
const STILL_AWAY: f64 = 8.0;

/// Writes `event` into `record` and returns its text, if it has one.
pub(super) fn write(event: Event, record: &mut [f64]) -> Option<Vec<String>> {
    let (head, text): ([f64; 2], _) = match event {
        Event::Decided { slot, answer } => {
            write_answer(slot, answer, record);
            return None;
        }
        Event::Failed { slot, error } => (
            [FAILED, f64::from(slot)],
            Some(
                [error.code().to_owned(), error.to_string()]
                    .into_iter()
                    .chain(error.causes())
                    .collect(),
            ),
        ),
        // As a decision of which nothing is read.
        Event::Flushed { slot } => ([DECIDED, f64::from(slot)], None),
        Event::Tested { slot, report } => ([TESTED, f64::from(slot)], Some(report)),
        Event::Anomaly {
            limiter,
            id,
            plan,
            requests,
            threshold,
            logged,
        } => (
            [ANOMALY, f64::from(limiter)],
            Some(vec![
                id.as_str().to_owned(),
                plan.map_or("", Plan::name).to_owned(),
                requests.to_string(),
                threshold.to_string(),
                u8::from(logged).to_string(),
            ]),
        ),
        Event::UnloggedAnomalies => ([UNLOGGED_ANOMALIES, 0.0], Some(Vec::new())),
        Event::StoreChanged { limiter, change } => {
            let (kind, text) = match change {
                StoreChange::Away { code, shard } => {
                    (STORE_AWAY, vec![code.to_owned(), shard.unwrap_or_default()])
                }
                StoreChange::Back { lasted, decided } => (
                    STORE_BACK,
                    vec![lasted.as_millis().to_string(), decided.to_string()],
                ),
            };
            ([kind, f64::from(limiter)], Some(text))
        }
        Event::StillAway { limiter, text } => {
            ([STILL_AWAY, f64::from(limiter)], Some(text.to_vec()))
        }
        Event::PasswordRequested {
            limiter,
            request,
            refused,
        } => (
            [PASSWORD, f64::from(limiter)],
            Some(vec![request.to_string(), u8::from(refused).to_string()]),
        ),
    };
    record[..2].copy_from_slice(&head);
    text
}

/// Writes the answer to the request in `slot`.
pub(super) fn write_answer(slot: u32, answer: Answer, record: &mut [f64]) {
    let decision = answer.outcome.decision;
    let source = Source::ALL.iter().position(|&s| s == answer.source);
    // Unix ms and windows are far below 2^53: exact as doubles.
    record[..RECORD_FIELDS].copy_from_slice(&[
        DECIDED,
        f64::from(slot),
        f64::from(u8::from(decision.is_allowed())),
        f64::from(decision.remaining),
        decision.reset as f64,
        decision.reset_after as f64,
        decision.retry_after_ms() as f64,
        source.unwrap_or_default() as f64,
    ]);
}

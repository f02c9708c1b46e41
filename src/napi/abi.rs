//! What crosses the boundary to JavaScript, each number written once: `constants()` gives them to `lib/abi.js` by their
//! names.
//!
//! | from | to | what |
//! |---|---|---|
//! | JavaScript | Rust | a call of the submit function: (kind, id, limit, slot), where kind is the operation plus [`LABEL_FACTOR`] times the label; returns a [`SubmitResult`] |
//! | Rust | JavaScript | an [`Event`], as a [`Record`] in the mailbox and, for most kinds, a list of texts |

use std::collections::BTreeMap;

use napi_derive::napi;

use crate::limiter::{MAX_BATCH, OnStoreError, StoreChange};
use crate::metrics::{BreakerState, Label};
use crate::quota::{AnomalyRule, Id, MAX_ID_BYTES, MAX_LIMIT, MAX_WINDOW_MS, escape};
use crate::store::redis::{MAX_CONNECTIONS, config_env};
use crate::store::{Answer, Op, Source, StoreError};

/// An enumeration whose numbers JavaScript uses: each variant and its name there, numbered from 0.
macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            const ALL: &[(&'static str, Self)] = &[$(($text, Self::$variant)),+];
        }
    };
}

/// Positions by names.
fn numbers<T>(all: &[(&str, T)]) -> BTreeMap<String, u32> {
    let names = all.iter().map(|&(name, _)| name.to_owned());
    names.zip(0..).collect()
}

/// The operations by their names; the position is the number.
const OPERATIONS: [(&str, Op); 4] = [
    ("CHECK", Op::Check),
    ("LIMIT", Op::Limit),
    ("STATUS", Op::Status),
    ("RESET", Op::Reset),
];

/// The kind of a request is its operation plus this times its label.
const LABEL_FACTOR: u32 = OPERATIONS.len() as u32;

/// Operation and label of a request of this kind.
pub(super) fn split_kind(kind: u32) -> (Op, Label) {
    let (_, op) = &OPERATIONS[(kind % LABEL_FACTOR) as usize];
    (*op, kind / LABEL_FACTOR)
}

numbered! {
    /// What the submit function returns.
    SubmitResult {
        /// Decided later: the answer comes through the completion queue.
        Pending => "PENDING",
        /// Decided in the call: the answer is the mailbox's first record.
        Decided => "DECIDED",
        /// Decided in the call, and the completion queue has further events.
        DecidedAndMore => "DECIDED_AND_MORE",
        /// Not a valid request. JavaScript has checked its arguments, so this is a bug.
        Refused => "REFUSED",
    }
}

numbered! {
    /// What a record is about.
    RecordKind {
        /// A decision, or the end of a flush.
        Decided => "DECIDED",
        /// No decision. Texts: code, message, and the messages of its causes.
        Failed => "FAILED",
        /// Texts: id, label, requests, threshold, and `1` if JavaScript is to log it.
        Anomaly => "ANOMALY",
        /// Texts: the number of the password request, and `1` if the server has just refused the previous password.
        Password => "PASSWORD",
        /// Texts: see [`TestReport`](super::limiter::TestReport).
        Tested => "TESTED",
        /// No texts.
        UnloggedAnomalies => "UNLOGGED_ANOMALIES",
        /// Texts: code and shard.
        StoreAway => "STORE_AWAY",
        /// Texts: milliseconds away, and checks decided meanwhile.
        StoreBack => "STORE_BACK",
        /// Texts: code and shard.
        StillAway => "STILL_AWAY",
    }
}

numbered! {
    /// The fields of a record. All but the first two belong to a decision.
    RecordField {
        Kind => "KIND",
        /// The slot of a request, or the number of a limiter: both are JavaScript's.
        Recipient => "RECIPIENT",
        /// 1 or 0.
        Allowed => "ALLOWED",
        Remaining => "REMAINING",
        /// Unix milliseconds.
        Reset => "RESET",
        /// Milliseconds.
        ResetAfter => "RESET_AFTER",
        /// Milliseconds.
        RetryAfter => "RETRY_AFTER",
        /// The position of the source in `Constants.sources`.
        Source => "SOURCE",
    }
}

numbered! {
    /// What the log of the process does with an anomaly that has no listener.
    AnomalyLogEntry {
        /// It is logged.
        Logged => "LOGGED",
        /// It is counted, and its reporter schedules the line with the count, a second later.
        First => "FIRST",
        /// It is counted.
        Counted => "COUNTED",
    }
}

/// Numbers in a record.
pub(super) const RECORD_LENGTH: usize = RecordField::ALL.len();

/// An event in the mailbox.
pub(super) type Record = [f64; RECORD_LENGTH];

/// Something to deliver to JavaScript.
pub(super) enum Event {
    /// A request is answered.
    Decided {
        /// JavaScript's number for the promise.
        slot: u32,
        /// The answer.
        answer: Answer,
    },
    /// A request has failed.
    Failed {
        /// JavaScript's number for the promise.
        slot: u32,
        /// Why.
        error: StoreError,
    },
    /// A flush has finished.
    Flushed {
        /// JavaScript's number for the promise.
        slot: u32,
    },
    /// A connection test has finished.
    Tested {
        /// JavaScript's number for the promise.
        slot: u32,
        /// Its texts: see [`TestReport`](super::limiter::TestReport).
        report: Vec<String>,
    },
    /// An id has exceeded the threshold of the anomaly rule.
    Anomaly {
        /// JavaScript's number for the limiter.
        limiter: u32,
        /// The id.
        id: Id,
        /// The label of the request that reported it.
        label: Label,
        /// Requests counted.
        requests: u32,
        /// The highest count that is not an anomaly.
        threshold: u32,
        /// Whether JavaScript logs it. With a listener this is false.
        logged: bool,
    },
    /// Anomalies without a listener exceed the limit of log lines: JavaScript schedules a line with their number.
    UnloggedAnomalies,
    /// The store has become unavailable for a limiter, or is available again.
    StoreChanged {
        /// JavaScript's number for the limiter.
        limiter: u32,
        /// The change.
        change: StoreChange,
    },
    /// The store is still away, and the delayed line is due.
    StillAway {
        /// JavaScript's number for the limiter.
        limiter: u32,
        /// Code and shard.
        text: [String; 2],
    },
    /// A connect needs a password from the limiter's function.
    PasswordRequested {
        /// JavaScript's number for the limiter.
        limiter: u32,
        /// The number that `answerPassword` takes.
        request: u32,
        /// Whether the server has just refused the previous password.
        refused: bool,
    },
}

impl Event {
    /// Whether it ends a request that JavaScript counts as in flight.
    pub(super) fn completes_request(&self) -> bool {
        matches!(
            self,
            Self::Decided { .. } | Self::Failed { .. } | Self::Flushed { .. } | Self::Tested { .. }
        )
    }
}

/// Writes `event` into `record` and returns its texts, if its kind has any.
pub(super) fn write_event(event: Event, record: &mut Record) -> Option<Vec<String>> {
    let (kind, recipient, text) = match event {
        Event::Decided { slot, answer } => {
            write_answer(slot, answer, record);
            return None;
        }
        Event::Failed { slot, error } => (
            RecordKind::Failed,
            slot,
            Some(
                [error.code().to_owned(), error.to_string()]
                    .into_iter()
                    .chain(error.causes())
                    .collect(),
            ),
        ),
        // A decision whose fields JavaScript does not read.
        Event::Flushed { slot } => (RecordKind::Decided, slot, None),
        Event::Tested { slot, report } => (RecordKind::Tested, slot, Some(report)),
        Event::Anomaly {
            limiter,
            id,
            label,
            requests,
            threshold,
            logged,
        } => (
            RecordKind::Anomaly,
            limiter,
            Some(vec![
                id.as_str().to_owned(),
                label.to_string(),
                requests.to_string(),
                threshold.to_string(),
                u8::from(logged).to_string(),
            ]),
        ),
        Event::UnloggedAnomalies => (RecordKind::UnloggedAnomalies, 0, Some(Vec::new())),
        Event::StoreChanged { limiter, change } => {
            let (kind, text) = match change {
                StoreChange::Away { code, shard } => (
                    RecordKind::StoreAway,
                    vec![code.to_owned(), shard.unwrap_or_default()],
                ),
                StoreChange::Back { lasted, decided } => (
                    RecordKind::StoreBack,
                    vec![lasted.as_millis().to_string(), decided.to_string()],
                ),
            };
            (kind, limiter, Some(text))
        }
        Event::StillAway { limiter, text } => (RecordKind::StillAway, limiter, Some(text.to_vec())),
        Event::PasswordRequested {
            limiter,
            request,
            refused,
        } => (
            RecordKind::Password,
            limiter,
            Some(vec![request.to_string(), u8::from(refused).to_string()]),
        ),
    };
    record[RecordField::Kind as usize] = f64::from(kind as u32);
    record[RecordField::Recipient as usize] = f64::from(recipient);
    text
}

/// Writes the answer to the request in `slot`.
pub(super) fn write_answer(slot: u32, answer: Answer, record: &mut Record) {
    let decision = answer.outcome.decision;
    let mut set = |field: RecordField, value: f64| record[field as usize] = value;
    set(RecordField::Kind, f64::from(RecordKind::Decided as u32));
    set(RecordField::Recipient, f64::from(slot));
    set(
        RecordField::Allowed,
        f64::from(u8::from(decision.is_allowed())),
    );
    set(RecordField::Remaining, f64::from(decision.remaining));
    // Unix ms and windows are far below 2^53: exact as doubles.
    set(RecordField::Reset, decision.reset as f64);
    set(RecordField::ResetAfter, decision.reset_after as f64);
    set(RecordField::RetryAfter, decision.retry_after_ms() as f64);
    set(RecordField::Source, f64::from(answer.source as u32));
}

/// The names, numbers and bounds of this binary.
#[napi(object)]
pub struct Constants {
    /// The version of the package it was built for.
    pub version: String,
    /// The position is the number, as in all lists of names.
    pub sources: Vec<String>,
    pub breaker_states: Vec<String>,
    pub store_error_policies: Vec<String>,
    /// The environment variables that are read.
    pub variables: Vec<String>,
    pub max_limit: u32,
    pub max_window_ms: f64,
    pub max_id_bytes: u32,
    pub max_connections: u32,
    pub min_anomaly_factor: f64,
    pub max_anomaly_factor: f64,
    /// The most requests in a batch, and so the records to fetch in one call.
    pub max_batch: u32,
    /// The operations' numbers by their names, as all the maps below.
    pub operations: BTreeMap<String, u32>,
    pub label_factor: u32,
    pub submit_results: BTreeMap<String, u32>,
    pub record_kinds: BTreeMap<String, u32>,
    pub record_fields: BTreeMap<String, u32>,
    pub anomaly_log_entries: BTreeMap<String, u32>,
}

/// The names, numbers and bounds of this binary.
#[napi]
pub fn constants() -> Constants {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Constants {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        breaker_states: owned(&BreakerState::ALL.map(BreakerState::name)),
        sources: owned(&Source::ALL.map(Source::name)),
        store_error_policies: owned(&OnStoreError::ALL.map(OnStoreError::name)),
        variables: config_env::variables().map(str::to_owned).collect(),
        max_limit: MAX_LIMIT,
        max_window_ms: MAX_WINDOW_MS as f64,
        max_id_bytes: MAX_ID_BYTES as u32,
        max_connections: u32::from(MAX_CONNECTIONS),
        min_anomaly_factor: AnomalyRule::MIN_FACTOR,
        max_anomaly_factor: AnomalyRule::MAX_FACTOR,
        max_batch: MAX_BATCH as u32,
        operations: numbers(&OPERATIONS),
        label_factor: LABEL_FACTOR,
        submit_results: numbers(SubmitResult::ALL),
        record_kinds: numbers(RecordKind::ALL),
        record_fields: numbers(RecordField::ALL),
        anomaly_log_entries: numbers(AnomalyLogEntry::ALL),
    }
}

/// `id` for a log line, escaped as in its key: every byte that could be misread becomes `%XX`.
#[napi]
pub fn escape_id(id: String) -> String {
    escape(&id)
}

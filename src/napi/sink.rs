//! The way back of one limiter: answers become events of its copy of the face.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use super::anomaly_log::{AnomalyLog, Entry};
use super::completion_queue::CompletionQueue;
use super::record::Event;
use super::wake::Wake;
use crate::limiter::{Completion, CompletionSink, StoreChange};
use crate::metrics::Label;
use crate::quota::{Plan, Rules};
use crate::store::redis::{PasswordAnswer, PasswordSource};
use crate::store::{ErrorKind, Op, Request, StoreError};

/// What tells one request from another on its way back.
#[derive(Debug, Clone, Copy)]
pub struct RequestId {
    /// The face's number for the promise.
    pub(super) slot: u32,
    /// The creator's plan, for the creators' limiter.
    pub(super) plan: Option<Plan>,
}

/// Where the answers of one limiter go.
pub struct JsSink {
    pub(super) completions: Arc<CompletionQueue>,
    pub(super) limiter: u32,
    pub(super) rules: Rules,
    /// Held alone: what delivers over it may have something to tell.
    pub(super) _wake: Option<Arc<Wake>>,
    /// Where its anomalies go.
    pub(super) audience: Arc<Audience>,
}

/// Who hears of a limiter's anomalies: set by JavaScript, read where they are reported.
#[derive(Debug, Default)]
pub(super) struct Audience(AtomicU8);

impl Audience {
    /// Nobody: it only tries the connection out.
    const NOBODY: u8 = 0;
    /// The log, as far as it has room.
    const LOG: u8 = 1;
    /// A listener.
    const LISTENER: u8 = 2;

    /// Whether somebody `listens`; else they are logged.
    pub(super) fn set(&self, listens: bool) {
        let heard_by = if listens { Self::LISTENER } else { Self::LOG };
        self.0.store(heard_by, Ordering::Relaxed);
    }
}

static ANOMALY_LOG: Mutex<AnomalyLog> = Mutex::new(AnomalyLog::new());

/// The process's, for all threads and all copies of the face.
pub(super) fn anomaly_log() -> MutexGuard<'static, AnomalyLog> {
    ANOMALY_LOG.lock()
}

impl JsSink {
    /// The anomaly that `request` reports, if it does.
    pub(super) fn anomaly_event(
        &self,
        request: &Request,
        plan: Option<Plan>,
        requests: u32,
    ) -> Option<Event> {
        let rule = self.rules.anomaly?;
        let logged = match self.audience.0.load(Ordering::Relaxed) {
            Audience::NOBODY => return None,
            Audience::LISTENER => false,
            // What is not logged costs no more than this: a flood of ids may report thousands a second.
            _ => match anomaly_log().enter(Instant::now()) {
                Entry::Line => true,
                Entry::First => return Some(Event::MoreAnomalies),
                Entry::Counted => return None,
            },
        };
        Some(Event::Anomaly {
            limiter: self.limiter,
            id: request.id.clone(),
            plan,
            requests,
            threshold: rule.threshold(request.limit),
            logged,
        })
    }
}

impl CompletionSink for Arc<JsSink> {
    type RequestId = RequestId;

    fn label(request: &RequestId) -> Label {
        request.plan.map_or(0, |plan| plan as Label + 1)
    }

    fn complete(&self, answers: Vec<Completion<'_, RequestId>>) {
        let mut events = Vec::with_capacity(answers.len());
        for (request, RequestId { slot, plan }, answer) in answers {
            // Nobody waits for a count of denials; only what it reports is of interest.
            let awaited = !matches!(request.op, Op::Denied(_));
            match answer {
                Ok(answer) => {
                    if awaited {
                        events.push(Event::Decided { slot, answer });
                    }
                    let anomaly = answer.outcome.count.anomaly();
                    events.extend(anomaly.and_then(|n| self.anomaly_event(request, plan, n)));
                }
                Err(error) if awaited => events.push(Event::Failed { slot, error }),
                Err(_) => {}
            }
        }
        self.completions.push(events);
    }

    fn flushed(&self, ticket: RequestId) {
        self.completions
            .push([Event::Counted { slot: ticket.slot }]);
    }

    fn store_changed(&self, change: StoreChange) {
        self.completions.push([Event::StoreChanged {
            limiter: self.limiter,
            change,
        }]);
    }
}

/// Asks the limiter's JavaScript function for a password.
pub(super) struct JsPasswordSource {
    pub(super) completions: Arc<CompletionQueue>,
    pub(super) limiter: u32,
}

impl PasswordSource for JsPasswordSource {
    fn password(&self) -> PasswordAnswer {
        self.ask(false)
    }

    fn after_rejection(&self) -> PasswordAnswer {
        self.ask(true)
    }
}

impl JsPasswordSource {
    fn ask(&self, refused: bool) -> PasswordAnswer {
        let answer = self.completions.ask_password(self.limiter, refused);
        Box::pin(async move {
            answer.await.unwrap_or(Err(None)).map_err(|reason| {
                let message = "the password function gave no password";
                match reason {
                    Some(reason) => {
                        StoreError::new(ErrorKind::NoAuth, format!("{message}: {reason}"))
                    }
                    None => StoreError::new(ErrorKind::NoAuth, message),
                }
            })
        })
    }
}

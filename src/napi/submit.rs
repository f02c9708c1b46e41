//! A request as it comes from JavaScript: primitives in, a number out.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use napi::sys;
use once_cell::unsync::OnceCell;
use tokio::time::Instant;

use super::completion_queue::{JsEnd, JsSink, RequestId, Wake};
use super::limiter::{TestReport, start_connection_test};
use super::native_fn::{Arguments, NativeFn};
use super::options::Settings;
use super::outage_log::{Away, OutageWriter};
use super::record::{Event, write_answer};
use super::registry::{self, Lease, Purpose, SharedRedis};
use crate::limiter::{CompletionSink, Fallback, Limiter};
use crate::metrics::{self, Entry, Metrics};
use crate::quota::{Id, Limit, MAX_ID_BYTES, Plan};
use crate::store::redis::RedisConfig;
use crate::store::{Answer, ErrorKind, Op, Request, Scope, StoreError};

/// Decided later: the answer comes through the completion buffer.
const PENDING: u32 = 0;
/// Decided in the call: the answer is the mailbox's first record.
const DECIDED: u32 = 1;
/// Decided in the call, and the completion buffer has more to tell.
const DECIDED_AND_MORE: u32 = 2;
/// Not a request. The face lets none through.
const REFUSED: u32 = 3;

/// The operations, by their number in face/session.js.
const OPS: [Op; 4] = [Op::Check, Op::Limit, Op::Status, Op::Reset];

/// Takes the requests of one limiter. Bound to a JavaScript function: (kind, id, limit, slot), where the kind is the
/// operation's number, plus 4 times the plan's, from 1; 0 is no plan.
pub(super) struct Submitter {
    pub(super) settings: Settings,
    pub(super) redis: Option<RedisConfig>,
    pub(super) way: Arc<JsSink>,
    pub(super) post: Rc<JsEnd>,
    // Started by the first request: an import or a build opens no thread and no connection.
    running: RefCell<OnceCell<Started>>,
}

struct Started {
    limiter: Limiter<Arc<JsSink>>,
    memory: Lease,
    redis: Option<Arc<SharedRedis>>,
    outages: Option<OutageWriter>,
}

impl NativeFn for Submitter {
    fn call(&self, call: &Arguments) -> u32 {
        // One more for the NUL, and room enough to see that an id is too long.
        let mut buffer = [0; MAX_ID_BYTES + 5];
        let id = call.text(1, &mut buffer);
        let Some((request, ticket)) = request(call.number(0), id, call.number(2), call.number(3))
        else {
            return REFUSED;
        };
        let outcome = self.submit(call.env(), request, ticket);
        if outcome == PENDING {
            self.post.started(call.env());
        }
        outcome
    }
}

fn request(kind: u32, id: &str, limit: u32, slot: u32) -> Option<(Request, RequestId)> {
    let [op, plan] = [kind % 4, kind / 4].map(|n| n as usize);
    let request = Request {
        op: OPS[op],
        id: Id::new(id).ok()?,
        limit: Limit::new(limit).ok()?,
    };
    let plan = plan.checked_sub(1).and_then(|plan| Plan::ALL.get(plan));
    Some((
        request,
        RequestId {
            slot,
            plan: plan.copied(),
        },
    ))
}

impl Submitter {
    pub(super) fn new(
        settings: Settings,
        redis: Option<RedisConfig>,
        way: JsSink,
        post: Rc<JsEnd>,
    ) -> Self {
        Self {
            settings,
            redis,
            way: Arc::new(way),
            post,
            running: RefCell::default(),
        }
    }

    fn submit(&self, env: sys::napi_env, request: Request, ticket: RequestId) -> u32 {
        let running = self.running.borrow();
        let running = match self.started(env, &running) {
            Ok(running) => running,
            Err(error) => return self.answer_alone(&request, ticket, error),
        };
        match running.limiter.submit(request, ticket) {
            None => PENDING,
            Some((request, answer)) => self.decided(&request, ticket, answer),
        }
    }

    /// Sends on its way what was decided here and is still to be counted. `true`: the answer comes for `slot`.
    pub(super) fn flush(&self, env: sys::napi_env, slot: u32) -> bool {
        let running = self.running.borrow();
        let ticket = RequestId { slot, plan: None };
        let pending = running
            .get()
            .is_some_and(|running| running.limiter.flush(ticket));
        if pending {
            self.post.started(env);
        }
        pending
    }

    /// Tries the way to Redis out, within `budget`. `true`: the report comes for `slot`. `false`: there is no Redis to try.
    pub(super) fn test_connection(&self, env: sys::napi_env, slot: u32, budget: Duration) -> bool {
        let running = self.running.borrow();
        let report = TestReport::new(Arc::clone(&self.way.completions), slot);
        match self.started(env, &running) {
            Ok(Started { redis: None, .. }) => {
                report.withdraw();
                return false;
            }
            Ok(Started {
                redis: Some(redis), ..
            }) => {
                let scope = self.settings.scope.clone();
                start_connection_test(Arc::clone(redis), scope, budget, report);
            }
            Err(error) => report.failed(&error),
        }
        self.post.started(env);
        true
    }

    /// Up to `count` of those who ask most.
    pub(super) fn top(&self, count: usize) -> Vec<Entry> {
        self.meter().top(count)
    }

    fn meter(&self) -> Arc<Metrics> {
        let Scope { name, rules } = &self.settings.scope;
        metrics::registry::metrics_of(name, rules.window)
    }

    /// Drops the connections and forgets local state. What is in flight settles all the same; nothing may be asked after.
    pub(super) fn close(&self) {
        if let Some(running) = self.running.take().into_inner()
            && running.memory.forget()
        {
            self.meter().clear_top();
        }
    }

    /// As `log_away` of [`NativeLimiter`](super::limiter::NativeLimiter).
    pub(super) fn log_away(&self, away: Away) -> bool {
        self.logging(|outages| outages.away(away)).unwrap_or(false)
    }

    /// As `log_back` of [`NativeLimiter`](super::limiter::NativeLimiter).
    pub(super) fn log_back(&self, lasted: Duration, decided: u64) -> Option<(Duration, u64)> {
        self.logging(|outages| outages.back(lasted, decided))?
    }

    /// As `log_nothing` of [`NativeLimiter`](super::limiter::NativeLimiter).
    pub(super) fn stop_logging(&self) {
        self.logging(OutageWriter::leave);
    }

    /// `None`: it is closed, or has no store that can be away.
    fn logging<R>(&self, log: impl FnOnce(&OutageWriter) -> R) -> Option<R> {
        let running = self.running.borrow();
        running.get()?.outages.as_ref().map(log)
    }

    /// What tells this copy of the face from others.
    fn js_instance(&self) -> usize {
        Arc::as_ptr(&self.way.completions) as usize
    }

    fn decided(&self, request: &Request, ticket: RequestId, answer: Answer) -> u32 {
        let RequestId { slot, plan } = ticket;
        self.post
            .mailbox()
            .fill(|mailbox| write_answer(slot, answer, mailbox));
        let anomaly = answer.outcome.count.anomaly();
        match anomaly.and_then(|n| self.way.anomaly_event(request, plan, n)) {
            None => DECIDED,
            Some(event) => {
                self.way.completions.push([event]);
                DECIDED_AND_MORE
            }
        }
    }

    /// Answers where there is no thread to ask Redis from: as the policy says, like any other failure of the store.
    fn answer_alone(&self, request: &Request, ticket: RequestId, error: StoreError) -> u32 {
        let Scope { name, rules } = &self.settings.scope;
        let purpose = self.redis.as_ref().map_or(Purpose::Embedded, local_to);
        let memory = Lease::new(purpose, name.clone(), rules.window, self.js_instance());
        let local = memory.local().clone();
        let meter = self.meter();
        meter.on_store_error(request, &error);
        match Fallback::new(self.settings.policy, *rules, local).answer(0, request, error) {
            Ok(answer) => {
                meter.on_answer(
                    request,
                    <Arc<JsSink>>::label(&ticket),
                    &answer,
                    Instant::now(),
                );
                self.decided(request, ticket, answer)
            }
            Err(error) => {
                meter.on_failure(request);
                let slot = ticket.slot;
                self.way.completions.push([Event::Failed { slot, error }]);
                PENDING
            }
        }
    }

    fn started<'a>(
        &self,
        env: sys::napi_env,
        running: &'a OnceCell<Started>,
    ) -> std::result::Result<&'a Started, StoreError> {
        if let Some(running) = running.get() {
            return Ok(running);
        }
        // Before the cell is being filled: it may run the application's async_hooks, and these may ask.
        let wake = match &self.redis {
            None => None,
            Some(_) => Some(self.post.wake(env).map_err(|_| {
                let message = "the environment is going down";
                StoreError::new(ErrorKind::Disconnected, message)
            })?),
        };
        running.get_or_try_init(|| self.start(wake))
    }

    fn start(&self, wake: Option<Arc<Wake>>) -> std::result::Result<Started, StoreError> {
        let name = self.settings.scope.name.clone();
        let rules = self.settings.scope.rules;
        let Some(config) = &self.redis else {
            let memory = Lease::new(Purpose::Embedded, name, rules.window, self.js_instance());
            return Ok(Started {
                limiter: Limiter::memory(rules, Arc::clone(&memory.local().logs), self.meter()),
                memory,
                redis: None,
                outages: None,
            });
        };
        let purpose = local_to(config);
        let shared = registry::redis(config.clone()).map_err(|e| {
            let message = "the system grants no I/O thread";
            StoreError::new(ErrorKind::Disconnected, message).with_source(e)
        })?;
        let memory = Lease::new(purpose, name, rules.window, self.js_instance());
        let limiter = Limiter::remote(
            shared.io.handle(),
            Arc::clone(&shared),
            self.settings.scope.clone(),
            self.settings.times,
            Fallback::new(self.settings.policy, rules, memory.local().clone()),
            Arc::new(JsSink {
                completions: Arc::clone(&self.way.completions),
                audience: Arc::clone(&self.way.audience),
                _wake: wake,
                ..*self.way
            }),
            self.meter(),
        );
        let place = config.endpoint().into();
        Ok(Started {
            limiter,
            memory,
            outages: Some(OutageWriter::new(
                (self.settings.scope.name.clone(), place),
                Arc::clone(&self.way),
                Arc::clone(&shared.io),
            )),
            redis: Some(shared),
        })
    }
}

fn local_to(config: &RedisConfig) -> Purpose {
    Purpose::Local(config.endpoint().into())
}

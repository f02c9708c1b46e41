//! Requests from JavaScript: primitives in, a number out.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use napi::sys;
use once_cell::unsync::OnceCell;

use super::abi::{Event, SubmitResult, split_kind, write_answer};
use super::completion_queue::{JsEnd, JsSink, Wake};
use super::limiter::TestReport;
use super::native_fn::{Arguments, NativeFn};
use super::options::Settings;
use super::outage_log::{Away, OutageWriter};
use super::registry::{self, Lease, Purpose, RedisLimiter};
use crate::limiter::{Fallback, Memory, RequestId};
use crate::metrics::{self, Label, Metrics, TopEntry};
use crate::quota::{Id, Limit, MAX_ID_BYTES};
use crate::store::redis::RedisConfig;
use crate::store::redis::cluster::ShardMap;
use crate::store::{Answer, ErrorKind, Request, Scope, StoreError};

/// Takes the requests of one limiter. Bound to a JavaScript function: (kind, id, limit, slot), as [`abi`](super::abi)
/// describes them.
pub(super) struct Submitter {
    pub(super) settings: Settings,
    pub(super) redis: Option<RedisConfig>,
    pub(super) sink: Arc<JsSink>,
    pub(super) js_end: Rc<JsEnd>,
    // Set by the first request: an import or a build starts no thread and opens no connection.
    started: RefCell<OnceCell<Started>>,
}

struct Started {
    limiter: Limiter,
    lease: Lease,
    outages: Option<OutageWriter>,
}

enum Limiter {
    /// Decides in the call itself.
    Memory(Memory),
    /// Sends requests to Redis.
    Redis(RedisLimiter),
}

impl NativeFn for Submitter {
    fn call(&self, call: &Arguments) -> u32 {
        // Space for the NUL, and for one more character, so that an id that is too long is recognized.
        let mut buffer = [0; MAX_ID_BYTES + 5];
        let id = call.text(1, &mut buffer);
        let Some((request, request_id)) =
            request(call.number(0), id, call.number(2), call.number(3))
        else {
            return SubmitResult::Refused as u32;
        };
        let result = self.submit(call.env(), request, request_id);
        if result == SubmitResult::Pending {
            self.js_end.request_started(call.env());
        }
        result as u32
    }
}

fn request(kind: u32, id: &str, limit: u32, slot: u32) -> Option<(Request, RequestId)> {
    let (op, label) = split_kind(kind);
    let request = Request {
        op,
        id: Id::new(id).ok()?,
        limit: Limit::new(limit).ok()?,
    };
    Some((request, RequestId { slot, label }))
}

impl Submitter {
    pub(super) fn new(
        settings: Settings,
        redis: Option<RedisConfig>,
        sink: JsSink,
        js_end: Rc<JsEnd>,
    ) -> Self {
        Self {
            settings,
            redis,
            sink: Arc::new(sink),
            js_end,
            started: RefCell::default(),
        }
    }

    fn submit(&self, env: sys::napi_env, request: Request, request_id: RequestId) -> SubmitResult {
        let started = self.started.borrow();
        let started = match self.get_or_start(env, &started) {
            Ok(started) => started,
            Err(error) => return self.answer_without_store(&request, request_id, error),
        };
        match &started.limiter {
            Limiter::Memory(memory) => {
                let answer = memory.answer(&request, request_id.label);
                self.answer_in_call(&request, request_id, answer)
            }
            Limiter::Redis(redis) => match redis.submit(request, request_id) {
                None => SubmitResult::Pending,
                Some((request, answer)) => self.answer_in_call(&request, request_id, answer),
            },
        }
    }

    /// See [`NativeLimiter::flush`](super::limiter::NativeLimiter::flush).
    pub(super) fn flush(&self, env: sys::napi_env, slot: u32) -> bool {
        let started = self.started.borrow();
        let request_id = RequestId {
            slot,
            label: Label::default(),
        };
        let pending = match started.get().map(|started| &started.limiter) {
            Some(Limiter::Redis(redis)) => redis.flush(request_id),
            Some(Limiter::Memory(_)) | None => false,
        };
        if pending {
            self.js_end.request_started(env);
        }
        pending
    }

    /// See [`NativeLimiter::test_connection`](super::limiter::NativeLimiter::test_connection).
    pub(super) fn test_connection(&self, env: sys::napi_env, slot: u32, budget: Duration) -> bool {
        let started = self.started.borrow();
        let report = TestReport::new(Arc::clone(&self.sink.completions), slot);
        match self.get_or_start(env, &started) {
            Ok(started) => match &started.limiter {
                Limiter::Memory(_) => {
                    report.withdraw();
                    return false;
                }
                Limiter::Redis(redis) => {
                    let scope = self.settings.scope.clone();
                    redis.redis().test_connection(scope, budget, report);
                }
            },
            Err(error) => report.failed(&error),
        }
        self.js_end.request_started(env);
        true
    }

    /// Up to `count` ids with the most requests for their limit.
    pub(super) fn top_candidates(&self, count: usize) -> Vec<TopEntry> {
        self.metrics().top(count)
    }

    fn metrics(&self) -> Arc<Metrics> {
        let Scope { name, rules } = &self.settings.scope;
        metrics::registry::get_or_create(name, rules.window)
    }

    /// See [`NativeLimiter::close`](super::limiter::NativeLimiter::close).
    pub(super) fn close(&self) {
        if let Some(started) = self.started.take().into_inner()
            && started.lease.forget()
        {
            self.metrics().clear_top();
        }
    }

    /// See [`NativeLimiter::begin_outage`](super::limiter::NativeLimiter::begin_outage).
    pub(super) fn begin_outage(&self, away: Away) -> bool {
        self.with_outages(|outages| outages.away(away))
            .unwrap_or(false)
    }

    /// See [`NativeLimiter::end_outage`](super::limiter::NativeLimiter::end_outage).
    pub(super) fn end_outage(&self, lasted: Duration, decided: u64) -> Option<(Duration, u64)> {
        self.with_outages(|outages| outages.back(lasted, decided))?
    }

    /// See [`NativeLimiter::leave_outage`](super::limiter::NativeLimiter::leave_outage).
    pub(super) fn leave_outage(&self) {
        self.with_outages(OutageWriter::leave);
    }

    /// `None`: the limiter is closed, or its store is embedded.
    fn with_outages<R>(&self, log: impl FnOnce(&OutageWriter) -> R) -> Option<R> {
        let started = self.started.borrow();
        started.get()?.outages.as_ref().map(log)
    }

    /// Distinguishes this copy of the JavaScript module from others.
    fn js_instance(&self) -> usize {
        Arc::as_ptr(&self.sink.completions) as usize
    }

    fn answer_in_call(
        &self,
        request: &Request,
        request_id: RequestId,
        answer: Answer,
    ) -> SubmitResult {
        let RequestId { slot, label } = request_id;
        let written = self.js_end.mailbox().fill(|mailbox| {
            let record = mailbox.first_chunk_mut()?;
            write_answer(slot, answer, record);
            Some(())
        });
        // `CompletionBuffer::new` accepts no mailbox without a record.
        if written.is_none() {
            return SubmitResult::Refused;
        }
        let anomaly = answer.outcome.anomaly_status.anomaly();
        match anomaly.and_then(|n| {
            let Request { id, limit, .. } = request;
            self.sink.anomaly_event(id.clone(), *limit, label, n)
        }) {
            None => SubmitResult::Decided,
            Some(event) => {
                self.sink.completions.push([event]);
                SubmitResult::DecidedAndMore
            }
        }
    }

    /// Answers without an I/O thread: by the policy, as for any other failure of the store.
    fn answer_without_store(
        &self,
        request: &Request,
        request_id: RequestId,
        error: StoreError,
    ) -> SubmitResult {
        let Scope { name, rules } = &self.settings.scope;
        let purpose = self.redis.as_ref().map_or(Purpose::Embedded, local_purpose);
        let lease = Lease::new(purpose, name.clone(), rules.window, self.js_instance());
        let local = lease.local().clone();
        let slot = ShardMap::slot_of(name, &request.id);
        let metrics = self.metrics();
        metrics.on_store_error(request, &error);
        match Fallback::new(self.settings.policy, *rules, local).answer(slot, request, error) {
            Ok(answer) => {
                metrics.on_answer(request, request_id.label, &answer, Instant::now());
                self.answer_in_call(request, request_id, answer)
            }
            Err(error) => {
                metrics.on_failure(request);
                let slot = request_id.slot;
                self.sink.completions.push([Event::Failed { slot, error }]);
                SubmitResult::Pending
            }
        }
    }

    fn get_or_start<'a>(
        &self,
        env: sys::napi_env,
        started: &'a OnceCell<Started>,
    ) -> std::result::Result<&'a Started, StoreError> {
        if let Some(started) = started.get() {
            return Ok(started);
        }
        // Before the cell is initialized: this runs the application's async_hooks, which may submit requests.
        let wake = match &self.redis {
            None => None,
            Some(_) => Some(self.js_end.wake(env).map_err(|_| {
                let message = "the environment is going down";
                StoreError::new(ErrorKind::Disconnected, message)
            })?),
        };
        started.get_or_try_init(|| self.start(wake))
    }

    fn start(&self, wake: Option<Arc<Wake>>) -> std::result::Result<Started, StoreError> {
        let name = self.settings.scope.name.clone();
        let rules = self.settings.scope.rules;
        let Some(config) = &self.redis else {
            let lease = Lease::new(Purpose::Embedded, name, rules.window, self.js_instance());
            return Ok(Started {
                limiter: Limiter::Memory(Memory::new(
                    rules,
                    Arc::clone(&lease.local().logs),
                    self.metrics(),
                )),
                lease,
                outages: None,
            });
        };
        let purpose = local_purpose(config);
        let shared = registry::redis(config.clone()).map_err(|e| {
            let message = "the system grants no I/O thread";
            StoreError::new(ErrorKind::Disconnected, message).with_source(e)
        })?;
        let lease = Lease::new(purpose, name, rules.window, self.js_instance());
        let limiter = shared.open(
            &self.settings,
            Fallback::new(self.settings.policy, rules, lease.local().clone()),
            self.metrics(),
            Arc::new(JsSink {
                completions: Arc::clone(&self.sink.completions),
                anomaly_target: Arc::clone(&self.sink.anomaly_target),
                _wake: wake,
                ..*self.sink
            }),
        );
        let endpoint = config.endpoint().into();
        Ok(Started {
            limiter: Limiter::Redis(limiter),
            lease,
            outages: Some(OutageWriter::new(
                (self.settings.scope.name.clone(), endpoint),
                Arc::clone(&self.sink),
                Arc::clone(&shared.io),
            )),
        })
    }
}

fn local_purpose(config: &RedisConfig) -> Purpose {
    Purpose::Local(config.endpoint().into())
}

//! The limiter's interface for JavaScript.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use napi::bindgen_prelude::Unknown;
use napi::{Env, Error, Result};
use napi_derive::napi;

use super::abi::Event;
use super::completion_queue::{CompletionBuffer, CompletionQueue, JsSink};
use super::credentials::JsPasswordSource;
use super::metrics::{TopCandidate, top_candidate};
use super::native_fn::to_js;
use super::options::{self, LimiterOptions, RedisOptions};
use super::outage_log::Away;
use super::submit::Submitter;
use crate::engine::ConnectionTest;
use crate::store::redis::{PasswordAnswer, PasswordSource};
use crate::store::{ErrorKind, StoreError};

/// A limiter of one copy of the JavaScript module.
#[napi]
pub struct NativeLimiter {
    submitter: Rc<Submitter>,
}

#[napi]
impl NativeLimiter {
    /// Anomaly and password records name the limiter by `number`. Without `redis` the `environment` configures Redis; if it
    /// does not either, the embedded store decides. `configProblem` must have passed the same arguments.
    #[napi(constructor)]
    pub fn new(
        buffer: &CompletionBuffer,
        number: u32,
        options: LimiterOptions,
        redis: Option<RedisOptions>,
        environment: Vec<Vec<String>>,
    ) -> Result<Self> {
        let settings = options::settings(options).map_err(Error::from_reason)?;
        let js_end = buffer.js_end();
        let password_source = || {
            Arc::new(JsPasswordSource {
                completions: Arc::clone(js_end.completions()),
                limiter: number,
            }) as Arc<dyn PasswordSource>
        };
        let redis = options::redis_config(redis, environment, password_source)
            .map_err(|e| Error::from_reason(e.to_string()))?;
        let sink = JsSink {
            completions: Arc::clone(js_end.completions()),
            limiter: number,
            rules: settings.scope.rules,
            _wake: None,
            anomaly_target: Arc::default(),
        };
        Ok(Self {
            submitter: Rc::new(Submitter::new(settings, redis, sink, Rc::clone(js_end))),
        })
    }

    /// Sets whether its anomalies have a listener. Otherwise they are logged, within the limit of the process's log. Before
    /// the first call they are discarded, as for a limiter that only tests the connection.
    #[napi]
    pub fn set_has_listener(&self, has_listener: bool) {
        self.submitter.sink.anomaly_target.set(has_listener);
    }

    /// The store has become unavailable for this limiter, which has no listener. Returns whether to log that now. If it is to
    /// be logged later, a record arrives then.
    #[napi(catch_unwind)]
    pub fn begin_outage(&self, code: String, shard: String) -> bool {
        self.submitter.begin_outage(Away { code, shard })
    }

    /// The store is available again for this limiter, which has no listener. Returns the figures to log: for how many ms it
    /// was away and how many checks were decided meanwhile, over all limiters of the name. `null`: no line is due.
    #[napi(catch_unwind)]
    pub fn end_outage(&self, lasted_ms: f64, decided: f64) -> Option<Vec<f64>> {
        let lasted = Duration::from_millis(lasted_ms as u64);
        let (lasted, decided) = self.submitter.end_outage(lasted, decided as u64)?;
        Some(vec![lasted.as_millis() as f64, decided as f64])
    }

    /// A listener was called with a change: this limiter logs nothing more of the outage.
    #[napi(catch_unwind)]
    pub fn leave_outage(&self) {
        self.submitter.leave_outage();
    }

    /// Whether the embedded store decides.
    #[napi(getter)]
    pub fn is_embedded(&self) -> bool {
        self.submitter.redis.is_none()
    }

    /// The submit function: (kind, id, limit, slot), see [`abi`](super::abi). Returns the number of a
    /// [`SubmitResult`](super::abi::SubmitResult).
    #[napi]
    pub fn submitter(&self, env: Env) -> Result<Unknown<'static>> {
        to_js(env, Rc::clone(&self.submitter))
    }

    /// Sends the cached denials that the store has not yet counted for anomalies. `true`: a record for `slot` follows.
    /// `false`: there are none.
    #[napi(catch_unwind)]
    pub fn flush(&self, env: Env, slot: u32) -> bool {
        self.submitter.flush(env.raw(), slot)
    }

    /// Tests the connection to Redis, within `budget_ms`. `true`: a report for `slot` follows. `false`: the embedded store
    /// decides, and there is no connection.
    #[napi(catch_unwind)]
    pub fn test_connection(&self, env: Env, slot: u32, budget_ms: u32) -> bool {
        let budget = Duration::from_millis(u64::from(budget_ms));
        self.submitter.test_connection(env.raw(), slot, budget)
    }

    /// Host and port of Redis; empty for the embedded store.
    #[napi(getter)]
    pub fn endpoint(&self) -> Vec<String> {
        let redis = self.submitter.redis.as_ref();
        redis.map_or_else(Vec::new, |c| vec![c.host.clone(), c.port.to_string()])
    }

    /// Up to `count` ids with the most requests for their limit, in descending order.
    #[napi(catch_unwind)]
    pub fn top_candidates(&self, count: u32) -> Vec<TopCandidate> {
        let top = self.submitter.top_candidates(count as usize);
        top.into_iter().map(top_candidate).collect()
    }

    /// Drops the connections and deletes local state. Requests in flight still settle; none may be submitted afterwards.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        self.submitter.close();
    }
}

/// The error in `redis`, or without it in `environment`: the option or variable, and how to correct it. `null`: none.
#[napi]
pub fn config_problem(
    redis: Option<RedisOptions>,
    environment: Vec<Vec<String>>,
) -> Option<String> {
    struct NoPassword;
    impl PasswordSource for NoPassword {
        fn password(&self) -> PasswordAnswer {
            Box::pin(async { Err(StoreError::new(ErrorKind::NoAuth, "no password")) })
        }
    }
    options::redis_config(redis, environment, || Arc::new(NoPassword))
        .err()
        .map(|e| e.to_string())
}

/// Reports exactly once for a slot, also if the task is dropped: a promise waits for it.
///
/// The texts after a failure are a code, a message, and what distinguishes errors of the same code. After a success they
/// are an empty code, the server's version (empty: unknown), key, value and the milliseconds of the four steps.
pub(super) struct TestReport {
    completions: Arc<CompletionQueue>,
    slot: Option<u32>,
}

impl TestReport {
    pub(super) fn new(completions: Arc<CompletionQueue>, slot: u32) -> Self {
        let slot = Some(slot);
        Self { completions, slot }
    }

    /// There is no promise: the test was not started.
    pub(super) fn withdraw(mut self) {
        self.slot = None;
    }

    /// The test has ended.
    pub(super) fn ended(self, result: std::result::Result<ConnectionTest, StoreError>) {
        match result {
            Ok(test) => self.succeeded(test),
            Err(error) => self.failed(&error),
        }
    }

    /// The test has failed.
    pub(super) fn failed(mut self, error: &StoreError) {
        let kind = error.kind();
        let texts = [kind.code(), &error.to_string(), kind.reason()];
        self.report(texts.map(str::to_owned).into());
    }

    /// The test has succeeded.
    fn succeeded(mut self, test: ConnectionTest) {
        let ms = |time: Duration| (time.as_secs_f64() * 1000.0).to_string();
        let ConnectionTest {
            version,
            key,
            value,
            ..
        } = test;
        let steps = [test.ping, test.set, test.get, test.delete].map(ms);
        let texts = [String::new(), version.unwrap_or_default(), key, value];
        self.report(texts.into_iter().chain(steps).collect());
    }

    fn report(&mut self, report: Vec<String>) {
        if let Some(slot) = self.slot.take() {
            self.completions.push([Event::Tested { slot, report }]);
        }
    }
}

impl Drop for TestReport {
    fn drop(&mut self) {
        let error = StoreError::new(ErrorKind::Disconnected, "the connection test was aborted");
        self.report(vec![
            error.code().to_owned(),
            error.to_string(),
            String::new(),
        ]);
    }
}

//! The limiter as JavaScript calls it: primitives in, primitives out.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use napi::{Error, Result};
use napi_derive::napi;
use once_cell::unsync::OnceCell;

use super::completions::{CompletionBuffer, Completions, Mailbox};
use super::options::{self, LimiterOptions, RedisOptions, Settings};
use super::record::{Event, write_answer};
use super::stores::{self, MemoryHold, Purpose, SharedRedis};
use crate::limiter::{Delivery, Fallback, Limiter, Sink};
use crate::quota::{Id, Limit, Plan, Rules};
use crate::store::redis::{PasswordAnswer, PasswordSource, RedisConfig};
use crate::store::{ErrorKind, Op, Request, StoreError};

/// Decided later: the answer comes through the completion buffer.
const PENDING: u32 = 0;
/// Decided in the call: the answer is the mailbox's first record.
const DECIDED: u32 = 1;
/// Decided in the call, and the completion buffer has more to tell.
const DECIDED_AND_MORE: u32 = 2;

/// What tells one request from another on its way back.
pub struct Ticket {
    slot: u32,
    plan: Option<Plan>,
}

/// The way back of one limiter.
struct Way {
    completions: Arc<Completions>,
    limiter: u32,
    rules: Rules,
}

impl Way {
    fn anomaly(&self, request: &Request, plan: Option<Plan>, requests: u32) -> Option<Event> {
        let rule = self.rules.anomaly?;
        Some(Event::Anomaly {
            limiter: self.limiter,
            id: request.id.clone(),
            plan,
            requests,
            threshold: rule.threshold(request.limit),
        })
    }
}

impl Sink for Arc<Way> {
    type Ticket = Ticket;

    fn deliver(&self, answers: Vec<Delivery<Ticket>>) {
        let mut events = Vec::with_capacity(answers.len());
        for (request, Ticket { slot, plan }, answer) in answers {
            match answer {
                Ok(answer) => {
                    events.push(Event::Decided { slot, answer });
                    let anomaly = answer.outcome.anomaly;
                    events.extend(anomaly.and_then(|n| self.anomaly(&request, plan, n)));
                }
                Err(error) => events.push(Event::Failed { slot, error }),
            }
        }
        self.completions.push(events);
    }
}

/// Asks the limiter's JavaScript function for a password.
struct AskJavaScript {
    completions: Arc<Completions>,
    limiter: u32,
}

impl PasswordSource for AskJavaScript {
    fn password(&self) -> PasswordAnswer {
        let answer = self.completions.ask_password(self.limiter);
        Box::pin(async move {
            answer.await.ok().flatten().ok_or_else(|| {
                StoreError::new(ErrorKind::NoAuth, "the password function gave no password")
            })
        })
    }
}

/// A limiter of one copy of the JavaScript face.
#[napi]
pub struct NativeLimiter {
    settings: Settings,
    redis: Option<RedisConfig>,
    way: Arc<Way>,
    mailbox: Mailbox,
    // Started by the first request: an import or a build opens no thread and no connection.
    running: RefCell<OnceCell<Running>>,
}

struct Running {
    limiter: Limiter<Arc<Way>>,
    memory: MemoryHold,
    // Holds the connections and the thread they live on.
    _redis: Option<Arc<SharedRedis>>,
}

#[napi]
impl NativeLimiter {
    /// `number` is what anomaly and password records name the limiter by. Without `redis` the `environment` says where
    /// Redis is; where it says nothing, the embedded store decides. `configProblem` must have passed the same arguments.
    #[napi(constructor)]
    pub fn new(
        buffer: &CompletionBuffer,
        number: u32,
        options: LimiterOptions,
        redis: Option<RedisOptions>,
        environment: HashMap<String, String>,
    ) -> Result<Self> {
        let settings = options::settings(options).map_err(Error::from_reason)?;
        let completions = buffer.completions();
        let source = || {
            let completions = Arc::clone(completions);
            let limiter = number;
            Arc::new(AskJavaScript {
                completions,
                limiter,
            }) as Arc<dyn PasswordSource>
        };
        let redis = options::redis_config(redis, environment, source)
            .map_err(|e| Error::from_reason(e.to_string()))?;
        Ok(Self {
            way: Arc::new(Way {
                completions: Arc::clone(completions),
                limiter: number,
                rules: settings.scope.rules,
            }),
            settings,
            redis,
            mailbox: buffer.mailbox().clone(),
            running: RefCell::default(),
        })
    }

    /// Whether the embedded store decides.
    #[napi(getter)]
    pub fn is_embedded(&self) -> bool {
        self.redis.is_none()
    }

    /// Asks about `id`: `op` by its number, under `limit`, for a creator of `plan` (-1: none). Returns whether the answer
    /// is there already or will come for `slot`.
    #[napi]
    pub fn submit(&self, op: u32, id: String, limit: u32, plan: i32, slot: u32) -> Result<u32> {
        let op = match op {
            0 => Op::Check,
            1 => Op::Limit,
            2 => Op::Status,
            _ => Op::Reset,
        };
        let request = Request {
            op,
            id: Id::new(id).map_err(|e| Error::from_reason(e.to_string()))?,
            limit: Limit::new(limit).map_err(|e| Error::from_reason(e.to_string()))?,
        };
        let plan = usize::try_from(plan)
            .ok()
            .and_then(|n| Plan::ALL.get(n))
            .copied();
        let running = self.running.borrow();
        let running = running.get_or_try_init(|| self.start())?;
        let Some((request, answer)) = running.limiter.submit(request, Ticket { slot, plan }) else {
            return Ok(PENDING);
        };
        self.mailbox
            .fill(|mailbox| write_answer(slot, answer, mailbox));
        let anomaly = answer.outcome.anomaly;
        let Some(event) = anomaly.and_then(|n| self.way.anomaly(&request, plan, n)) else {
            return Ok(DECIDED);
        };
        self.way.completions.push([event]);
        Ok(DECIDED_AND_MORE)
    }

    /// Drops the connections and forgets local state. What is in flight settles all the same; nothing may be asked after.
    #[napi]
    pub fn close(&self) {
        if let Some(running) = self.running.take().into_inner() {
            running.memory.forget();
        }
    }

    fn start(&self) -> Result<Running> {
        let name = self.settings.scope.name.clone();
        let rules = self.settings.scope.rules;
        let Some(config) = &self.redis else {
            let memory = MemoryHold::new(Purpose::Embedded, name);
            return Ok(Running {
                limiter: Limiter::memory(rules, Arc::clone(memory.store())),
                memory,
                _redis: None,
            });
        };
        let shared = stores::redis(config.clone())
            .map_err(|e| Error::from_reason(format!("cannot start the I/O thread: {e}")))?;
        let memory = MemoryHold::new(Purpose::Local, name);
        let limiter = Limiter::remote(
            shared.io.handle(),
            Arc::clone(&shared.store),
            self.settings.scope.clone(),
            self.settings.deadline,
            Fallback::new(self.settings.policy, rules, Arc::clone(memory.store())),
            Arc::clone(&self.way),
        );
        Ok(Running {
            limiter,
            memory,
            _redis: Some(shared),
        })
    }
}

/// What is wrong with `redis`, or without it with `environment`: the option or variable and the mend. `null`: nothing.
#[napi]
pub fn config_problem(
    redis: Option<RedisOptions>,
    environment: HashMap<String, String>,
) -> Option<String> {
    struct Unasked;
    impl PasswordSource for Unasked {
        fn password(&self) -> PasswordAnswer {
            Box::pin(async { Err(StoreError::new(ErrorKind::NoAuth, "no password")) })
        }
    }
    options::redis_config(redis, environment, || Arc::new(Unasked))
        .err()
        .map(|e| e.to_string())
}

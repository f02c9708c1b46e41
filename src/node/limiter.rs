//! The limiter as JavaScript calls it: primitives in, primitives out.

use std::cell::RefCell;
use std::sync::Arc;

use napi::{Error, Result};
use napi_derive::napi;
use once_cell::unsync::OnceCell;

use super::completions::{CompletionBuffer, Completions, Mailbox};
use super::options::{self, LimiterOptions, RedisOptions, Settings};
use super::record::{Event, write_answer};
use super::stores::{self, MemoryHold, Purpose, SharedRedis};
use crate::limiter::{Answer, Delivery, Fallback, Limiter, Sink};
use crate::quota::{Id, Limit, Plan, Rules};
use crate::store::redis::{PasswordAnswer, PasswordSource, RedisConfig};
use crate::store::{ErrorKind, Op, Request, Scope, StoreError};

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
        environment: Vec<Vec<String>>,
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
    #[napi(catch_unwind)]
    pub fn submit(&self, op: u32, id: String, limit: u32, plan: i32, slot: u32) -> Result<u32> {
        let op = match op {
            0 => Op::Check,
            1 => Op::Limit,
            2 => Op::Status,
            3 => Op::Reset,
            _ => return Err(Error::from_reason("no such operation")),
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
        let running = match running.get_or_try_init(|| self.start()) {
            Ok(running) => running,
            Err(error) => return Ok(self.answer_alone(&request, Ticket { slot, plan }, error)),
        };
        let Some((request, answer)) = running.limiter.submit(request, Ticket { slot, plan }) else {
            return Ok(PENDING);
        };
        Ok(self.decided(&request, Ticket { slot, plan }, answer))
    }

    /// Drops the connections and forgets local state. What is in flight settles all the same; nothing may be asked after.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        if let Some(running) = self.running.take().into_inner() {
            running.memory.forget();
        }
    }

    /// What tells this copy of the face from others.
    fn face(&self) -> usize {
        Arc::as_ptr(&self.way.completions) as usize
    }

    fn decided(&self, request: &Request, ticket: Ticket, answer: Answer) -> u32 {
        let Ticket { slot, plan } = ticket;
        self.mailbox
            .fill(|mailbox| write_answer(slot, answer, mailbox));
        let anomaly = answer.outcome.anomaly;
        match anomaly.and_then(|n| self.way.anomaly(request, plan, n)) {
            None => DECIDED,
            Some(event) => {
                self.way.completions.push([event]);
                DECIDED_AND_MORE
            }
        }
    }

    /// Answers where there is no thread to ask Redis from: as the policy says, like any other failure of the store.
    fn answer_alone(&self, request: &Request, ticket: Ticket, error: StoreError) -> u32 {
        let Scope { name, rules } = &self.settings.scope;
        let memory = MemoryHold::new(Purpose::Local, name.clone(), rules.window, self.face());
        let local = Arc::clone(memory.store());
        match Fallback::new(self.settings.policy, *rules, local).answer(request, error) {
            Ok(answer) => self.decided(request, ticket, answer),
            Err(error) => {
                let slot = ticket.slot;
                self.way.completions.push([Event::Failed { slot, error }]);
                PENDING
            }
        }
    }

    fn start(&self) -> std::result::Result<Running, StoreError> {
        let name = self.settings.scope.name.clone();
        let rules = self.settings.scope.rules;
        let Some(config) = &self.redis else {
            let memory = MemoryHold::new(Purpose::Embedded, name, rules.window, self.face());
            return Ok(Running {
                limiter: Limiter::memory(rules, Arc::clone(memory.store())),
                memory,
                _redis: None,
            });
        };
        let shared = stores::redis(config.clone()).map_err(|e| {
            let message = "the system grants no I/O thread";
            StoreError::new(ErrorKind::Disconnected, message).with_source(e)
        })?;
        let memory = MemoryHold::new(Purpose::Local, name, rules.window, self.face());
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
    environment: Vec<Vec<String>>,
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

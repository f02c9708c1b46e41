//! The connection test: the steps of a client, each with the time it took.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::Expected;
use super::server::Job;
use super::time::{Moment, fired};
use super::{ConnectionId, Deployment, Engine, ServerId, TestId, Timer};
use crate::quota::{Id, Limit};
use crate::store::budget::Budget;
use crate::store::redis::protocol::{Reader, Token};
use crate::store::redis::script::{ScriptRef, Tag, check};
use crate::store::redis::{cluster, error_map, protocol};
use crate::store::{ErrorKind, Op, Request, Scope, StoreError};

/// The key expires after this time if the test ends half-way.
const TTL_MS: &[u8] = b"60000";

/// The result of a connection test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionTest {
    /// The server's version, unless the user may not read it.
    pub version: Option<String>,
    /// The key that was written and read back.
    pub key: String,
    /// Its value.
    pub value: String,
    /// How long each step took, in their order.
    pub(crate) ping: Duration,
    /// Likewise.
    pub(crate) set: Duration,
    /// Likewise.
    pub get: Duration,
    /// Likewise.
    pub(crate) delete: Duration,
}

/// A connection test in progress.
pub(super) struct Test {
    scope: Arc<Scope>,
    connection: Option<ConnectionId>,
    budget: Budget,
    timer: Option<Instant>,
    step: Step,
    begun: Instant,
    tag: Tag,
    /// The source of the script has been sent.
    source_sent: bool,
    found: Option<String>,
    test: ConnectionTest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// All operations of a limiter, the last of which is a reset, in one script call: a user that may not run it cannot limit
    /// anything.
    Decide,
    Ping,
    Set,
    Get,
    Delete,
    Info,
}

impl Step {
    fn next(self) -> Option<Self> {
        Some(match self {
            Step::Decide => Step::Ping,
            Step::Ping => Step::Set,
            Step::Set => Step::Get,
            Step::Get => Step::Delete,
            Step::Delete => Step::Info,
            Step::Info => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Step::Decide => "EVALSHA",
            Step::Ping => "PING",
            Step::Set => "SET",
            Step::Get => "GET",
            Step::Delete => "DEL",
            Step::Info => "INFO",
        }
    }
}

impl Engine {
    /// Takes and gives back a slot of an id that no caller has, in the namespace of `scope`; sends a PING; and writes, reads and
    /// deletes a key of its own, all within `budget`. Uses a connection of the checks or, if there is none, a new one. The result
    /// follows, unless the test is abandoned.
    pub fn test_connection(&mut self, scope: Arc<Scope>, budget: Duration, now: Moment) -> TestId {
        let id = self.new_id();
        // A key of this test alone: others may run at the same time. No id has such a key: theirs hold no inner braces.
        let [key, value] = [(); 2].map(|()| format!("{:016x}", self.random.u64(..)));
        let key = format!("{{{}:}}test:{key}", scope.name.as_str());
        let test = ConnectionTest {
            version: None,
            key,
            value,
            ping: Duration::ZERO,
            set: Duration::ZERO,
            get: Duration::ZERO,
            delete: Duration::ZERO,
        };
        let tag = Tag::of(self.random.usize(..));
        let budget = Budget::new(budget, now.steady);
        let mut timer = None;
        self.timers.set(&mut timer, budget.next(), Timer::Test(id));
        self.tests.insert(
            id,
            Test {
                scope,
                connection: None,
                budget,
                timer,
                step: Step::Decide,
                begun: now.steady,
                tag,
                source_sent: false,
                found: None,
                test,
            },
        );
        let seed_is_away = self.servers.get(&self.seed).is_some_and(|s| s.is_away());
        match self.deployment {
            // The error of a server that is away may be seconds old, and no longer be true.
            Deployment::Unknown if !seed_is_away => {
                self.waiting_tests.push(id);
                self.discover(now);
            }
            _ => self.enqueue_test(id, now),
        }
        self.settle(now);
        id
    }

    /// Nobody waits for the result of a test any more.
    pub fn abandon_test(&mut self, id: TestId, now: Moment) {
        let test = self.tests.remove(&id);
        self.stop_waiting(id, now);
        if let Some(connection) = test.and_then(|test| test.connection) {
            self.give_up_on(connection, now);
        }
        self.settle(now);
    }

    /// The configured server has been asked what it is.
    pub(super) fn start_waiting_tests(&mut self, deployment: &Result<(), StoreError>, now: Moment) {
        for id in std::mem::take(&mut self.waiting_tests) {
            match deployment {
                Ok(()) => self.enqueue_test(id, now),
                Err(error) => self.fail_test(id, error.clone(), now),
            }
        }
    }

    /// The timer of a test.
    pub(super) fn on_test_timer(&mut self, id: TestId, now: Moment) {
        let Some(test) = self.tests.get_mut(&id) else {
            return;
        };
        fired(&mut test.timer, now.steady);
        if !test.budget.is_over(now.steady) {
            let at = test.budget.next();
            return self.timers.set(&mut test.timer, at, Timer::Test(id));
        }
        let connection = test.connection;
        let message = "the connection test was not over in time";
        self.fail_test(id, StoreError::new(ErrorKind::Timeout, message), now);
        if let Some(known) = connection.and_then(|id| self.connections.get_mut(&id)) {
            known.health.given_up(now);
        }
    }

    /// A test that has ended does not wait for the discovery.
    fn stop_waiting(&mut self, id: TestId, now: Moment) {
        if self.waiting_tests.contains(&id) {
            self.waiting_tests.retain(|&waiting| waiting != id);
            self.discovery_given_up(now);
        }
    }

    fn enqueue_test(&mut self, id: TestId, now: Moment) {
        let Some(test) = self.tests.get(&id) else {
            return;
        };
        let server = self.server_of(&test.scope, &Id::reserved());
        let first = self.servers.get(&server).map_or(0, |server| server.next);
        self.enqueue(server, first, Job::Test(id), now);
    }

    /// The server that decides about an id.
    pub(super) fn server_of(&self, scope: &Scope, id: &Id) -> ServerId {
        let Deployment::Cluster(cluster) = &self.deployment else {
            return self.seed;
        };
        let slot = cluster::slot_of(scope, id);
        let is_away = |id: &ServerId| self.servers.get(id).is_none_or(|s| s.is_away());
        let node = cluster.topology.nearest(slot, is_away);
        node.map_or(self.seed, |node| **node)
    }

    /// Sends the first step of a test over `connection`.
    pub(super) fn start_test(&mut self, id: TestId, connection: ConnectionId, now: Moment) {
        if let Some(test) = self.tests.get_mut(&id) {
            test.connection = Some(connection);
            self.send_step(id, now);
        }
    }

    fn send_step(&mut self, id: TestId, now: Moment) {
        let Some(test) = self.tests.get_mut(&id) else {
            return;
        };
        test.begun = now.steady;
        let connection = test.connection;
        let Some(connection) = connection else {
            return;
        };
        let Some(known) = self.connections.get_mut(&connection) else {
            return;
        };
        let out = &mut known.out;
        let (key, value) = (test.test.key.as_bytes(), test.test.value.as_bytes());
        match test.step {
            Step::Decide => {
                let by = match test.source_sent {
                    true => ScriptRef::Source,
                    false => ScriptRef::Sha,
                };
                check::encode(out, by, test.tag, &test.scope, requests().iter());
            }
            Step::Ping => protocol::command(out, &[b"PING"]),
            Step::Set => protocol::command(out, &[b"SET", key, value, b"PX", TTL_MS]),
            Step::Get => protocol::command(out, &[b"GET", key]),
            Step::Delete => protocol::command(out, &[b"DEL", key]),
            Step::Info => protocol::command(out, &[b"INFO", b"server"]),
        }
        known.in_flight.push_back(Expected::Test(id));
        known.health.sent(now);
        self.wish_to_send(connection);
    }

    /// The reply to a step of a test.
    pub(super) fn on_test_reply(
        &mut self,
        connection: ConnectionId,
        id: TestId,
        reply: &[u8],
        now: Moment,
    ) {
        let Some(test) = self.tests.get_mut(&id) else {
            return self.close_if_drained(connection);
        };
        let took = now.steady.saturating_duration_since(test.begun);
        let error = match protocol::server_error(reply) {
            Some(error) if test.step == Step::Decide && error.code() == Some("NOSCRIPT") => {
                if !std::mem::replace(&mut test.source_sent, true) {
                    return self.send_step(id, now);
                }
                Some(error_map::command_error(&error))
            }
            Some(error) => Some(test.step.error(error_map::command_error(&error))),
            None => test.read(reply, took).err(),
        };
        match error {
            // The user need not be allowed to read the version.
            Some(_) if test.step == Step::Info => self.end_test(id, connection),
            Some(error) => self.fail_test(id, error, now),
            None => match test.step.next() {
                Some(next) => {
                    test.step = next;
                    self.send_step(id, now);
                }
                None => self.end_test(id, connection),
            },
        }
    }

    fn end_test(&mut self, id: TestId, connection: ConnectionId) {
        if let Some(test) = self.tests.remove(&id) {
            self.test_results.push_back((id, Ok(test.test)));
            self.close_if_drained(connection);
        }
    }

    /// A test has failed.
    pub(super) fn fail_test(&mut self, id: TestId, error: StoreError, now: Moment) {
        let Some(test) = self.tests.remove(&id) else {
            return;
        };
        self.stop_waiting(id, now);
        if let Some(connection) = test.connection {
            if error.requires_reconnect()
                && let Some(link) = self.link_of(connection)
            {
                self.lose(link, connection, error.clone(), now);
            }
            self.close_if_drained(connection);
        }
        self.test_results.push_back((id, Err(error)));
    }
}

impl Test {
    fn read(&mut self, reply: &[u8], took: Duration) -> Result<(), StoreError> {
        let text = match Reader::new(reply).next() {
            Some(Token::Text(text)) => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        };
        match self.step {
            Step::Decide => {
                let window = self.scope.rules.window;
                let requests = requests();
                let limits = requests.iter().map(|request| request.limit);
                let results = check::decode(reply, self.tag, window, limits)?;
                return results.into_iter().try_for_each(|result| result.map(drop));
            }
            Step::Ping => self.test.ping = took,
            Step::Set => self.test.set = took,
            Step::Get => {
                self.test.get = took;
                self.found = text;
            }
            Step::Delete => {
                self.test.delete = took;
                if self.found.as_ref() != Some(&self.test.value) {
                    let message = "the server did not give back what was written a moment before";
                    return Err(StoreError::new(ErrorKind::Protocol, message));
                }
            }
            Step::Info => self.test.version = text.and_then(|info| version(&info)),
        }
        Ok(())
    }
}

impl Step {
    fn error(self, error: StoreError) -> StoreError {
        if self == Step::Decide {
            return error;
        }
        let name = self.name();
        let message = match error.kind() {
            // The user was just allowed all that a limiter needs.
            ErrorKind::NoPerm => format!(
                "the limiter's own commands work; this test needs {name}, too, which the user may not run (NOPERM)"
            ),
            _ => format!("{name}: {error}"),
        };
        StoreError::new(error.kind(), message)
    }
}

fn requests() -> [Request; 4] {
    [Op::Check, Op::Limit, Op::Status, Op::Reset].map(|op| Request {
        op,
        id: Id::reserved(),
        limit: Limit::literal(2),
    })
}

/// The version in the reply to INFO. Valkey has the version of Redis that it is compatible with in this field.
fn version(info: &str) -> Option<String> {
    let mut lines = info.lines();
    let version = lines.find_map(|line| line.strip_prefix("redis_version:"))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let version: String = version.chars().take(32).take_while(|&c| plain(c)).collect();
    Some(version).filter(|version| !version.is_empty())
}

//! A link: a connection that is made when it is first needed, checked after a quiet stretch, and replaced when it breaks.
//!
//! A request waits for a connect only where a connection has worked until now, or none has been tried: that usually takes a
//! millisecond. Once an attempt has failed, the next ones are made in the background, spaced by full jitter, and until one
//! succeeds a request fails at once, with the reason.

use super::call::Results;
use super::connect::Purpose;
use super::connection::Expected;
use super::server::{Job, LinkState};
use super::time::{Moment, fired};
use super::{ConnectionId, Engine, LinkId, ServerId, Wish};
use crate::planted::planted;
use crate::store::budget::Budget;
use crate::store::redis::protocol;
use crate::store::{ErrorKind, StoreError};

impl Engine {
    /// Sends `job` to `server`, now or once there is a connection, over link number `first` or one after it.
    pub(super) fn enqueue(&mut self, server: ServerId, first: usize, job: Job, now: Moment) {
        let Some(at) = self.pick_link(server, first, now) else {
            return;
        };
        let id = LinkId { server, at };
        let Some(link) = self.link_mut(id) else {
            return;
        };
        link.used = now.steady;
        match &link.state {
            LinkState::Up(connection) => {
                let connection = *connection;
                if self.is_ready(connection, now) {
                    return self.start(job, connection, now);
                }
                self.push_waiting(id, job);
                self.check(id, connection, now);
            }
            LinkState::Checking { .. } | LinkState::Connecting => self.push_waiting(id, job),
            LinkState::Down => {
                self.push_waiting(id, job);
                self.connect_for_requests(id, None, now);
            }
            // What is known of the server may be seconds old, and no longer be true: a test connects anew.
            LinkState::Away(_) if matches!(job, Job::Test(_)) => {
                let connects = link.attempt.is_some();
                link.retry_at = None;
                self.push_waiting(id, job);
                if !connects {
                    self.begin_attempt(id, Purpose::Search, now);
                }
            }
            LinkState::Away(error) => {
                let error = error.clone().unsent();
                self.fail_job(job, error, now);
            }
        }
    }

    /// A link that may be used at once: number `first`, or one after it. While others connect or are away, no request waits for
    /// them; if none may be used, one that is connecting.
    fn pick_link(&mut self, server: ServerId, first: usize, now: Moment) -> Option<usize> {
        let links = &self.servers.get(&server)?.links;
        let count = links.len();
        let first = first % count;
        let is_ready = |at: usize| {
            let connection = links[at].up();
            connection.is_some_and(|connection| self.is_ready(connection, now))
        };
        if is_ready(first) {
            return Some(first);
        }
        let in_order = || (0..count).map(|n| (first + n) % count);
        let ready = in_order().find(|&at| is_ready(at));
        let picked = ready.or_else(|| in_order().find(|&at| !links[at].is_away()));
        let picked = picked.unwrap_or(first);
        if picked != first {
            self.prepare(LinkId { server, at: first }, now);
        }
        Some(picked)
    }

    /// Begins what the next request would wait for.
    fn prepare(&mut self, id: LinkId, now: Moment) {
        match self.link_mut(id).map(|link| &link.state) {
            Some(LinkState::Down) => self.connect_for_requests(id, None, now),
            Some(&LinkState::Up(connection)) => self.check(id, connection, now),
            _ => {}
        }
    }

    fn is_ready(&self, connection: ConnectionId, now: Moment) -> bool {
        let connection = self.connections.get(&connection);
        connection.is_some_and(|connection| !connection.is_stale(now))
    }

    pub(super) fn push_waiting(&mut self, id: LinkId, job: Job) {
        if let Some(link) = self.link_mut(id) {
            link.waiting.push(job);
        }
    }

    /// Sends what has waited for `connection`.
    pub(super) fn start_waiting(&mut self, id: LinkId, connection: ConnectionId, now: Moment) {
        let Some(link) = self.link_mut(id) else {
            return;
        };
        for job in std::mem::take(&mut link.waiting) {
            self.start(job, connection, now);
        }
    }

    fn start(&mut self, job: Job, connection: ConnectionId, now: Moment) {
        match job {
            Job::Part(part) => self.send_part(part, connection, now),
            Job::Query(query) => self.send_query(query, connection, now),
            Job::Test(test) => self.start_test(test, connection, now),
        }
    }

    pub(super) fn fail_job(&mut self, job: Job, error: StoreError, now: Moment) {
        match job {
            Job::Part(part) => self.fail_part(part, error, now),
            Job::Query(query) => self.on_slots(query, Err(error), now),
            Job::Test(test) => self.fail_test(test, error, now),
        }
    }

    /// Checks a connection that has been quiet, or replaces it if its login is over.
    fn check(&mut self, id: LinkId, connection: ConnectionId, now: Moment) {
        let Some(known) = self.connections.get(&connection) else {
            return;
        };
        if known.proven
            && let Some(link) = self.link_mut(id)
        {
            link.failures = 0;
        }
        if self
            .connections
            .get(&connection)
            .is_some_and(|known| known.is_over(now))
        {
            return self.connect_for_requests(id, Some(connection), now);
        }
        self.ping(id, connection, None, now);
    }

    /// Sends a PING over a quiet connection. `failure`: why no other connection could be made.
    pub(super) fn ping(
        &mut self,
        id: LinkId,
        connection: ConnectionId,
        failure: Option<StoreError>,
        now: Moment,
    ) {
        let Some(checked) = self.connections.get_mut(&connection) else {
            return;
        };
        protocol::command(&mut checked.out, &[b"PING"]);
        checked.in_flight.push_back(Expected::Ping);
        checked.health.sent(now);
        let budget = Budget::new(checked.health.patience(), now.steady);
        let due = budget.next();
        self.wish_to_send(connection);
        if let Some(link) = self.link_mut(id) {
            link.state = LinkState::Checking {
                connection,
                budget,
                failure,
            };
        }
        self.set_link_timer(id, due);
        self.follow_name(id.server, now);
    }

    /// The server has answered on `connection`. If it was being checked, it may be used again.
    pub(super) fn on_server_alive(&mut self, connection: ConnectionId, now: Moment) {
        let Some(id) = self.link_of(connection) else {
            return;
        };
        let Some(link) = self.link_mut(id) else {
            return;
        };
        let LinkState::Checking {
            connection: checked,
            failure,
            ..
        } = &link.state
        else {
            return;
        };
        if *checked != connection {
            return;
        }
        let replaces_failed = failure.is_some();
        link.state = LinkState::Up(connection);
        let waiting = std::mem::take(&mut link.waiting);
        if replaces_failed {
            // Better than none: not every server ends a login for its age. Its renewal goes on.
            self.renewal_failed(connection, now);
        }
        let given_up = |job: &Job| match job {
            Job::Part(part) => !self.parts.contains_key(part),
            Job::Query(query) => !self.queries.contains_key(query),
            Job::Test(_) => false,
        };
        if waiting.iter().all(given_up) {
            self.on_late_reply(connection, now);
        }
        for job in waiting {
            self.start(job, connection, now);
        }
    }

    /// The connection that is being checked is dead, or its name leads elsewhere.
    pub(super) fn check_failed(&mut self, id: LinkId, now: Moment) {
        let Some(link) = self.link_mut(id) else {
            return;
        };
        let state = std::mem::replace(&mut link.state, LinkState::Down);
        let LinkState::Checking {
            connection,
            failure,
            ..
        } = state
        else {
            link.state = state;
            return;
        };
        self.drain(connection);
        match failure {
            Some(error) => self.go_away(id, error, now),
            None => self.connect_for_requests(id, None, now),
        }
    }

    /// Connects, while requests wait. `old`: a connection whose login is over, and which is used if no other can be made.
    pub(super) fn connect_for_requests(
        &mut self,
        id: LinkId,
        old: Option<ConnectionId>,
        now: Moment,
    ) {
        self.end_search(id, now);
        let Some(link) = self.link_mut(id) else {
            return;
        };
        link.state = LinkState::Connecting;
        link.following = false;
        let purpose = Purpose::Requests { old };
        match &mut link.attempt {
            Some(attempt) => attempt.purpose = purpose,
            None => self.begin_attempt(id, purpose, now),
        }
    }

    /// The connection has ended, because of `error`.
    pub(super) fn on_link_closed(
        &mut self,
        id: LinkId,
        connection: ConnectionId,
        error: StoreError,
        now: Moment,
    ) {
        match self.link_mut(id).map(|link| &link.state) {
            Some(LinkState::Up(up)) if *up == connection => {
                self.lose(id, connection, error, now);
            }
            Some(LinkState::Checking {
                connection: checked,
                ..
            }) if *checked == connection => self.check_failed(id, now),
            _ => {}
        }
    }

    /// Lets go of the connections to a server, for as long as no request asks for one.
    pub(super) fn release(&mut self, server: ServerId) {
        let Some(known) = self.servers.get_mut(&server) else {
            return;
        };
        let mut released = Vec::new();
        for link in &mut known.links {
            if let LinkState::Up(connection) = link.state {
                link.state = LinkState::Down;
                released.push(connection);
            }
        }
        for connection in released {
            self.drain(connection);
        }
    }

    /// Closes a connection that its link no longer uses, as soon as no request waits for a reply on it.
    pub(super) fn drain(&mut self, connection: ConnectionId) {
        if let Some(known) = self.connections.get_mut(&connection) {
            known.draining = true;
            self.close_if_drained(connection);
        }
    }

    /// A caller no longer waits for its reply on a connection.
    pub(super) fn give_up_on(&mut self, connection: ConnectionId, now: Moment) {
        if let Some(known) = self.connections.get_mut(&connection) {
            known.health.given_up(now);
            self.close_if_drained(connection);
        }
    }

    /// Closes a draining connection if no request waits for a reply on it.
    pub(super) fn close_if_drained(&mut self, connection: ConnectionId) {
        let Some(known) = self.connections.get(&connection) else {
            return;
        };
        let is_awaited = |expected: &Expected| match expected {
            Expected::Group { part, .. } => self.parts.contains_key(part),
            Expected::Query(query) => self.queries.contains_key(query),
            Expected::Test(test) => self.tests.contains_key(test),
            Expected::Asking
            | Expected::Ping
            | Expected::Handshake
            | Expected::Reauthentication => false,
        };
        if known.draining && !known.in_flight.iter().any(is_awaited) {
            self.close_connection(connection);
        }
    }

    /// Closes a connection. Nothing in flight on it is answered.
    pub(super) fn close_connection(&mut self, connection: ConnectionId) {
        if let Some(known) = self.connections.remove(&connection) {
            if let Some(request) = known.reauthentication.and_then(|running| running.request) {
                self.forget_password(request);
            }
            if known.open {
                self.stats.closed();
            }
            self.wishes.push_back(Wish::Close { connection });
        }
    }

    /// The timer of a link.
    pub(super) fn on_link_timer(&mut self, id: LinkId, now: Moment) {
        let Some(link) = self.link_mut(id) else {
            return;
        };
        fired(&mut link.timer, now.steady);
        let mut due = None;
        let mut dead = false;
        if let LinkState::Checking { budget, .. } = &mut link.state {
            dead = budget.left(now.steady).is_zero();
            due = Some(budget.next());
        }
        if let Some(at) = due.filter(|_| !dead) {
            self.set_link_timer(id, at);
        }
        if dead {
            // A new connection is a reason to probe, even if a server has refused over this one before.
            if let Some(server) = self.servers.get_mut(&id.server) {
                server.refused = None;
            }
            self.check_failed(id, now);
        }
        self.on_attempt_timer(id, now);
        let Some(link) = self.link_mut(id) else {
            return;
        };
        match link.retry_at {
            Some(at) if at <= now.steady => {
                link.retry_at = None;
                if link.is_away() && link.attempt.is_none() {
                    self.begin_attempt(id, Purpose::Search, now);
                }
            }
            Some(at) => self.set_link_timer(id, at),
            None => {}
        }
    }

    /// Whether the connection that results came over is any good.
    pub(super) fn judge_connection(
        &mut self,
        results: &Results,
        connection: Option<ConnectionId>,
        now: Moment,
    ) {
        let Some(connection) = connection else {
            return;
        };
        let kept =
            |error: &StoreError| planted!(KeepReadOnly) && error.kind() == ErrorKind::ReadOnly;
        match results.errors(|error| error.requires_reconnect() && !kept(error)) {
            Some(error) => {
                if let Some(link) = self.link_of(connection) {
                    self.lose(link, connection, error, now);
                }
            }
            None => self.prove(connection, now),
        }
        self.close_if_drained(connection);
    }

    /// The server decides over a connection, or answers as a node of a cluster. Its name need not be followed any more.
    pub(super) fn prove(&mut self, connection: ConnectionId, now: Moment) {
        let Some(known) = self.connections.get_mut(&connection) else {
            return;
        };
        if !std::mem::replace(&mut known.proven, true)
            && let Some(id) = self.link_of(connection)
            && let Some(link) = self.link_mut(id)
            && link.up() == Some(connection)
            && std::mem::take(&mut link.following)
        {
            self.end_search(id, now);
        }
    }
}

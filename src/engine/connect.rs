//! One connect from start to end: password, look-up, TCP, TLS, AUTH and SELECT within one budget.

use std::net::SocketAddr;

use super::connection::Connection;
use super::handshake::Command;
use super::time::Moment;
use super::{ConnectionId, Engine, LinkId, PasswordFor, PasswordRequestId, ServerId, Wish};
use crate::planted::planted;
use crate::store::budget::Budget;
use crate::store::redis::{Credentials, Secret};
use crate::store::{ErrorKind, StoreError};

/// One attempt to connect.
pub(super) struct Attempt {
    pub(super) purpose: Purpose,
    pub(super) begun: Moment,
    pub(super) budget: Budget,
    /// It began anew, since the name came to lead elsewhere.
    pub(super) restarted: bool,
    /// It began anew, since this process was stopped meanwhile.
    pub(super) repeated: bool,
    pub(super) password: Option<Secret>,
    /// How many of the configured passwords have been tried.
    pub(super) tried: usize,
    /// Addresses that have not been tried, the next one last.
    pub(super) addresses: Vec<SocketAddr>,
    /// The part of the budget for one address.
    pub(super) share: Budget,
    pub(super) step: Step,
    /// Half of the budget: a server that is silent until then is asked in the other protocol.
    pub(super) half: Option<Budget>,
    /// It is being asked in the other protocol. The error is that of the connection, if that has ended.
    pub(super) asking: Option<Option<StoreError>>,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Requests wait for it. `old`: a connection that is used if no other can be made.
    Requests { old: Option<ConnectionId> },
    /// The server is away.
    Search,
    /// In place of one to a server that has refused: the name leads elsewhere.
    Follow(ConnectionId),
    /// In place of one whose login is over.
    Replace(ConnectionId),
}

pub(super) enum Step {
    Password {
        request: PasswordRequestId,
        after_rejection: bool,
    },
    LookUp,
    /// A TCP connection is being made.
    Open(ConnectionId),
    /// There is a TCP connection; TLS, then the commands of the handshake.
    HandShake(ConnectionId, Command),
}

impl Engine {
    /// Begins to connect.
    pub(super) fn begin_attempt(&mut self, id: LinkId, purpose: Purpose, now: Moment) {
        self.begin(id, purpose, (false, false), now);
    }

    fn begin(
        &mut self,
        id: LinkId,
        purpose: Purpose,
        (restarted, repeated): (bool, bool),
        now: Moment,
    ) {
        let Some(server) = self.servers.get_mut(&id.server) else {
            return;
        };
        let budget = Budget::new(server.config.connect_timeout, now.steady);
        let due = budget.next();
        server.links[id.at].attempt = Some(Attempt {
            purpose,
            begun: now,
            share: Budget::new(server.config.connect_timeout, now.steady),
            budget,
            restarted,
            repeated,
            password: None,
            tried: 0,
            addresses: Vec::new(),
            step: Step::LookUp,
            half: None,
            asking: None,
        });
        self.set_link_timer(id, due);
        self.follow_name(id.server, now);
        match &self.config.credentials {
            Credentials::Source(_) => self.ask_for_password(id, false),
            Credentials::Passwords(list) => {
                let first = list.first().cloned();
                self.try_password(id, first, now);
            }
        }
    }

    /// The name leads elsewhere: begins anew, once.
    pub(super) fn restart_attempt(&mut self, id: LinkId, now: Moment) {
        let Some(attempt) = self.attempt_mut(id) else {
            return;
        };
        if attempt.restarted || matches!(attempt.step, Step::LookUp) {
            return;
        }
        let (purpose, repeated) = (attempt.purpose, attempt.repeated);
        self.drop_attempt(id);
        self.begin(id, purpose, (true, repeated), now);
    }

    pub(super) fn attempt_mut(&mut self, id: LinkId) -> Option<&mut Attempt> {
        self.link_mut(id)?.attempt.as_mut()
    }

    /// Ends the attempt without a result.
    fn drop_attempt(&mut self, id: LinkId) -> Option<Attempt> {
        let attempt = self.link_mut(id)?.attempt.take()?;
        if let Step::Open(connection) | Step::HandShake(connection, _) = attempt.step {
            self.close_connection(connection);
        }
        if let Step::Password { request, .. } = attempt.step {
            self.forget_password(request);
        }
        Some(attempt)
    }

    pub(super) fn ask_for_password(&mut self, id: LinkId, after_rejection: bool) {
        let request = self.request_password(PasswordFor::Connect(id), after_rejection);
        if let Some(attempt) = self.attempt_mut(id) {
            attempt.step = Step::Password {
                request,
                after_rejection,
            };
        }
    }

    /// The answer of the password source to `request`. The next password after a rejection is tried unless it is the same: the
    /// server would reject it again, and servers and operators count rejections. There is no third try.
    pub(super) fn on_connect_password(
        &mut self,
        id: LinkId,
        request: PasswordRequestId,
        answer: Result<Secret, StoreError>,
        now: Moment,
    ) {
        let Some(attempt) = self.attempt_mut(id) else {
            return;
        };
        let Step::Password {
            request: awaited,
            after_rejection,
        } = attempt.step
        else {
            return;
        };
        if awaited != request {
            return;
        }
        match answer {
            Err(error) => self.attempt_failed(id, error, now),
            Ok(password) if after_rejection && attempt.password.as_ref() == Some(&password) => {
                self.attempt_failed(id, rejected(), now);
            }
            Ok(password) => self.try_password(id, Some(password), now),
        }
    }

    /// Tries `password` on a connection of its own.
    pub(super) fn try_password(&mut self, id: LinkId, password: Option<Secret>, now: Moment) {
        let Some(attempt) = self.attempt_mut(id) else {
            return;
        };
        attempt.tried += usize::from(password.is_some());
        attempt.password = password;
        attempt.step = Step::LookUp;
        let literal = self
            .servers
            .get(&id.server)
            .and_then(|server| server.literal_address());
        match literal {
            Some(address) => self.open_addresses(id, vec![address], now),
            None => self.look_up(id.server),
        }
    }

    /// Has the name of a server looked up.
    pub(super) fn look_up(&mut self, server: ServerId) {
        if let Some(known) = self.servers.get_mut(&server)
            && !std::mem::replace(&mut known.looking_up, true)
        {
            self.wishes.push_back(Wish::LookUp {
                server,
                host: known.config.host.clone(),
                port: known.config.port,
            });
        }
    }

    /// The look-up of a server's name has ended.
    pub(super) fn on_looked_up(
        &mut self,
        server: ServerId,
        result: Result<Vec<SocketAddr>, StoreError>,
        now: Moment,
    ) {
        let Some(known) = self.servers.get_mut(&server) else {
            return;
        };
        known.looking_up = false;
        let waits = |attempt: &Option<Attempt>| {
            attempt
                .as_ref()
                .is_some_and(|attempt| matches!(attempt.step, Step::LookUp))
        };
        let links = known.links.iter().enumerate();
        let waiting: Vec<_> = links
            .filter(|(_, link)| waits(&link.attempt))
            .map(|(at, _)| LinkId { server, at })
            .collect();
        let found = match result {
            Ok(_) if planted!(OneAddress) && !known.last_used.is_empty() => known.last_used.clone(),
            Ok(found) => found,
            Err(error) => {
                for id in waiting {
                    self.attempt_failed(id, error.clone(), now);
                }
                return;
            }
        };
        let moved = found
            .iter()
            .any(|address| !known.last_used.contains(address));
        if !waiting.is_empty() {
            known.last_used.clone_from(&found);
        }
        if moved {
            self.on_name_moved(server, waiting.is_empty(), now);
        }
        for id in waiting {
            self.open_addresses(id, found.clone(), now);
        }
    }

    fn open_addresses(&mut self, id: LinkId, found: Vec<SocketAddr>, now: Moment) {
        let Some(server) = self.servers.get_mut(&id.server) else {
            return;
        };
        let mut addresses = server.addresses.bad_last(found);
        // An address without an answer must leave time for the others.
        let share = server.config.connect_timeout / addresses.len().max(1) as u32;
        addresses.reverse();
        if let Some(attempt) = &mut server.links[id.at].attempt {
            attempt.addresses = addresses;
            attempt.share = Budget::new(share, now.steady);
        }
        self.open_next(id, closed(), now);
    }

    /// Opens a connection to the next address. `failure`: why there is none to the one before.
    fn open_next(&mut self, id: LinkId, failure: StoreError, now: Moment) {
        let Some(attempt) = self.attempt_mut(id) else {
            return;
        };
        let Some(address) = attempt.addresses.pop() else {
            return self.attempt_failed(id, failure, now);
        };
        let whole = attempt.share.whole();
        attempt.share = Budget::new(whole, now.steady);
        let due = attempt.share.next();
        let connection = self.new_connection(Connection::new(id.server, id.at, address, now));
        if let Some(attempt) = self.attempt_mut(id) {
            attempt.step = Step::Open(connection);
            // What was asked over another connection has ended with it.
            attempt.asking = None;
        }
        if let Some(server) = self.servers.get(&id.server) {
            self.wishes.push_back(Wish::Connect {
                connection,
                address,
                host: server.config.host.clone(),
            });
        }
        self.set_link_timer(id, due);
    }

    /// There is no TCP connection to the address, or no TLS on it.
    pub(super) fn on_connect_failed(
        &mut self,
        connection: ConnectionId,
        error: StoreError,
        now: Moment,
    ) {
        let Some(id) = self.attempt_of(connection) else {
            self.close_connection(connection);
            return;
        };
        let accepted = self
            .connections
            .get(&connection)
            .is_some_and(|c| c.accepted);
        if accepted {
            return self.attempt_closed(id, connection, error, now);
        }
        self.address_failed(id, connection, error, now);
    }

    fn address_failed(
        &mut self,
        id: LinkId,
        connection: ConnectionId,
        error: StoreError,
        now: Moment,
    ) {
        let address = self.connections.get(&connection).map(|c| c.address);
        self.close_connection(connection);
        if let Some(address) = address
            && let Some(server) = self.servers.get_mut(&id.server)
        {
            server.addresses.mark_bad(address);
        }
        self.open_next(id, error, now);
    }

    /// The link's timer, as far as its attempt is concerned.
    pub(super) fn on_attempt_timer(&mut self, id: LinkId, now: Moment) {
        let Some(attempt) = self.attempt_mut(id) else {
            return;
        };
        if attempt.budget.left(now.steady).is_zero() {
            return self.attempt_timed_out(id, now);
        }
        let mut due = attempt.budget.next();
        let mut share_is_over = None;
        if let Step::Open(connection) = attempt.step {
            if attempt.share.left(now.steady).is_zero() {
                share_is_over = Some(connection);
            } else {
                due = due.min(attempt.share.next());
            }
        }
        let mut ask = None;
        if let (Step::HandShake(connection, _), Some(half), None) =
            (&attempt.step, &mut attempt.half, &attempt.asking)
        {
            if half.left(now.steady).is_zero() {
                ask = Some(*connection);
            } else {
                due = due.min(half.next());
            }
        }
        if let Some(connection) = ask
            && self.is_silent(connection)
        {
            if let Some(attempt) = self.attempt_mut(id) {
                attempt.asking = Some(None);
            }
            self.ask_in_other_protocol(id, connection);
        }
        self.set_link_timer(id, due);
        if let Some(connection) = share_is_over {
            let message = "cannot connect: timed out";
            let error = StoreError::new(ErrorKind::Timeout, message);
            self.address_failed(id, connection, error, now);
        }
    }

    fn attempt_timed_out(&mut self, id: LinkId, now: Moment) {
        let Some(attempt) = self.attempt_mut(id) else {
            return;
        };
        if let Step::Password { .. } = attempt.step {
            let message = "the password function has not answered within the budget of a connect";
            let error = StoreError::new(ErrorKind::Timeout, message);
            return self.attempt_failed(id, error, now);
        }
        let was_stopped = attempt.budget.was_stopped();
        let budget = attempt.budget.whole();
        let silent = match attempt.step {
            Step::HandShake(connection, _) => {
                let known = self.connections.get(&connection);
                known.is_some_and(|known| known.is_silent())
            }
            _ => false,
        };
        let what = match (silent, &self.config.tls) {
            _ if was_stopped => "; this process was stopped meanwhile",
            (false, _) => "",
            (true, Some(_)) => {
                ": the server takes connections and does not answer the TLS handshake; it hangs, or does not speak TLS on \
                 this port"
            }
            (true, None) => {
                ": the server takes connections and says nothing; it hangs, or speaks TLS on this port (then use rediss:// \
                 or set tls)"
            }
        };
        let budget = budget.as_millis();
        let message = format!("no connection within {budget} ms{what}");
        self.attempt_failed(id, StoreError::new(ErrorKind::Timeout, message), now);
    }

    /// The attempt has failed. A failure while this process was stopped says nothing about the server: one more attempt follows,
    /// and only one, since a process that is stopped again and again must come to an end, too.
    pub(super) fn attempt_failed(&mut self, id: LinkId, error: StoreError, now: Moment) {
        let Some(mut attempt) = self.drop_attempt(id) else {
            return;
        };
        let _ = attempt.budget.left(now.steady);
        let repeat = attempt.budget.was_stopped() && !attempt.repeated;
        if repeat && !error.came_from_server() {
            return self.begin(id, attempt.purpose, (attempt.restarted, true), now);
        }
        self.on_attempt_failed(id, attempt.purpose, error, now);
    }

    /// Whether nothing has arrived on a connection yet.
    pub(super) fn is_silent(&self, connection: ConnectionId) -> bool {
        let connection = self.connections.get(&connection);
        connection.is_some_and(Connection::is_silent)
    }

    /// The link whose attempt makes this connection.
    pub(super) fn attempt_of(&self, connection: ConnectionId) -> Option<LinkId> {
        let known = self.connections.get(&connection)?;
        let id = LinkId {
            server: known.server,
            at: known.link,
        };
        let attempt = self.link(id)?.attempt.as_ref()?;
        match attempt.step {
            Step::Open(made) | Step::HandShake(made, _) if made == connection => Some(id),
            _ => None,
        }
    }
}

pub(super) fn closed() -> StoreError {
    let message = "the server closed the connection while it was set up";
    StoreError::new(ErrorKind::Disconnected, message)
}

fn rejected() -> StoreError {
    StoreError::new(
        ErrorKind::WrongPass,
        "the server accepts none of the passwords",
    )
}

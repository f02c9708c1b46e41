//! Sends AUTH again on a connection in use, before the server ends it for the age of its login.

use super::connect::Purpose;
use super::connection::Expected;
use super::handshake::write_auth;
use super::server::LinkState;
use super::time::{Moment, fired};
use super::{ConnectionId, Engine, PasswordFor, PasswordRequestId, Timer};
use crate::store::budget::Budget;
use crate::store::redis::{Secret, error_map, protocol};
use crate::store::{ErrorKind, StoreError};

/// An AUTH on a connection in use, within the budget of a connect. It queues among the checks, and a refusal leaves the
/// connection as it was.
pub(super) struct Reauthentication {
    begun: Moment,
    budget: Budget,
    pub(super) request: Option<PasswordRequestId>,
    /// The password that has been sent.
    password: Option<Secret>,
    /// The server has rejected the first password.
    rejected: bool,
}

impl Engine {
    /// Schedules the next check of the age of a connection's login.
    pub(super) fn schedule_renewal(&mut self, id: ConnectionId, now: Moment) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if let Some(login) = &connection.login {
            let at = now.steady + login.next_age_check(now, &mut self.random);
            let timer = Timer::Connection(id);
            self.timers.set(&mut connection.timer, at, timer);
        }
    }

    /// The timer of a connection.
    pub(super) fn on_connection_timer(&mut self, id: ConnectionId, now: Moment) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        fired(&mut connection.timer, now.steady);
        if let Some(running) = &mut connection.reauthentication {
            if !running.budget.left(now.steady).is_zero() {
                let at = running.budget.next();
                let timer = Timer::Connection(id);
                return self.timers.set(&mut connection.timer, at, timer);
            }
            connection.health.given_up(now);
            return self.end_reauthentication(id, false, now);
        }
        let Some(login) = &connection.login else {
            return;
        };
        if !login.is_due(now) {
            return self.schedule_renewal(id, now);
        }
        let over = login.is_over(now);
        let Some(link_id) = self.link_of(id) else {
            return;
        };
        let Some(link) = self.link(link_id) else {
            return;
        };
        match &link.state {
            LinkState::Up(up) if *up == id && !over => self.reauthenticate(id, now),
            LinkState::Up(up) if *up == id => match link.attempt {
                None => self.begin_attempt(link_id, Purpose::Replace(id), now),
                Some(_) => self.renewal_failed(id, now),
            },
            LinkState::Checking { .. } | LinkState::Connecting => self.renewal_failed(id, now),
            LinkState::Up(_) | LinkState::Down | LinkState::Away(_) => {}
        }
    }

    /// The login could not be renewed: it is tried again.
    pub(super) fn renewal_failed(&mut self, id: ConnectionId, now: Moment) {
        let login = self.connections.get_mut(&id).and_then(|c| c.login.as_mut());
        if let Some(login) = login {
            login.failed();
            self.schedule_renewal(id, now);
        }
    }

    fn reauthenticate(&mut self, id: ConnectionId, now: Moment) {
        let budget = Budget::new(self.config.connect_timeout, now.steady);
        let at = budget.next();
        let request = self.request_password(PasswordFor::Reauthentication(id), false);
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.reauthentication = Some(Reauthentication {
            begun: now,
            budget,
            request: Some(request),
            password: None,
            rejected: false,
        });
        let timer = Timer::Connection(id);
        self.timers.set(&mut connection.timer, at, timer);
    }

    /// The answer of the password source to `request`. A second password is tried after a rejection, unless it is the same.
    pub(super) fn on_reauthentication_password(
        &mut self,
        id: ConnectionId,
        request: PasswordRequestId,
        answer: Result<Secret, StoreError>,
        now: Moment,
    ) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let running = connection.reauthentication.as_mut();
        let Some(running) = running.filter(|running| running.request == Some(request)) else {
            return;
        };
        running.request = None;
        let fresh = answer
            .ok()
            .filter(|next| running.password.as_ref() != Some(next));
        let Some(password) = fresh else {
            return self.end_reauthentication(id, false, now);
        };
        let username = self.config.username.as_deref();
        write_auth(&mut connection.out, username, Some(&password));
        running.password = Some(password);
        connection.in_flight.push_back(Expected::Reauthentication);
        connection.health.sent(now);
        self.wish_to_send(id);
    }

    /// The reply to an AUTH on a connection in use.
    pub(super) fn on_reauthentication_reply(
        &mut self,
        id: ConnectionId,
        reply: &[u8],
        now: Moment,
    ) {
        let error = protocol::server_error(reply);
        let error = error.map(|error| error_map::handshake_error(&error));
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let Some(running) = &mut connection.reauthentication else {
            return;
        };
        match error {
            None => self.end_reauthentication(id, true, now),
            Some(error) if error.kind() == ErrorKind::WrongPass && !running.rejected => {
                running.rejected = true;
                let request = self.request_password(PasswordFor::Reauthentication(id), true);
                let connection = self.connections.get_mut(&id);
                if let Some(running) = connection.and_then(|c| c.reauthentication.as_mut()) {
                    running.request = Some(request);
                }
            }
            Some(_) => self.end_reauthentication(id, false, now),
        }
    }

    fn end_reauthentication(&mut self, id: ConnectionId, renewed: bool, now: Moment) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let Some(ended) = connection.reauthentication.take() else {
            return;
        };
        if let Some(request) = ended.request {
            self.forget_password(request);
        }
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if let Some(login) = &mut connection.login {
            match renewed {
                // From the beginning: the server counts from the moment when AUTH was sent.
                true => login.renewed(ended.begun, &mut self.random),
                false => login.failed(),
            }
        }
        self.schedule_renewal(id, now);
    }
}

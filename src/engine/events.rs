//! What a driver reports: look-ups, connects, bytes, ends of connections, passwords. After each event the limiters get their results.

use std::net::SocketAddr;

use super::connection::Expected;
use super::time::Moment;
use super::{ConnectionId, Engine, PasswordFor, PasswordRequestId, ServerId, Timer, connect};
use crate::planted::planted;
use crate::store::redis::Secret;
use crate::store::{ErrorKind, StoreError};

impl Engine {
    /// Timers that have fired by `now`.
    pub fn advance(&mut self, now: Moment) {
        while let Some(timer) = self.timers.pop(now.steady) {
            match timer {
                Timer::Link(link) => self.on_link_timer(link, now),
                Timer::Server(server) => self.on_server_timer(server, now),
                Timer::Connection(connection) => self.on_connection_timer(connection, now),
                Timer::Part(part) => self.on_part_timer(part, now),
                Timer::Query(query) => self.on_query_timer(query, now),
                Timer::Limiter(limiter) => self.on_limiter_timer(limiter, now),
                Timer::Test(test) => self.on_test_timer(test, now),
                Timer::Refresh => self.on_refresh_timer(now),
            }
            self.settle(now);
        }
    }

    /// The look-up of a server's name has ended.
    pub fn looked_up(
        &mut self,
        server: ServerId,
        result: Result<Vec<SocketAddr>, StoreError>,
        now: Moment,
    ) {
        self.on_looked_up(server, result, now);
        self.settle(now);
    }

    /// There is a TCP connection. TLS follows where it is configured.
    pub fn accepted(&mut self, connection: ConnectionId, now: Moment) {
        self.on_accepted(connection, now);
        self.settle(now);
    }

    /// Bytes can be exchanged.
    pub fn connected(&mut self, connection: ConnectionId, now: Moment) {
        self.on_connected(connection, now);
        self.settle(now);
    }

    /// There is no TCP connection to the address, or no TLS on it.
    pub fn connect_failed(&mut self, connection: ConnectionId, error: StoreError, now: Moment) {
        self.on_connect_failed(connection, error, now);
        self.settle(now);
    }

    /// What the server has answered in the other protocol: its first two bytes, if there are any.
    pub fn probed(&mut self, connection: ConnectionId, answer: Option<[u8; 2]>, now: Moment) {
        self.on_probed(connection, answer, now);
        self.settle(now);
    }

    /// The answer of the password source.
    pub fn password(
        &mut self,
        request: PasswordRequestId,
        answer: Result<Secret, StoreError>,
        now: Moment,
    ) {
        match self.password_requests.remove(&request) {
            Some(PasswordFor::Connect(link)) => {
                self.on_connect_password(link, request, answer, now);
            }
            Some(PasswordFor::Reauthentication(connection)) => {
                self.on_reauthentication_password(connection, request, answer, now);
            }
            None => {}
        }
        self.settle(now);
    }

    /// The first bytes from the server on a connection with TLS, as they came.
    pub fn heard(&mut self, id: ConnectionId, bytes: &[u8]) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.hear(bytes);
        }
    }

    /// Bytes have arrived on a connection.
    pub fn received(&mut self, id: ConnectionId, bytes: &[u8], now: Moment) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.hear(bytes);
        connection.append(bytes);
        // A TLS server shows itself by two bytes, and no reply is shorter.
        if connection.first_bytes().is_none() && self.config.tls.is_none() {
            return;
        }
        let input = connection.take_input();
        let mut read = 0;
        loop {
            let Some(connection) = self.connections.get_mut(&id) else {
                return self.settle(now);
            };
            let end = match connection.end_of_reply(&input[read..]) {
                Ok(Some(end)) => end,
                Ok(None) => break,
                Err(()) => {
                    self.broken(id, malformed(), now);
                    return self.settle(now);
                }
            };
            let reply = &input[read..read + end];
            read += end;
            let Some(expected) = connection.in_flight.pop_front() else {
                self.broken(id, malformed(), now);
                return self.settle(now);
            };
            let more = !connection.in_flight.is_empty();
            connection.health.heard(now, more);
            self.on_reply(id, expected, reply, now);
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.put_back(input, read);
        }
        if read > 0 {
            self.on_server_alive(id, now);
        }
        self.settle(now);
    }

    pub(super) fn on_reply(
        &mut self,
        id: ConnectionId,
        expected: Expected,
        reply: &[u8],
        now: Moment,
    ) {
        match expected {
            Expected::Asking => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    let refused = reply.first() == Some(&b'-');
                    connection.asking_refused = refused.then(|| reply.to_vec());
                }
            }
            Expected::Group { part, group, tag } => {
                let connection = self.connections.get_mut(&id);
                let refused = connection.and_then(|c| c.asking_refused.take());
                self.on_group_reply(id, (part, group, tag), reply, refused.as_deref(), now);
            }
            // PONG, or an error that says no more than that the user may not send PING.
            Expected::Ping
                if reply.starts_with(b"+")
                    || reply.starts_with(b"-NOPERM")
                    || planted!(OutOfStepUnnoticed) =>
            {
                self.close_if_drained(id);
            }
            // Another error, of a server that cannot be used over this connection; or the reply to another command.
            Expected::Ping => self.out_of_step(id, now),
            Expected::Handshake | Expected::Reauthentication
                if !matches!(reply.first(), Some(b'+' | b'-')) =>
            {
                self.out_of_step(id, now);
            }
            Expected::Handshake => self.on_handshake_reply(id, reply, now),
            Expected::Reauthentication => self.on_reauthentication_reply(id, reply, now),
            Expected::Query(query) => self.on_query_reply(id, query, reply, now),
            Expected::Test(test) => self.on_test_reply(id, test, reply, now),
        }
    }

    /// A connection has ended. `error`: why, if it was not closed by the server in good order.
    pub fn closed(&mut self, id: ConnectionId, error: Option<StoreError>, now: Moment) {
        let error = error
            .unwrap_or_else(|| StoreError::new(ErrorKind::Disconnected, "the connection broke"));
        self.broken(id, error, now);
        self.settle(now);
    }

    /// The replies on a connection do not match its requests.
    pub(super) fn out_of_step(&mut self, id: ConnectionId, now: Moment) {
        self.broken(id, malformed(), now);
    }

    /// A connection is of no use any more, because of `error`.
    pub(super) fn broken(&mut self, id: ConnectionId, error: StoreError, now: Moment) {
        if let Some(link) = self.attempt_of(id) {
            let error = match error.kind() {
                ErrorKind::Tls => error,
                ErrorKind::Protocol => connect_malformed(),
                _ => connect::closed(),
            };
            return self.attempt_closed(link, id, error, now);
        }
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let in_flight = std::mem::take(&mut connection.in_flight);
        let protocol = error.kind() == ErrorKind::Protocol;
        // Also after an error of TLS: what is in flight may have been executed.
        let broke = || StoreError::new(ErrorKind::Disconnected, "the connection broke");
        let error = if protocol { error } else { broke() };
        if let Some(link) = self.link_of(id) {
            let closed =
                || StoreError::new(ErrorKind::Disconnected, "the server closed the connection");
            let error = if protocol { error.clone() } else { closed() };
            self.on_link_closed(link, id, error, now);
        }
        self.close_connection(id);
        for expected in in_flight {
            match expected {
                Expected::Group { .. } if planted!(LostWithConnection) => {}
                Expected::Group { part, .. } if planted!(ResendAfterLoss) => {
                    self.send_again(part, now)
                }
                Expected::Group { part, .. } => self.fail_part(part, error.clone(), now),
                Expected::Query(query) => self.on_slots(query, Err(error.clone()), now),
                Expected::Test(test) => self.fail_test(test, error.clone(), now),
                Expected::Asking
                | Expected::Ping
                | Expected::Handshake
                | Expected::Reauthentication => {}
            }
        }
    }
}

fn malformed() -> StoreError {
    StoreError::new(ErrorKind::Protocol, "the reply is not Redis protocol")
}

fn connect_malformed() -> StoreError {
    let message = "the server refused to set up the connection";
    StoreError::new(ErrorKind::Protocol, message)
}

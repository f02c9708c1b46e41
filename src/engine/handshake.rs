//! The handshake of a new connection: TLS, then AUTH and SELECT, or a PING.
//!
//! A server and a client of different protocols are silent to each other. Redis takes the beginning of a TLS handshake for a
//! line that has not ended; ElastiCache's TLS port waits for more of what it takes for a handshake. So a server that no
//! connection has ever succeeded to and that stays silent is asked in the other protocol, on a connection of its own and
//! without a secret: an answer is proof, and silence means that it hangs.

use super::connect::Step;
use super::connection::Expected;
use super::login::Login;
use super::time::Moment;
use super::{ConnectionId, Engine, LinkId, Wish};
use crate::planted::planted;
use crate::store::budget::Budget;
use crate::store::redis::{Credentials, Secret, error_map, protocol};
use crate::store::{ErrorKind, StoreError};

/// A command of the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    /// None has been sent: TLS comes first.
    None,
    Auth,
    Select,
    Ping,
}

impl Engine {
    /// There is a TCP connection. TLS follows where it is configured.
    pub(super) fn on_accepted(&mut self, connection: ConnectionId, now: Moment) {
        let Some(id) = self.attempt_of(connection) else {
            return;
        };
        let Some(known) = self.connections.get_mut(&connection) else {
            return;
        };
        known.accepted = true;
        let address = known.address;
        let Some(server) = self.servers.get_mut(&id.server) else {
            return;
        };
        // Until it answers: if it never does, this attempt ends with its budget, without another event.
        server.addresses.mark_bad(address);
        let half = Budget::new(server.config.connect_timeout / 2, now.steady);
        let half = (!server.protocol_confirmed).then_some(half);
        if let Some(attempt) = &mut server.links[id.at].attempt {
            attempt.step = Step::HandShake(connection, Command::None);
            attempt.half = half;
        }
    }

    /// Bytes can be exchanged: the commands of the handshake follow. At least one reply is awaited, so that a server that never
    /// replies, or speaks TLS, is found within the budget of a connect, and not by one check after another.
    pub(super) fn on_connected(&mut self, connection: ConnectionId, now: Moment) {
        if let Some(id) = self.attempt_of(connection) {
            self.next_command(id, connection, Command::None, now);
        }
    }

    pub(super) fn next_command(
        &mut self,
        id: LinkId,
        connection: ConnectionId,
        last: Command,
        now: Moment,
    ) {
        let password = self.attempt_mut(id).and_then(|a| a.password.clone());
        let Some(known) = self.connections.get_mut(&connection) else {
            return;
        };
        let username = self.config.username.as_deref();
        let logs_in = password.is_some() || username.is_some();
        let next = match last {
            Command::None if logs_in => Command::Auth,
            Command::None | Command::Auth if self.config.database != 0 => Command::Select,
            Command::None => Command::Ping,
            _ => return self.hand_over(id, connection, now),
        };
        match next {
            Command::Auth => write_auth(&mut known.out, username, password.as_ref()),
            Command::Select => {
                let database = self.config.database.to_string();
                protocol::command(&mut known.out, &[b"SELECT", database.as_bytes()]);
            }
            _ => protocol::command(&mut known.out, &[b"PING"]),
        }
        known.in_flight.push_back(Expected::Handshake);
        self.wish_to_send(connection);
        if let Some(attempt) = self.attempt_mut(id) {
            attempt.step = Step::HandShake(connection, next);
        }
    }

    /// The reply to a command of the handshake.
    pub(super) fn on_handshake_reply(
        &mut self,
        connection: ConnectionId,
        reply: &[u8],
        now: Moment,
    ) {
        let Some(id) = self.attempt_of(connection) else {
            return;
        };
        let Some(attempt) = self.attempt_mut(id) else {
            return;
        };
        let Step::HandShake(_, command) = attempt.step else {
            return;
        };
        let error = match protocol::server_error(reply) {
            None => None,
            Some(error) if command == Command::Select => {
                Some(error_map::select_error(&error, self.config.database))
            }
            Some(error) => Some(error_map::handshake_error(&error)),
        };
        match error {
            // Users with few rights get a reply, too.
            Some(error) if command == Command::Ping && error.kind() == ErrorKind::NoPerm => {
                self.next_command(id, connection, command, now);
            }
            None => self.next_command(id, connection, command, now),
            Some(error) => self.handshake_failed(id, connection, error, now),
        }
    }

    /// The handshake has failed: with the reply `error`, or since the connection has ended.
    pub(super) fn handshake_failed(
        &mut self,
        id: LinkId,
        connection: ConnectionId,
        error: StoreError,
        now: Moment,
    ) {
        let known = self.connections.get(&connection);
        let address = known.map(|known| known.address);
        let speaks_tls = known.is_some_and(|k| k.first_bytes().is_some_and(is_tls));
        self.close_connection(connection);
        let Some(server) = self.servers.get_mut(&id.server) else {
            return;
        };
        if error.came_from_server()
            && let Some(address) = address
        {
            server.addresses.mark_good(address);
        }
        if self.config.tls.is_none() && speaks_tls {
            return self.attempt_failed(id, tls_server(), now);
        }
        if error.kind() != ErrorKind::WrongPass {
            return self.attempt_failed(id, error, now);
        }
        match &self.config.credentials {
            Credentials::Source(_) => {
                let Some(attempt) = self.attempt_mut(id) else {
                    return;
                };
                // The first password may have been rotated before AUTH, or come from a cache.
                if attempt.tried > 1 {
                    return self.attempt_failed(id, error, now);
                }
                self.ask_for_password(id, true);
            }
            Credentials::Passwords(list) => {
                let tried = self
                    .link(id)
                    .and_then(|l| l.attempt.as_ref())
                    .map(|a| a.tried);
                let next = tried.and_then(|tried| list.get(tried)).cloned();
                let next = next.filter(|_| !planted!(OnePassword));
                match next {
                    Some(next) => self.try_password(id, Some(next), now),
                    None => self.attempt_failed(id, error, now),
                }
            }
        }
    }

    /// The handshake is complete.
    pub(super) fn hand_over(&mut self, id: LinkId, connection: ConnectionId, now: Moment) {
        let Some(server) = self.servers.get_mut(&id.server) else {
            return;
        };
        server.protocol_confirmed = true;
        let Some(attempt) = server.links[id.at].attempt.take() else {
            return;
        };
        let life = server.config.login_life;
        if let Some(known) = self.connections.get_mut(&connection) {
            server.addresses.mark_good(known.address);
            known.health.connected(attempt.begun, now);
            if matches!(self.config.credentials, Credentials::Source(_)) {
                // From the beginning: the server counts from the moment when AUTH was sent.
                known.login = Some(Login::new(life, attempt.begun, &mut self.random));
            }
        }
        self.on_attempt_succeeded(id, attempt.purpose, connection, now);
    }

    /// The connection of an attempt has ended.
    pub(super) fn attempt_closed(
        &mut self,
        id: LinkId,
        connection: ConnectionId,
        error: StoreError,
        now: Moment,
    ) {
        let silent = self.is_silent(connection);
        let Some(attempt) = self.attempt_mut(id) else {
            return;
        };
        if attempt.half.is_some() && silent && error.kind() == ErrorKind::Disconnected {
            // The server may have closed the connection because of the protocol.
            let asked = attempt.asking.is_some();
            attempt.asking = Some(Some(error));
            if !asked {
                self.ask_in_other_protocol(id, connection);
            }
            return;
        }
        self.handshake_failed(id, connection, error, now);
    }

    pub(super) fn ask_in_other_protocol(&mut self, id: LinkId, connection: ConnectionId) {
        let address = self.connections.get(&connection).map(|c| c.address);
        let host = self.servers.get(&id.server).map(|s| s.config.host.clone());
        if let (Some(address), Some(host)) = (address, host) {
            self.wishes.push_back(Wish::ProbeProtocol {
                connection,
                address,
                host,
            });
        }
    }

    /// What the server has answered in the other protocol: its first two bytes, if there are any.
    pub(super) fn on_probed(
        &mut self,
        connection: ConnectionId,
        answer: Option<[u8; 2]>,
        now: Moment,
    ) {
        let Some(id) = self.attempt_of(connection) else {
            return;
        };
        let plain = self.config.tls.is_some();
        let mismatch = match answer {
            // PONG, or an error.
            Some([b'+' | b'-', _]) if plain => Some(plain_server()),
            Some(first) if !plain && is_tls(first) => Some(tls_server()),
            _ => None,
        };
        let silent = self.is_silent(connection);
        let Some(attempt) = self.attempt_mut(id) else {
            return;
        };
        let ended = attempt.asking.take().flatten();
        attempt.half = None;
        match (mismatch.filter(|_| silent), ended) {
            (Some(error), _) => {
                self.close_connection(connection);
                self.attempt_failed(id, error, now);
            }
            (None, Some(error)) => self.handshake_failed(id, connection, error, now),
            (None, None) => {}
        }
    }
}

/// Appends AUTH. A user that needs no password (`nopass`) takes an empty one.
pub(super) fn write_auth(out: &mut Vec<u8>, username: Option<&str>, password: Option<&Secret>) {
    let password = password.map_or("", Secret::expose).as_bytes();
    match username {
        Some(username) => protocol::command(out, &[b"AUTH", username.as_bytes(), password]),
        None => protocol::command(out, &[b"AUTH", password]),
    }
}

/// Whether a TLS record begins so: an alert or a handshake, of a version 3 (RFC 8446, 5.1). A reply of Redis never does.
fn is_tls(first: [u8; 2]) -> bool {
    matches!(first, [0x15 | 0x16, 0x03])
}

fn plain_server() -> StoreError {
    let message = "TLS handshake failed: the server speaks plain Redis on this port; turn its encryption on, or use \
                   redis:// and no tls";
    StoreError::new(ErrorKind::Tls, message)
}

fn tls_server() -> StoreError {
    let message = "the server speaks TLS on this port, and was spoken to in plain text; use rediss://, or set tls \
                   (ELASTICACHE_REDIS_TLS=true)";
    StoreError::new(ErrorKind::Tls, message)
}

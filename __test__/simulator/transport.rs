//! Bytes and ends of connections on their way between engines and servers.

use huntaze_rate_limit::store::{ErrorKind, StoreError};

use super::network::{Link, NEVER, Socket, State, Stream};
use super::plan::{MS, SECOND};
use super::server::{Client, Done, Micros, NodeId};
use super::world::{Event, Replaying, World, shown};

/// The server's own time for a command.
const SERVICE: Micros = 15;

impl World {
    /// When something that is sent now arrives; [`NEVER`] for a link that is cut for ever.
    pub(super) fn delay(&mut self, process: usize, node: NodeId, to_engine: bool) -> Micros {
        let Link { hole, slow } = self.links[process][node];
        let begins = self.now.max(hole[usize::from(to_engine)]);
        if begins == NEVER {
            return NEVER;
        }
        let (least, most) = self.plan.latency;
        let extra = if self.now < slow.0 { slow.1 } else { 0 };
        begins + self.random.u64(least..=most) + extra
    }

    /// A SYN has come to the server.
    pub(super) fn connect(&mut self, socket: usize) {
        let Socket { engine, node, .. } = self.sockets[socket];
        let process = self.engines[engine].process;
        let server = &self.servers.nodes[node];
        if !server.up && self.silent[node] {
            return;
        }
        let refused = !server.up;
        if !refused {
            let mut client = Client::default();
            if self.now < server.conditions.max_clients {
                client.closes = true;
            }
            self.sockets[socket].client = Some(client);
        }
        let reached = self.delay(process, node, true);
        self.sockets[socket].to_engine.last = reached;
        self.schedule(reached, Event::Connected { socket, refused });
        if self.sockets[socket]
            .client
            .as_ref()
            .is_some_and(|client| client.closes)
        {
            self.send(socket, false, b"-ERR max number of clients reached\r\n");
            self.hang_up(socket, false);
        }
    }

    pub(super) fn connected(&mut self, socket: usize, refused: bool) {
        let Socket {
            engine,
            connection,
            ref mut state,
            ..
        } = self.sockets[socket];
        if *state != State::Connecting {
            return;
        }
        *state = if refused { State::Closed } else { State::Open };
        self.note(|| {
            format!(
                "connection {socket} of engine {engine}: {}",
                if refused { "refused" } else { "open" }
            )
        });
        if refused {
            let error = StoreError::new(ErrorKind::Refused, "no server listens there");
            self.with_engine(engine, |product, now| {
                product.connect_failed(connection, error, now)
            });
        } else {
            self.with_engine(engine, |product, now| product.accepted(connection, now));
            self.with_engine(engine, |product, now| product.connected(connection, now));
        }
    }

    /// Sends bytes over a connection, in one piece or several.
    pub(super) fn send(&mut self, socket: usize, to_server: bool, bytes: &[u8]) {
        let Socket {
            engine,
            node,
            to_server: ref mut up,
            ref mut to_engine,
            ..
        } = self.sockets[socket];
        let stream: &mut Stream = if to_server { up } else { to_engine };
        let mut length = bytes.len();
        let cut = stream.cut.is_some_and(|left| left <= length);
        if let Some(left) = &mut stream.cut {
            length = length.min(*left);
            *left -= length;
        }
        stream.bytes.extend(&bytes[..length]);
        stream.sent += length as u64;
        let process = self.engines[engine].process;
        let mut left = length;
        while left > 0 {
            let piece = match self.plan.slicing {
                true if left > 1 && self.random.u8(..3) > 0 => self.random.usize(1..left.min(40)),
                _ => left,
            };
            left -= piece;
            let arrives = self.delay(process, node, !to_server);
            let socket_state = &mut self.sockets[socket];
            let stream = if to_server {
                &mut socket_state.to_server
            } else {
                &mut socket_state.to_engine
            };
            stream.last = stream.last.max(arrives);
            stream.pieces.push_back((piece, self.now));
            let at = stream.last;
            if socket_state.dead {
                continue;
            }
            let event = if to_server {
                Event::ToServer { socket }
            } else {
                Event::ToEngine { socket }
            };
            self.schedule(at, event);
        }
        if cut {
            self.note(|| format!("connection {socket} is reset"));
            self.hang_up(socket, true);
            self.sockets[socket].client = None;
        }
    }

    /// The server closes its end. The engine notices that after the bytes on their way.
    pub fn hang_up(&mut self, socket: usize, reset: bool) {
        let at = self.sockets[socket].to_engine.last.max(self.now);
        if !self.sockets[socket].dead {
            self.schedule(at, Event::EngineHears { socket, reset });
        }
    }

    /// The engine is gone: so is its end.
    pub fn abandon(&mut self, socket: usize) {
        self.sockets[socket].state = State::Closed;
        self.sockets[socket].client = None;
    }

    pub(super) fn deliver_to_server(&mut self, socket: usize) {
        let Socket {
            engine, node, dead, ..
        } = self.sockets[socket];
        if dead {
            return;
        }
        let Socket {
            ref mut to_server,
            ref mut client,
            ..
        } = self.sockets[socket];
        let mut lost = Vec::new();
        match client {
            Some(client) => {
                if let Some(sent) = to_server.take(&mut client.input) {
                    client.sent = sent;
                }
            }
            None => drop(to_server.take(&mut lost)),
        }
        if self.sockets[socket].client.is_none() {
            // There is no such connection: the answer is a reset.
            if !self.silent[node] {
                let process = self.engines[engine].process;
                let at = self.delay(process, node, true);
                self.schedule(
                    at,
                    Event::EngineHears {
                        socket,
                        reset: true,
                    },
                );
            }
            return;
        }
        let paused = self.servers.nodes[node].conditions.paused;
        if self.now < paused {
            if self.sockets[socket].resumes != paused {
                self.sockets[socket].resumes = paused;
                self.schedule(paused, Event::Resume { socket });
            }
            return;
        }
        self.serve(socket);
    }

    /// The server executes the commands that have arrived.
    pub(super) fn serve(&mut self, socket: usize) {
        let Socket {
            engine,
            node,
            ref mut client,
            ..
        } = self.sockets[socket];
        let Some(mut client) = client.take() else {
            return;
        };
        let mut output = std::mem::take(&mut self.output);
        output.clear();
        let garbles = client.tamper.is_some();
        let at = self.now + SERVICE;
        self.servers
            .serve(node, &mut client, at, &mut output, &mut self.effects);
        let logged_in = client.logged_in;
        let (closes, tampered) = (client.closes, garbles && client.tamper.is_none());
        self.sockets[socket].client = Some(client);
        self.sockets[socket].tampered |= tampered;
        if let (Some(trace), Some(lines)) = (&self.trace, &mut self.effects.trace) {
            let ms = self.now as f64 / 1000.0;
            trace.borrow_mut().extend(
                lines
                    .drain(..)
                    .map(|line| format!("{ms:>12.3} ms  {line} (on {socket})")),
            );
        }
        if let Some(violation) = self.effects.violation.take() {
            self.checker.fail("protocol", self.now, || violation);
        }
        if let Some(life) = self.plan.login_life
            && logged_in == at
        {
            self.schedule(at + life, Event::LoginEnds { socket, since: at });
        }
        let reply_ends = self.sockets[socket].to_engine.sent + output.len() as u64;
        let process = self.engines[engine].process;
        let mut records = std::mem::take(&mut self.effects.records);
        for record in records.drain(..) {
            let reserved = self.servers.keys[record.key as usize].reserved;
            if let Done::Entered(replayed) = &record.done {
                let stood = self.processes[process].stood;
                if replayed.reset.is_some() {
                    self.checker.was_reset(record.key, record.at, engine);
                }
                self.checker.replayed(
                    record.key,
                    process,
                    &replayed.ages,
                    record.at,
                    record.sent,
                    stood,
                );
                if !self.sockets[socket].tampered && !replayed.ages.is_empty() {
                    self.replays.push(Replaying {
                        socket,
                        reply_ends,
                        key: record.key,
                        process,
                        admissions: (replayed.ages.len() as u64, replayed.ages[0]),
                        sent: record.sent,
                    });
                }
            } else if matches!(record.done, Done::NotEntered) {
                self.processes[process].disturbed = self.now;
            }
            self.checker.executed(record, engine, reserved);
        }
        self.effects.records = records;
        if !output.is_empty() {
            self.send(socket, false, &output);
        }
        self.output = output;
        if closes {
            self.hang_up(socket, false);
            self.sockets[socket].client = None;
        }
    }

    pub(super) fn deliver_to_engine(&mut self, socket: usize) {
        let Socket {
            engine,
            connection,
            state,
            dead,
            ref mut to_engine,
            ..
        } = self.sockets[socket];
        if dead {
            return;
        }
        let mut bytes = std::mem::take(&mut self.output);
        bytes.clear();
        to_engine.take(&mut bytes);
        let arrived = to_engine.arrived;
        if state == State::Open && !bytes.is_empty() {
            self.confirm(socket, arrived);
            self.note(|| format!("engine {engine} receives on {socket}: {}", shown(&bytes)));
            self.with_engine(engine, |product, now| {
                product.received(connection, &bytes, now)
            });
        }
        self.output = bytes;
    }

    /// The replies to replays that have now arrived in time.
    pub(super) fn confirm(&mut self, socket: usize, arrived: u64) {
        let now = self.now;
        let mut at = 0;
        while at < self.replays.len() {
            let Replaying {
                key,
                process,
                admissions,
                sent,
                ..
            } = self.replays[at];
            if self.replays[at].socket != socket || self.replays[at].reply_ends > arrived {
                at += 1;
                continue;
            }
            self.replays.swap_remove(at);
            // Later than this the engine may have given it up.
            let frozen = self.processes[process].thawed + 2 * SECOND > now;
            // A limiter that is closed gives up its replay in flight.
            let engine = self.sockets[socket].engine;
            let closed = (0..self.plan.limiters.len())
                .any(|limiter| self.engines[engine].is_closed(limiter));
            if now < sent + 500 * MS && !frozen && !closed {
                self.checker.confirmed(key, process, admissions, sent, now);
            }
        }
    }

    pub(super) fn engine_hears(&mut self, socket: usize, reset: bool) {
        let Socket {
            engine,
            connection,
            ref mut state,
            dead,
            ..
        } = self.sockets[socket];
        if *state == State::Closed || dead {
            return;
        }
        let connecting = *state == State::Connecting;
        *state = State::Closed;
        self.note(|| format!("engine {engine} hears that {socket} has ended, by a reset: {reset}"));
        let error = || StoreError::new(ErrorKind::Disconnected, "the connection was reset");
        self.with_engine(engine, |product, now| match connecting {
            true => product.connect_failed(connection, error(), now),
            false => product.closed(connection, reset.then(error), now),
        });
    }
}

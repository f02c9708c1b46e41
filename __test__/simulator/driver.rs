//! The driver of the engines in virtual time: their timers, their wishes and their completions.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use huntaze_rate_limit::store::redis::Secret;
use huntaze_rate_limit::store::{ErrorKind, StoreError};

use super::network::{Socket, State};
use super::product::{Completion, Engine, Moment, TestId, Wish};
use super::server::{EPOCH, Micros};
use super::world::{Event, PASSWORDS, START, World, address_of, shown};

impl World {
    /// The moment that the engines of a process see.
    pub fn moment_of_process(&self, process: usize) -> Moment {
        let process = &self.processes[process];
        let wall = (EPOCH * 1000 + self.now).saturating_add_signed(process.wall);
        Moment {
            steady: *START + Duration::from_micros(self.now - process.suspended),
            wall: wall_at(wall),
        }
    }

    pub(super) fn timer(&mut self, engine: usize, generation: u32) {
        let state = &mut self.engines[engine];
        if state.generation != generation {
            return;
        }
        state.timer = None;
        self.with_engine(engine, |engine, now| engine.advance(now));
    }

    /// Calls the engine, and then carries out its wishes.
    pub fn with_engine<T>(
        &mut self,
        engine: usize,
        call: impl FnOnce(&mut Engine, Moment) -> T,
    ) -> Option<T> {
        let now = self.moment_of_process(self.engines[engine].process);
        let state = &mut self.engines[engine];
        let process = &self.processes[state.process];
        process
            .clock
            .set(EPOCH + (self.now - process.suspended) / 1000);
        let product = state.product.as_mut()?;
        let result = call(product, now);
        self.carry_out(engine);
        Some(result)
    }

    /// Carries out the wishes of an engine and takes its completions.
    /// Begins a connection test, whose result may be there at once.
    pub(super) fn begin_test(
        &mut self,
        engine: usize,
        number: u32,
        begin: impl FnOnce(&mut Engine, Moment) -> TestId,
    ) {
        let now = self.moment_of_process(self.engines[engine].process);
        if let Some(product) = self.engines[engine].product.as_mut() {
            let test = begin(product, now);
            self.engines[engine].tests.push((test, number));
            self.carry_out(engine);
        }
    }

    pub(super) fn carry_out(&mut self, engine: usize) {
        loop {
            let Some(product) = self.engines[engine].product.as_mut() else {
                return;
            };
            let completions: Vec<_> = product.completions().collect();
            let (tested, wish) = (product.next_test_result(), product.next_wish());
            if completions.is_empty() && wish.is_none() && tested.is_none() {
                break;
            }
            if let Some((test, result)) = tested {
                super::users::tested(self, engine, test, result.err());
            }
            for (limiter, completion) in completions {
                let limiter = self.engines[engine].limiter_of(limiter);
                self.complete(engine, limiter, completion);
            }
            if let Some(wish) = wish {
                self.wish(engine, wish);
            }
        }
        self.set_timer(engine);
    }

    pub(super) fn set_timer(&mut self, engine: usize) {
        let (now, delay) = (self.now, self.plan.timer_delay);
        let suspended = self.processes[self.engines[engine].process].suspended;
        let state = &mut self.engines[engine];
        let next = state
            .product
            .as_ref()
            .and_then(|product| product.next_timer());
        let due = next.map(|at| {
            at.saturating_duration_since(*START)
                .as_nanos()
                .div_ceil(1000) as Micros
                + suspended
        });
        // A timer that is not later than it has to be is left as it is.
        if due == state.timer {
            return;
        }
        state.timer = due;
        state.generation += 1;
        let generation = state.generation;
        if let Some(due) = due {
            let late = if delay > 0 {
                self.random.u64(..delay)
            } else {
                0
            };
            self.schedule(due.max(now) + late, Event::Timer { engine, generation });
        }
    }

    pub(super) fn wish(&mut self, engine: usize, wish: Wish) {
        let process = self.engines[engine].process;
        match wish {
            Wish::LookUp { server, host, port } => {
                self.note(|| format!("engine {engine} looks up {host}:{port}"));
                let slow = self.names.slow.saturating_sub(self.now);
                let delay = self.random.u64(100..2000) + slow;
                let state = &mut self.engines[engine];
                state.lookups.push((server, host, port));
                let lookup = (state.lookups.len() - 1) as u32;
                self.schedule(self.now + delay, Event::LookedUp { engine, lookup });
            }
            Wish::Connect {
                connection,
                address,
                ..
            } => {
                let node = self
                    .servers
                    .nodes
                    .iter()
                    .position(|node| node.address == address);
                self.note(|| format!("engine {engine} connects to {address}"));
                self.connects[engine] += 1;
                let Some(node) = node else { return };
                let socket = self.sockets.len();
                self.sockets.push(Socket::new(engine, connection, node));
                self.engines[engine].sockets.push((connection, socket));
                let reached = self.delay(process, node, false);
                self.schedule(reached, Event::Connect { socket });
            }
            Wish::Send { connection } => {
                let Some(socket) = self.engines[engine].socket(connection) else {
                    return;
                };
                let Some(product) = self.engines[engine].product.as_mut() else {
                    return;
                };
                let Some(out) = product.transmit(connection) else {
                    return;
                };
                // The system may take a part only.
                let all = out.len();
                let taken = match self.plan.slicing && all > 1 && self.random.u8(..4) == 0 {
                    true => self.random.usize(1..all),
                    false => all,
                };
                let bytes: Vec<_> = out.drain(..taken).collect();
                if taken < all {
                    let at = self.now + self.random.u64(1..500);
                    self.schedule(at, Event::Writable { engine, connection });
                }
                self.note(|| format!("engine {engine} sends on {socket}: {}", shown(&bytes)));
                self.send(socket, true, &bytes);
            }
            Wish::Close { connection } => {
                let Some(socket) = self.engines[engine].socket(connection) else {
                    return;
                };
                self.note(|| format!("engine {engine} closes {socket}"));
                let Socket { node, state, .. } = &mut self.sockets[socket];
                *state = State::Closed;
                let node = *node;
                let reached = self.delay(process, node, false);
                self.schedule(reached, Event::ServerHears { socket });
            }
            Wish::Password {
                request,
                after_rejection,
            } => {
                self.note(|| format!("engine {engine} asks for the password, after a rejection: {after_rejection}"));
                let state = &mut self.engines[engine];
                state.passwords.push(request);
                let request = (state.passwords.len() - 1) as u32;
                let delay = self.random.u64(50..3000);
                self.schedule(self.now + delay, Event::Password { engine, request });
            }
            // An answer that comes all the same is ignored.
            Wish::ForgetPassword { .. } => {}
            // A server without TLS takes a client's greeting for a command that is none.
            Wish::ProbeProtocol {
                connection,
                address,
                ..
            } => {
                let node = self
                    .servers
                    .nodes
                    .iter()
                    .position(|node| node.address == address);
                let node = node.filter(|&node| self.servers.nodes[node].up);
                let answer = node.map(|_| *b"-E");
                self.note(|| format!("engine {engine} asks {address} by TLS: {answer:?}"));
                self.engines[engine].probes.push((connection, answer));
                let probe = self.engines[engine].probes.len() - 1;
                let at = self.now + self.random.u64(200..3000);
                self.schedule(at, Event::Probed { engine, probe });
            }
        }
    }

    pub(super) fn give_password(&mut self, engine: usize, request: usize) {
        let request = self.engines[engine].passwords[request];
        let secret = Secret::new(PASSWORDS[self.password]);
        self.with_engine(engine, |product, now| {
            product.password(request, Ok(secret), now)
        });
    }

    pub(super) fn looked_up(&mut self, engine: usize, lookup: usize) {
        let (server, host, port) = self.engines[engine].lookups[lookup].clone();
        let found = match host.parse::<IpAddr>() {
            Ok(ip) => Ok(vec![SocketAddr::from((ip, port))]),
            Err(_) if self.now < self.names.fails => Err(StoreError::new(
                ErrorKind::NotFound,
                "the host name does not resolve",
            )),
            Err(_) if self.plan.clustered => {
                let mut addresses: Vec<_> = (0..self.plan.shards).map(address_of).collect();
                self.random.shuffle(&mut addresses);
                Ok(addresses)
            }
            Err(_) => Ok(vec![address_of(self.names.primary)]),
        };
        self.note(|| format!("engine {engine} hears of {host}: {found:?}"));
        self.with_engine(engine, |product, now| product.looked_up(server, found, now));
    }

    pub(super) fn complete(&mut self, engine: usize, limiter: usize, completion: Completion) {
        self.note(|| format!("engine {engine}, limiter {limiter}: {completion:?}"));
        super::users::complete(self, engine, limiter, completion);
    }
}

fn wall_at(micros: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(micros)
}

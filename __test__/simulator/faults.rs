//! The faults of a plan, carried out.

use std::rc::Rc;

use super::cluster::{Migration, View};
use super::log::Log;
use super::network::State;
use super::plan::{FaultKind, MS, SECOND};
use super::server::{KeyId, Micros, NodeId};
use super::world::{Event, World};

/// A failover between the moment up to which the replica has the writes and its promotion.
#[derive(Debug, Clone)]
pub struct Takeover {
    former: NodeId,
    next: NodeId,
    since: Micros,
    data: Vec<Log>,
}

impl World {
    pub fn fault(&mut self, at: usize) {
        let fault = self.plan.faults[at];
        let until = fault.until();
        let (process, now) = (fault.process, self.now);
        let shard = fault.node % self.plan.shards;
        let node = self.servers.truth.primaries[shard];
        self.note(|| {
            format!(
                "{:?} of process {process}, node {node}, until {} ms",
                fault.kind,
                until / MS
            )
        });
        let part = |number: u8| Event::FaultPart(at as u32, number);
        let conditions = &mut self.servers.nodes[node].conditions;
        match fault.kind {
            FaultKind::Kill { silent } => {
                self.go_down(node, silent);
                self.schedule(until, part(0));
            }
            FaultKind::Failover { lag, .. } => self.begin_failover(at, shard, lag),
            FaultKind::Migrate { limiter, id, to } => self.begin_migration(at, limiter, id, to),
            FaultKind::Disagree { limiter, id } => {
                let slot = self.servers.keys[self.key_of(limiter, id) as usize].slot;
                let Some(owner) = self.servers.truth.shard_of(slot) else {
                    return;
                };
                let other = (owner + 1) % self.plan.shards;
                let server = self.servers.truth.primaries[owner];
                if owner != other
                    && self.servers.migrations.is_empty()
                    && self.takeovers.iter().all(Option::is_none)
                {
                    let wrong = self.servers.truth.with_slot(slot, other);
                    self.servers.nodes[server].view = Rc::new(wrong);
                    self.schedule(until, part(0));
                }
            }
            FaultKind::ClusterDown => {
                let nodes = self.servers.nodes.iter_mut();
                nodes.for_each(|node| node.conditions.cluster_down = until);
            }
            FaultKind::Loading => conditions.loading = until,
            FaultKind::MasterDown => conditions.master_down = until,
            FaultKind::Pause => conditions.paused = until,
            FaultKind::Busy => conditions.busy = until,
            FaultKind::FullMemory => conditions.full_memory = until,
            FaultKind::Unwritable => conditions.unwritable = until,
            FaultKind::Forbidden => conditions.forbidden = until,
            FaultKind::MaxClients => {
                conditions.max_clients = until;
                self.each_socket(process, node, |world, socket| {
                    world.drop_connection(socket, true)
                });
            }
            FaultKind::Cut { after } => {
                self.each_socket(process, node, |world, socket| {
                    world.sockets[socket].to_engine.cut = Some(after)
                });
                self.schedule(until, part(0));
            }
            FaultKind::BlackHole { up, down } => {
                let hole = &mut self.links[process][node].hole;
                for (end, cut) in hole.iter_mut().zip([up, down]) {
                    *end = if cut { until } else { *end };
                }
            }
            FaultKind::Dead => self.each_socket(process, node, |world, socket| {
                world.sockets[socket].dead = true
            }),
            FaultKind::Slow { extra } => self.links[process][node].slow = (until, extra),
            FaultKind::ScriptFlush { after } => {
                self.servers.nodes[node].forgets_after = Some(after);
            }
            FaultKind::Rotate => {
                let nodes = self.servers.nodes.iter_mut();
                nodes.for_each(|node| node.passwords = super::world::PASSWORDS.to_vec());
                self.schedule((now + until) / 2, part(0));
                self.schedule(until, part(1));
            }
            FaultKind::NameFails => self.names.fails = until,
            FaultKind::NameSlow => self.names.slow = until,
            FaultKind::Freeze { suspends } => {
                if self.processes[process].frozen_until > now {
                    return;
                }
                self.processes[process].frozen_until = until;
                self.schedule(until, part(u8::from(suspends)));
            }
            FaultKind::ServerClock { ms } => {
                self.servers.nodes[node].clock += ms;
                self.checker.forward += ms.max(0) as Micros * MS;
                self.checker.excused = now + 70 * SECOND;
            }
            FaultKind::ProcessClock { ms } => self.processes[process].wall += ms * MS as i64,
            FaultKind::Tamper(tamper) => {
                self.each_socket(process, node, |world, socket| {
                    if let Some(client) = &mut world.sockets[socket].client {
                        client.tamper = Some(tamper);
                    }
                });
                self.schedule(until, part(0));
            }
            FaultKind::Foreign { limiter, id } => {
                let key = self.key_of(limiter, id);
                let slot = self.servers.keys[key as usize].slot;
                let owner = self.servers.truth.shard_of(slot).unwrap_or(0);
                let node = self.servers.truth.primaries[owner];
                let foreign = Log::foreign();
                self.servers.nodes[node].data[key as usize] = foreign;
                self.checker.was_overwritten(key, now);
                self.schedule(until, part(0));
            }
            FaultKind::CloseIdle => self.each_socket(process, node, |world, socket| {
                world.drop_connection(socket, false)
            }),
        }
    }

    pub fn fault_part(&mut self, at: usize, part: u8) {
        let fault = self.plan.faults[at];
        let process = fault.process;
        match (fault.kind, part) {
            (FaultKind::Kill { .. }, _) => {
                let shard = fault.node % self.plan.shards;
                for node in 0..self.servers.nodes.len() {
                    if self.servers.nodes[node].shard == shard && !self.servers.nodes[node].up {
                        self.come_up(node);
                    }
                }
            }
            (FaultKind::Failover { gone, .. }, 0) => self.take_over(at, gone),
            (FaultKind::Failover { .. }, 1) => {
                if let Some(Takeover { next, .. }) = self.takeovers[at] {
                    // A later failover may be over already.
                    let shard = self.servers.nodes[next].shard;
                    let primary = self.servers.truth.primaries[shard];
                    self.note(|| format!("the name leads to node {primary}"));
                    self.names.primary = primary;
                }
            }
            (FaultKind::Failover { gone, .. }, _) => self.demote(at, gone),
            (FaultKind::Migrate { limiter, id, .. }, part) => {
                self.go_on_migrating(limiter, id, part == 1)
            }
            (FaultKind::Disagree { .. }, _) => {
                let newest = self.views.len() - 1;
                for node in 0..self.servers.nodes.len() {
                    if self.servers.truth.primaries.contains(&node) {
                        self.learn(node, newest);
                    }
                }
            }
            (FaultKind::Cut { .. }, _) => self
                .sockets
                .iter_mut()
                .for_each(|socket| socket.to_engine.cut = None),
            (FaultKind::Tamper(_), _) => {
                let clients = self
                    .sockets
                    .iter_mut()
                    .filter_map(|socket| socket.client.as_mut());
                clients.for_each(|client| client.tamper = None);
            }
            (FaultKind::Rotate, 0) => self.password = 1,
            (FaultKind::Rotate, _) => {
                let nodes = self.servers.nodes.iter_mut();
                nodes.for_each(|node| node.passwords = vec![super::world::PASSWORDS[1]]);
            }
            (FaultKind::Freeze { .. }, suspends) => {
                let state = &mut self.processes[process];
                state.stood += fault.lasts;
                if suspends == 1 {
                    state.suspended += fault.lasts;
                    self.checker.excused = self.now + 70 * SECOND;
                }
                state.thawed = self.now;
                state.frozen_until = self.now;
                self.thaw(process);
            }
            (FaultKind::Foreign { limiter, id }, _) => {
                let key = self.key_of(limiter, id);
                // Also from the data of a replica that is about to take over.
                let nodes = self.servers.nodes.iter_mut().map(|node| &mut node.data);
                let pending = self.takeovers.iter_mut().flatten();
                for data in nodes.chain(pending.map(|takeover| &mut takeover.data)) {
                    if let Some(log) = data.get_mut(key as usize).filter(|log| log.foreign) {
                        *log = Log::default();
                    }
                }
                self.checker.was_overwritten(key, self.now);
            }
            _ => {}
        }
    }

    fn key_of(&self, limiter: usize, id: usize) -> KeyId {
        (self.plan.limiters[limiter].name * self.plan.ids + id) as KeyId
    }

    fn each_socket(
        &mut self,
        process: usize,
        node: NodeId,
        mut change: impl FnMut(&mut Self, usize),
    ) {
        for socket in 0..self.sockets.len() {
            let of = &self.sockets[socket];
            if of.node == node
                && of.state != State::Closed
                && self.engines[of.engine].process == process
            {
                change(self, socket);
            }
        }
    }

    /// The server closes a connection.
    pub(super) fn drop_connection(&mut self, socket: usize, reset: bool) {
        if self.sockets[socket].client.take().is_some() {
            self.hang_up(socket, reset);
        }
    }

    fn go_down(&mut self, node: NodeId, silent: bool) {
        self.servers.nodes[node].up = false;
        self.silent[node] = silent;
        for socket in 0..self.sockets.len() {
            if self.sockets[socket].node == node && self.sockets[socket].state != State::Closed {
                if silent {
                    self.sockets[socket].dead = true;
                    self.sockets[socket].client = None;
                } else {
                    self.drop_connection(socket, true);
                }
            }
        }
    }

    fn come_up(&mut self, node: NodeId) {
        self.note(|| format!("node {node} is back"));
        let loading = self.now + self.random.u64(..50) * MS;
        self.silent[node] = false;
        let server = &mut self.servers.nodes[node];
        server.up = true;
        server.scripts = [false; 2];
        server.conditions.loading = loading;
    }

    fn begin_failover(&mut self, at: usize, shard: usize, lag: Micros) {
        let truth = Rc::clone(&self.servers.truth);
        let (former, next) = (
            truth.primaries[shard],
            truth.replicas[shard].first().copied(),
        );
        let pending = self
            .takeovers
            .iter()
            .flatten()
            .any(|takeover| takeover.former == former);
        let (Some(next), false, true) = (next, pending, self.servers.migrations.is_empty()) else {
            return;
        };
        if !self.servers.nodes[next].up || !self.servers.nodes[former].up {
            return;
        }
        let data = self.servers.nodes[former].data.clone();
        self.takeovers[at] = Some(Takeover {
            former,
            next,
            since: self.now,
            data,
        });
        self.schedule(self.now + lag, Event::FaultPart(at as u32, 0));
    }

    fn take_over(&mut self, at: usize, gone: bool) {
        let Some(Takeover {
            former, next, data, ..
        }) = self.takeovers[at].clone()
        else {
            return;
        };
        let shard = self.servers.nodes[former].shard;
        self.note(|| format!("node {next} takes over from node {former}"));
        let view = self.servers.truth.with_primary(shard, next);
        let server = &mut self.servers.nodes[next];
        let known = server.data.len();
        server.data = data;
        server.data.resize_with(known, Log::default);
        server.replica = false;
        self.compare_clocks(former, next);
        self.publish(view, &[next], &[former]);
        let follows = self.now + self.random.u64(20..400) * MS;
        self.schedule(follows, Event::FaultPart(at as u32, 1));
        self.checker.excused = self.now + 70 * SECOND;
        if gone {
            let silent = self.random.bool();
            self.go_down(former, silent);
        }
        self.schedule(
            self.now + self.plan.faults[at].lasts,
            Event::FaultPart(at as u32, 2),
        );
    }

    fn demote(&mut self, at: usize, gone: bool) {
        let Some(Takeover { former, since, .. }) = self.takeovers[at].clone() else {
            return;
        };
        if gone {
            self.come_up(former);
        }
        self.checker.losses.push((former, since, self.now));
        let view = (self.views.len() - 1) as u32;
        if self.random.bool() {
            self.servers.nodes[former].conditions.master_down =
                self.now + self.random.u64(..200) * MS;
        }
        self.learn(former, view as usize);
        self.takeovers[at] = None;
        if !self.plan.clustered && self.names.primary == former {
            self.names.primary = self.servers.truth.primaries[0];
        }
    }

    fn begin_migration(&mut self, at: usize, limiter: usize, id: usize, to: usize) {
        let slot = self.servers.keys[self.key_of(limiter, id) as usize].slot;
        let Some(from) = self.servers.truth.shard_of(slot) else {
            return;
        };
        let busy = self
            .servers
            .migrations
            .iter()
            .any(|moving| moving.slot == slot);
        if !self.plan.clustered || from == to || busy || self.takeovers.iter().any(Option::is_some)
        {
            return;
        }
        self.note(|| format!("slot {slot} begins to move from shard {from} to shard {to}"));
        self.servers.migrations.push(Migration { slot, from, to });
        let lasts = self.plan.faults[at].lasts;
        self.schedule(self.now + lasts / 2, Event::FaultPart(at as u32, 0));
        self.schedule(self.now + lasts, Event::FaultPart(at as u32, 1));
    }

    /// The keys of the slot move; and `over`: then the slot itself.
    fn go_on_migrating(&mut self, limiter: usize, id: usize, over: bool) {
        let slot = self.servers.keys[self.key_of(limiter, id) as usize].slot;
        let Some(at) = self
            .servers
            .migrations
            .iter()
            .position(|moving| moving.slot == slot)
        else {
            return;
        };
        let Migration { from, to, .. } = self.servers.migrations[at];
        let primaries = [from, to].map(|shard| self.servers.truth.primaries[shard]);
        self.compare_clocks(primaries[0], primaries[1]);
        for key in 0..self.servers.keys.len() {
            if self.servers.keys[key].slot == slot {
                let log = std::mem::take(&mut self.servers.nodes[primaries[0]].data[key]);
                if log != Log::default() {
                    self.servers.nodes[primaries[1]].data[key] = log;
                }
            }
        }
        if over {
            self.note(|| format!("slot {slot} has moved to shard {to}"));
            self.servers.migrations.remove(at);
            let view = self.servers.truth.with_slot(slot, to);
            self.publish(view, &primaries, &[]);
        }
    }

    /// Logs that move to a server whose clock is ahead see its clock step forward.
    fn compare_clocks(&mut self, from: NodeId, to: NodeId) {
        let ahead = self.servers.nodes[to].clock - self.servers.nodes[from].clock;
        self.checker.forward += ahead.max(0) as Micros * MS;
    }

    /// Some nodes know the new view at once, others by and by, and some not at all.
    fn publish(&mut self, view: View, at_once: &[NodeId], never: &[NodeId]) {
        let view = Rc::new(view);
        self.servers.truth = Rc::clone(&view);
        self.views.push(view);
        let number = (self.views.len() - 1) as u32;
        for node in 0..self.servers.nodes.len() {
            if at_once.contains(&node) {
                self.learn(node, number as usize);
            } else if !never.contains(&node) {
                let later = self.now + self.random.u64(1..400) * MS;
                self.schedule(later, Event::Learn(node, number));
            }
        }
    }
}

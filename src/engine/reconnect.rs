//! How a link gets its connection back: at once while requests wait, and in the background while the server is away, spaced by full
//! jitter. One link at a time searches for a server; a failover may move its name meanwhile.

use std::time::Duration;

use super::connect::Purpose;
use super::server::LinkState;
use super::time::{Moment, fired};
use super::{ConnectionId, Engine, LinkId, ServerId, Timer};
use crate::planted::planted;
use crate::store::redis::backoff;
use crate::store::{ErrorKind, StoreError};

/// A server that is away and that no request has asked for during this time is searched for again with the next request.
/// Longer than the breaker's longest wait between two probes.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// A connection that was used this recently is replaced before the next request.
const IN_USE: Duration = Duration::from_secs(1);

/// How often a name is looked up while its server is away. A failover moves the name, and the new primary is to decide within
/// 3 s of its promotion. Two look-ups a second and process are little to a resolver.
const LOOKUP_INTERVAL: Duration = Duration::from_millis(500);

impl Engine {
    /// Takes a connection into use whose handshake is complete.
    pub(super) fn on_attempt_succeeded(
        &mut self,
        id: LinkId,
        purpose: Purpose,
        connection: ConnectionId,
        now: Moment,
    ) {
        let Some(link) = self.link_mut(id) else {
            return;
        };
        let in_use = link.up();
        match purpose {
            Purpose::Replace(old) if in_use != Some(old) => {
                self.close_connection(connection);
                return self.renewal_failed(old, now);
            }
            Purpose::Requests { old: Some(old) } | Purpose::Replace(old) | Purpose::Follow(old) => {
                self.drain(old);
            }
            Purpose::Requests { old: None } | Purpose::Search => {}
        }
        self.install(id, connection, now);
        // An address cannot come to lead elsewhere.
        let has_name = self
            .servers
            .get(&id.server)
            .is_some_and(|s| s.literal_address().is_none());
        match purpose {
            Purpose::Search | Purpose::Follow(_)
                if has_name && self.has_refused(id.server, connection) =>
            {
                if let Some(link) = self.link_mut(id) {
                    link.following = true;
                }
                self.follow_name(id.server, now);
            }
            _ => self.end_search(id, now),
        }
        self.start_waiting(id, connection, now);
    }

    pub(super) fn install(&mut self, id: LinkId, connection: ConnectionId, now: Moment) {
        // A connection back to a server that has just refused is no reason to ask that server again.
        let refused = self.has_refused(id.server, connection);
        let Some(server) = self.servers.get_mut(&id.server) else {
            return;
        };
        if !refused {
            server.refused = None;
            server.connections_made += 1;
        }
        let link = &mut server.links[id.at];
        link.state = LinkState::Up(connection);
        let replaces = std::mem::replace(&mut link.replaces, true);
        self.stats.opened(replaces);
        if let Some(opened) = self.connections.get_mut(&connection) {
            opened.open = true;
        }
        self.schedule_renewal(connection, now);
        if !refused {
            self.on_connection_made(id.server);
        }
    }

    /// Whether a connection leads to the address that has just refused.
    pub(super) fn has_refused(&self, server: ServerId, connection: ConnectionId) -> bool {
        let refused = self.servers.get(&server).and_then(|server| server.refused);
        let address = self.connections.get(&connection).map(|c| c.address);
        refused.is_some() && refused == address
    }

    /// A connect has failed.
    pub(super) fn on_attempt_failed(
        &mut self,
        id: LinkId,
        purpose: Purpose,
        error: StoreError,
        now: Moment,
    ) {
        self.stats.failed();
        if let Some(server) = self.servers.get_mut(&id.server) {
            server.refused = None;
        }
        match purpose {
            Purpose::Requests { old: Some(old) } if self.connections.contains_key(&old) => {
                self.ping(id, old, Some(error), now);
            }
            Purpose::Requests { .. } => self.go_away(id, error, now),
            Purpose::Search => {
                let Some(link) = self.link_mut(id) else {
                    return;
                };
                link.failures = link.failures.saturating_add(1);
                link.state = LinkState::Away(error.clone());
                // Connection tests: requests do not wait for a server that is away.
                let waiting = std::mem::take(&mut link.waiting);
                self.schedule_search(id, now);
                for job in waiting {
                    self.fail_job(job, error.clone(), now);
                }
            }
            Purpose::Follow(connection) => {
                self.end_search(id, now);
                self.lose(id, connection, error, now);
            }
            Purpose::Replace(old) => self.renewal_failed(old, now),
        }
    }

    /// One more connection has failed: from here on, the attempts are made in the background.
    pub(super) fn go_away(&mut self, id: LinkId, error: StoreError, now: Moment) {
        let Some(link) = self.link_mut(id) else {
            return;
        };
        link.failures = link.failures.saturating_add(1);
        link.state = LinkState::Away(error.clone());
        link.following = false;
        let connects = link.attempt.as_mut().map(|attempt| {
            // It was to follow the name, or to renew the login.
            attempt.purpose = Purpose::Search;
        });
        let waiting = std::mem::take(&mut link.waiting);
        let Some(server) = self.servers.get_mut(&id.server) else {
            return;
        };
        if !server.searching.contains(&id.at) {
            server.searching.push_back(id.at);
        }
        if connects.is_none() {
            self.schedule_search(id, now);
        }
        for job in waiting {
            self.fail_job(job, error.clone().unsent(), now);
        }
    }

    /// Schedules the next attempt of the link that searches for its server. Ends the search if no request wants it.
    pub(super) fn schedule_search(&mut self, id: LinkId, now: Moment) {
        let Some(link) = self.link_mut(id) else {
            return;
        };
        if !link.is_away() {
            return self.end_search(id, now);
        }
        if now.steady.saturating_duration_since(link.used) >= FORGOTTEN {
            link.state = LinkState::Down;
            return self.end_search(id, now);
        }
        let failures = link.failures;
        let first = self
            .servers
            .get(&id.server)
            .map(|s| s.searching.front() == Some(&id.at));
        if first != Some(true) {
            return;
        }
        let wait = match backoff::wait(failures, &mut self.random) {
            _ if planted!(NoReconnectDelay) => Duration::ZERO,
            wait => wait,
        };
        let at = now.steady + wait;
        if let Some(link) = self.link_mut(id) {
            link.retry_at = Some(at);
        }
        self.set_link_timer(id, at);
        self.follow_name(id.server, now);
    }

    /// The link no longer searches for its server: the next one that is away does.
    pub(super) fn end_search(&mut self, id: LinkId, now: Moment) {
        let Some(server) = self.servers.get_mut(&id.server) else {
            return;
        };
        server.links[id.at].retry_at = None;
        let was_first = server.searching.front() == Some(&id.at);
        server.searching.retain(|&at| at != id.at);
        if was_first && let Some(&at) = server.searching.front() {
            self.schedule_search(LinkId { at, ..id }, now);
        }
    }

    /// The link's connection is of no use any more, because of `error`. Requests in flight on it may still be answered.
    pub(super) fn lose(
        &mut self,
        id: LinkId,
        connection: ConnectionId,
        error: StoreError,
        now: Moment,
    ) {
        let lost = self.connections.get(&connection);
        let proven = lost.is_some_and(|lost| lost.proven);
        let address = lost.map(|lost| lost.address);
        let Some(server) = self.servers.get_mut(&id.server) else {
            return;
        };
        let link = &mut server.links[id.at];
        match &link.state {
            LinkState::Up(up) if *up == connection => {}
            LinkState::Checking {
                connection: checked,
                ..
            } if *checked == connection => {
                let refused = matches!(error.kind(), ErrorKind::ReadOnly | ErrorKind::Loading);
                server.refused = address.filter(|_| refused);
                return self.check_failed(id, now);
            }
            _ => return,
        }
        // A primary that is demoted loads the data of the other.
        let refused = matches!(error.kind(), ErrorKind::ReadOnly | ErrorKind::Loading);
        server.refused = address.filter(|_| refused);
        let followed = std::mem::take(&mut link.following);
        link.state = LinkState::Down;
        let in_use = now.steady.saturating_duration_since(link.used) < IN_USE;
        if proven {
            link.failures = 0;
        }
        self.drain(connection);
        if followed {
            self.end_search(id, now);
        }
        if !proven {
            self.go_away(id, error, now);
        } else if in_use {
            self.connect_for_requests(id, None, now);
        }
    }

    /// Has the name of a server looked up from time to time, as long as a failover may have moved it.
    pub(super) fn follow_name(&mut self, server: ServerId, now: Moment) {
        let interval = LOOKUP_INTERVAL.mul_f64(1.0 - self.random.f64() / 2.0);
        let Some(known) = self.servers.get_mut(&server) else {
            return;
        };
        if known.next_lookup.is_some() || known.literal_address().is_some() {
            return;
        }
        // From half of the interval to all of it: many processes lose a server at the same moment.
        let at = now.steady + interval;
        known.next_lookup = Some(at);
        self.timers.set(&mut known.timer, at, Timer::Server(server));
    }

    /// The timer of a server.
    pub(super) fn on_server_timer(&mut self, server: ServerId, now: Moment) {
        let Some(known) = self.servers.get_mut(&server) else {
            return;
        };
        fired(&mut known.timer, now.steady);
        let Some(due) = known.next_lookup else {
            return;
        };
        if due > now.steady {
            return self
                .timers
                .set(&mut known.timer, due, Timer::Server(server));
        }
        known.next_lookup = None;
        self.forget_followed(server, now);
        if self.servers.get(&server).is_some_and(|s| s.follows_name()) {
            self.look_up(server);
            self.follow_name(server, now);
        }
    }

    /// A connection to a server that has refused is followed only until the server decides, or no request wants it.
    pub(super) fn forget_followed(&mut self, server: ServerId, now: Moment) {
        let Some(known) = self.servers.get(&server) else {
            return;
        };
        let mut ended = Vec::new();
        for (at, link) in known.links.iter().enumerate() {
            let connection = link.up().and_then(|id| self.connections.get(&id));
            let unproven = connection.is_some_and(|connection| !connection.proven);
            let wanted = now.steady.saturating_duration_since(link.used) < FORGOTTEN;
            if link.following && !(unproven && wanted) {
                ended.push(at);
            }
        }
        for at in ended {
            let id = LinkId { server, at };
            if let Some(link) = self.link_mut(id) {
                link.following = false;
            }
            self.end_search(id, now);
        }
    }

    /// The name of a server leads elsewhere than at the last connect. `polled`: it was looked up to see that. The look-up for another
    /// connection says less: a name of several servers may resolve to another one each time.
    pub(super) fn on_name_moved(&mut self, server: ServerId, polled: bool, now: Moment) {
        let count = self.servers.get(&server).map_or(0, |s| s.links.len());
        for at in 0..count {
            let id = LinkId { server, at };
            let Some(link) = self.link_mut(id) else {
                return;
            };
            if link.attempt.is_some() {
                self.restart_attempt(id, now);
                continue;
            }
            match &link.state {
                LinkState::Checking { .. } if polled => self.check_failed(id, now),
                LinkState::Away(_) if link.retry_at.is_some() => {
                    link.retry_at = None;
                    self.begin_attempt(id, Purpose::Search, now);
                }
                &LinkState::Up(connection) if link.following => {
                    self.begin_attempt(id, Purpose::Follow(connection), now);
                }
                _ => {}
            }
        }
    }
}

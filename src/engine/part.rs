//! The part of a call for one server: sent in one round trip, answered in parts, and redirected.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::call::{Owner, Results, Work, no_route};
use super::connection::Expected;
use super::server::Job;
use super::time::{Moment, fired};
use super::{CallId, ConnectionId, Engine, PartId, ServerId, Timer};
use crate::planted::planted;
use crate::store::redis::script::{self, ScriptRef, Tag};
use crate::store::redis::{Redirect, error_map, protocol};
use crate::store::{ErrorKind, StoreError};

/// How often the source of the script is sent before the server is taken for one that keeps no script. Once is enough, unless the
/// slot of the one command that brought the source has just moved away.
const MAX_SENDS: usize = 3;

/// The shortest time between two late replies that make limiters probe.
const LATE_REPLIES: Duration = Duration::from_secs(1);

/// The most redirects of a request. A slot that has moved takes one, and one that is being migrated two. More are needed only
/// while nodes disagree, and the deadline is too short to wait until they agree.
const MAX_REDIRECTS: u32 = 8;

/// The delay after `TRYAGAIN` for a single key, which should not occur: a round trip to a distant node.
const TRYAGAIN_DELAY: Duration = Duration::from_millis(5);

/// The script calls for one server in one round trip.
pub(super) struct Part {
    call: CallId,
    server: ServerId,
    /// With ASKING, for slots that the server is importing.
    asking: bool,
    /// Of the order of the call, one script call each.
    pub(super) groups: Vec<Range<usize>>,
    redirects: u32,
    /// The connection it was sent over.
    pub(super) connection: Option<ConnectionId>,
    /// Replies that are due.
    due: usize,
    /// How often it was sent.
    sends: usize,
    /// The number of the tag of the first group.
    pub(super) tag: usize,
    /// Groups for which the server lacks the script.
    without_script: Vec<usize>,
    /// A reply says that the keys are not, or not all, with the server. Nothing of its group was executed.
    misplaced: bool,
    /// Redirects of groups.
    redirected: Vec<(Redirect, Range<usize>)>,
    answered: Answered,
    /// When it is sent, after a TRYAGAIN.
    send_at: Option<Instant>,
    timer: Option<Instant>,
}

/// The answers of a part so far.
pub(super) struct Answered {
    pub(super) indices: Vec<usize>,
    pub(super) results: Results,
}

/// What a reply to a script call says.
enum Reply {
    Results(Results),
    NoScript,
    Redirect(Redirect),
    Error(StoreError),
}

impl Engine {
    pub(super) fn insert_part(&mut self, part: Part) -> PartId {
        let id = self.new_id();
        if let Some(call) = self.calls.get_mut(&part.call) {
            call.parts.push(id);
        }
        self.parts.insert(id, part);
        id
    }

    /// Sends a part to its server, now or once there is a connection. It may fail at once: all parts of a call are inserted before
    /// the first is sent, or the call would be over before the last.
    pub(super) fn send_to_server(&mut self, id: PartId, now: Moment) {
        let Some(part) = self.parts.get_mut(&id) else {
            return;
        };
        let server = part.server;
        let Some(known) = self.servers.get_mut(&server) else {
            return self.fail_part(id, no_route(), now);
        };
        let first = known.next;
        known.next = first.wrapping_add(1);
        // Neighbours differ in their tags, so that replies that have shifted by one match no call.
        part.tag = known.next_tag;
        let tags = if planted!(TagsOverlap) {
            1
        } else {
            part.groups.len()
        };
        known.next_tag = part.tag.wrapping_add(tags);
        self.enqueue(server, first, Job::Part(id), now);
    }

    /// Appends the groups of a part to the bytes to send on `connection`.
    pub(super) fn send_part(&mut self, id: PartId, connection: ConnectionId, now: Moment) {
        let (Some(part), Some(known)) = (
            self.parts.get_mut(&id),
            self.connections.get_mut(&connection),
        ) else {
            return;
        };
        let Some(call) = self.calls.get(&part.call) else {
            return;
        };
        let without_script = std::mem::take(&mut part.without_script);
        let again = part.sends > 0;
        let groups = match again {
            false => 0..part.groups.len(),
            true => 0..without_script.len(),
        };
        let count = groups.len();
        for n in groups {
            let group = if again { without_script[n] } else { n };
            if part.asking && !planted!(SkipAsking) {
                protocol::command(&mut known.out, &[b"ASKING"]);
                known.in_flight.push_back(Expected::Asking);
            }
            // With the first of them; the server then has it for the others.
            let by = match again && n == 0 {
                true => ScriptRef::Source,
                false => ScriptRef::Sha,
            };
            let tag = Tag::of(part.tag.wrapping_add(group));
            call.encode(&mut known.out, by, tag, part.groups[group].clone());
            known.in_flight.push_back(Expected::Group {
                part: id,
                group,
                tag,
            });
        }
        part.due += count;
        if let (Owner::Limiter(limiter, batch), Work::Replays(_)) = (call.owner, &call.work)
            && !again
        {
            let groups = part.groups.iter();
            let items = groups.flat_map(|range| &call.order[range.clone()]);
            let indices = items.map(|&(_, index)| index).collect();
            self.sent_replays.push((limiter, batch, indices));
        }
        part.sends += 1;
        part.connection = Some(connection);
        known.health.sent(now);
        self.wish_to_send(connection);
    }

    /// The reply to the script call of a group. `asking_refused`: the error of the ASKING before it.
    pub(super) fn on_group_reply(
        &mut self,
        connection: ConnectionId,
        (id, group, tag): (PartId, usize, Tag),
        reply: &[u8],
        asking_refused: Option<&[u8]>,
        now: Moment,
    ) {
        let Some(part) = self.parts.get_mut(&id) else {
            // Given up. Its reply shows all the same whether replies are in step.
            return match script::is_reply_of(reply, tag) || planted!(OutOfStepUnnoticed) {
                true => self.on_late_reply(connection, now),
                false => self.out_of_step(connection, now),
            };
        };
        let Some(call) = self.calls.get(&part.call) else {
            return;
        };
        let Some(server) = self.servers.get(&part.server) else {
            return;
        };
        part.due -= 1;
        let mut out_of_step = false;
        let range = part.groups[group].clone();
        let read = match protocol::server_error(reply) {
            None => {
                let results = call.decode(reply, tag, range.clone());
                out_of_step = results.is_err();
                results.map_or_else(Reply::Error, Reply::Results)
            }
            Some(error) if error.code() == Some("NOSCRIPT") && !planted!(NoscriptFails) => {
                Reply::NoScript
            }
            Some(error) => {
                // Without ASKING, the node sends the command back to where it came from, which does not say why. Any other
                // reply is the command's own: by now the node may serve the slot.
                let refused = asking_refused.filter(|_| error.code() == Some("MOVED"));
                let error = refused.and_then(protocol::server_error).unwrap_or(error);
                match Redirect::of(&error, &server.config) {
                    Some(redirect) => Reply::Redirect(redirect),
                    None => Reply::Error(error_map::command_error(&error)),
                }
            }
        };
        match read {
            Reply::Results(results) => {
                let indices = call.order[range].iter().map(|&(_, index)| index);
                part.answered.indices.extend(indices);
                part.answered.results.append(results);
            }
            Reply::NoScript if part.sends <= MAX_SENDS => part.without_script.push(group),
            Reply::NoScript => {
                let error = no_script();
                part.answered.add_error(&call.order[range], &error);
            }
            Reply::Redirect(redirect) => {
                part.misplaced = true;
                part.redirected.push((redirect, range));
            }
            Reply::Error(error) => {
                part.misplaced |= error.kind() == ErrorKind::Cluster;
                part.answered.add_error(&call.order[range], &error);
            }
        }
        let is_complete = part.due == 0;
        if out_of_step && !planted!(TagsOverlap) {
            // Before another reply is taken for that of a later group.
            if is_complete {
                self.finish_part(id, now);
            }
            return self.out_of_step(connection, now);
        }
        if !is_complete {
            return;
        }
        if planted!(NoscriptResendsAll) && !part.without_script.is_empty() {
            part.without_script = (0..part.groups.len()).collect();
        }
        if part.without_script.is_empty() {
            self.finish_part(id, now);
        } else {
            self.send_part(id, connection, now);
        }
    }

    /// A reply that nobody waits for any more: the server is slow, and alive. Limiters that probe it are notified, once a second.
    pub(super) fn on_late_reply(&mut self, connection: ConnectionId, now: Moment) {
        let id = self.connections.get(&connection).map(|known| known.server);
        if let Some((id, server)) = id.and_then(|id| Some((id, self.servers.get_mut(&id)?))) {
            let is_new = |at| now.steady.saturating_duration_since(at) >= LATE_REPLIES;
            if server.late_reply.is_none_or(is_new) {
                server.late_reply = Some(now.steady);
                self.on_connection_made(id);
            }
        }
        self.close_if_drained(connection);
    }

    /// Nothing more comes for a part: because of `error` for what has not been answered.
    pub(super) fn fail_part(&mut self, id: PartId, error: StoreError, now: Moment) {
        let Some(part) = self.parts.get_mut(&id) else {
            return;
        };
        let Some(call) = self.calls.get(&part.call) else {
            return;
        };
        part.without_script.clear();
        part.due = 0;
        part.connection = None;
        let answered = std::mem::take(&mut part.answered.indices);
        let is_redirected = |range: &Range<usize>| {
            let mut redirected = part.redirected.iter();
            redirected.any(|(_, other)| other == range)
        };
        let groups = part.groups.iter().filter(|range| !is_redirected(range));
        let mut left = Vec::new();
        for range in groups {
            let of_group = &call.order[range.clone()];
            let known = of_group.first().is_none_or(|(_, at)| answered.contains(at));
            if !known {
                left.extend_from_slice(of_group);
            }
        }
        part.answered.indices = answered;
        part.answered.add_error(&left, &error);
        self.finish_part(id, now);
    }

    /// Hands out the results of a part, and follows its redirects.
    pub(super) fn finish_part(&mut self, id: PartId, now: Moment) {
        let Some(part) = self.parts.remove(&id) else {
            return;
        };
        let Part {
            call: call_id,
            server,
            asking,
            redirects,
            misplaced,
            redirected,
            answered,
            connection,
            ..
        } = part;
        self.judge_connection(&answered.results, connection, now);
        let Some(call) = self.calls.get_mut(&call_id) else {
            return;
        };
        call.parts.retain(|&other| other != id);
        let split = call.split;
        if !split && misplaced {
            return self.server_is_clustered(call_id, answered, now);
        }
        let mut answered = answered;
        let mut next: Vec<Part> = Vec::new();
        let mut delayed = Vec::new();
        for (redirect, range) in redirected {
            let to = match &redirect {
                _ if redirects >= MAX_REDIRECTS => None,
                Redirect::Moved(_) if planted!(RedirectForgotten) => continue,
                Redirect::TryAgain if planted!(TryAgainFails) => None,
                Redirect::Moved(address) => {
                    self.request_refresh(now);
                    Some((self.server_at(address, now), false))
                }
                Redirect::Ask(address) => Some((self.server_at(address, now), true)),
                Redirect::TryAgain => Some((server, asking)),
            };
            let Some(call) = self.calls.get(&call_id) else {
                return;
            };
            match (to, redirect) {
                (None, _) => answered.add_error(&call.order[range], &no_route()),
                (Some((to, asking)), Redirect::TryAgain) if range.len() == 1 => {
                    add(&mut delayed, call_id, to, asking, range, &call.work);
                }
                (Some((to, asking)), Redirect::TryAgain) => {
                    for one in range {
                        add(&mut next, call_id, to, asking, one..one + 1, &call.work);
                    }
                }
                (Some((to, asking)), _) => add(&mut next, call_id, to, asking, range, &call.work),
            }
        }
        if answered.results.errors(may_have_changed).is_some() {
            self.request_refresh(now);
        }
        for part in next.iter_mut().chain(&mut delayed) {
            part.redirects = redirects + 1;
        }
        let at = now.steady + TRYAGAIN_DELAY;
        for mut part in delayed {
            part.send_at = Some(at);
            let id = self.insert_part(part);
            if let Some(part) = self.parts.get_mut(&id) {
                self.timers.set(&mut part.timer, at, Timer::Part(id));
            }
        }
        let next: Vec<_> = next
            .into_iter()
            .map(|part| self.insert_part(part))
            .collect();
        self.hand_out(call_id, answered);
        for part in next {
            self.send_to_server(part, now);
        }
    }

    /// The timer of a part that waits after a TRYAGAIN.
    pub(super) fn on_part_timer(&mut self, id: PartId, now: Moment) {
        let Some(part) = self.parts.get_mut(&id) else {
            return;
        };
        fired(&mut part.timer, now.steady);
        if part.send_at.is_none_or(|at| at > now.steady) {
            return;
        }
        part.send_at = None;
        self.send_to_server(id, now);
    }

    /// A planted defect: sends a part in flight once more, over another connection.
    pub(super) fn send_again(&mut self, id: PartId, now: Moment) {
        let Some(part) = self.parts.get_mut(&id).filter(|part| part.due > 0) else {
            return;
        };
        (part.due, part.sends, part.connection) = (0, 0, None);
        part.without_script.clear();
        let (server, first) = (part.server, part.tag);
        self.enqueue(server, first, Job::Part(id), now);
    }
}

impl Part {
    pub(super) fn new(
        call: CallId,
        server: ServerId,
        results: Results,
        groups: Vec<Range<usize>>,
    ) -> Self {
        Self {
            call,
            server,
            asking: false,
            groups,
            redirects: 0,
            connection: None,
            due: 0,
            sends: 0,
            tag: 0,
            without_script: Vec::new(),
            misplaced: false,
            redirected: Vec::new(),
            answered: Answered {
                indices: Vec::new(),
                results,
            },
            send_at: None,
            timer: None,
        }
    }
}

impl Answered {
    pub(super) fn add_error(&mut self, items: &[(u16, usize)], error: &StoreError) {
        for &(_, index) in items {
            self.indices.push(index);
            self.results.push_error(error);
        }
    }
}

/// Adds a group to the part for `server`, which is created if there is none.
pub(super) fn add(
    parts: &mut Vec<Part>,
    call: CallId,
    server: ServerId,
    asking: bool,
    range: Range<usize>,
    work: &Work,
) {
    let same = |part: &&mut Part| part.server == server && part.asking == asking;
    if let Some(part) = parts.iter_mut().find(same) {
        part.groups.push(range);
        return;
    }
    let mut part = Part::new(call, server, work.no_results(), vec![range]);
    part.asking = asking;
    parts.push(part);
}

/// Whether another node may serve the slot by now.
fn may_have_changed(error: &StoreError) -> bool {
    let may_pass = matches!(
        error.kind(),
        ErrorKind::Cluster
            | ErrorKind::ClusterDown
            | ErrorKind::Timeout
            | ErrorKind::NotFound
            // Another server may have the address by now.
            | ErrorKind::Tls
    );
    may_pass || error.requires_reconnect()
}

/// A server that keeps no script.
fn no_script() -> StoreError {
    let message = "the server answers the script with an error that it should not";
    StoreError::new(ErrorKind::Protocol, message)
}

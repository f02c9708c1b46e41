//! One connection: its bytes, the commands in flight on it, and whether it is alive.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::login::Login;
use super::reauthentication::Reauthentication;
use super::time::Moment;
use super::{PartId, QueryId, ServerId, TestId};
use crate::planted::planted;
use crate::store::redis::protocol::ReplyEnd;
use crate::store::redis::script::Tag;

/// A connection without a reply for this long is checked by a PING before it is used: the server, or a firewall on the path,
/// may have closed it while this process was frozen. A PING takes a fraction of a millisecond, which is little for a process
/// that checks less than once a second.
const IDLE: Duration = Duration::from_secs(1);

/// A request that is given up after this long without any reply casts doubt on its connection: packets are lost, or the server
/// hangs. A busy Redis takes far less for anything, and the default deadline of 250 ms is longer.
const SILENCE: Duration = Duration::from_millis(200);

/// The time that a health check may take: four round trips, since the last one may have been quick, and at least this long,
/// since a server may be busy. Well below the default deadline of a check, so that there is time to reconnect.
const SHORTEST_HEALTH_CHECK: Duration = Duration::from_millis(50);
const LONGEST_HEALTH_CHECK: Duration = Duration::from_secs(1);

/// Capacity that is kept for further bytes.
const KEPT: usize = 64 * 1024;

/// What the next reply on a connection belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expected {
    /// ASKING, whose reply matters only with the next one.
    Asking,
    /// The script call of a group of a part.
    Group {
        part: PartId,
        group: usize,
        tag: Tag,
    },
    /// The PING of a health check.
    Ping,
    /// A command of the handshake.
    Handshake,
    /// AUTH on a connection in use.
    Reauthentication,
    /// CLUSTER SLOTS.
    Query(QueryId),
    /// A step of a connection test.
    Test(TestId),
}

/// A connection, from the first attempt to open it.
pub(super) struct Connection {
    pub(super) server: ServerId,
    /// The position of its link at the server.
    pub(super) link: usize,
    pub(super) address: SocketAddr,
    /// Bytes to send.
    pub(super) out: Vec<u8>,
    /// Bytes of replies that are not complete.
    input: Vec<u8>,
    reply_end: ReplyEnd,
    /// In the order in which the replies come.
    pub(super) in_flight: VecDeque<Expected>,
    pub(super) health: Health,
    /// The error of an ASKING, until the reply of the command that follows it.
    pub(super) asking_refused: Option<Vec<u8>>,
    /// There is a TCP connection.
    pub(super) accepted: bool,
    /// The first two bytes from the server, and how many have come.
    first: [u8; 2],
    heard: usize,
    /// The handshake is complete: it is counted as open.
    pub(super) open: bool,
    /// Its link no longer uses it. It is closed once nothing is in flight that anyone waits for.
    pub(super) draining: bool,
    /// The server has decided over it, or answered as a node of a cluster.
    pub(super) proven: bool,
    /// `None`: the login is valid as long as the connection.
    pub(super) login: Option<Login>,
    pub(super) reauthentication: Option<Reauthentication>,
    /// Its earliest timer.
    pub(super) timer: Option<Instant>,
    /// The driver knows that there is something to send.
    pub(super) send_wished: bool,
}

impl Connection {
    pub(super) fn new(server: ServerId, link: usize, address: SocketAddr, now: Moment) -> Self {
        Self {
            server,
            link,
            address,
            out: Vec::new(),
            input: Vec::new(),
            reply_end: ReplyEnd::default(),
            in_flight: VecDeque::new(),
            health: Health::new(now),
            asking_refused: None,
            accepted: false,
            first: [0; 2],
            heard: 0,
            open: false,
            draining: false,
            proven: false,
            login: None,
            reauthentication: None,
            timer: None,
            send_wished: false,
        }
    }

    /// Notes the first bytes from the server, below TLS where it is configured.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        for &byte in bytes.iter().take(2 - self.heard) {
            self.first[self.heard] = byte;
            self.heard += 1;
        }
    }

    /// Whether the server has accepted the connection and sent nothing.
    pub(super) fn is_silent(&self) -> bool {
        self.accepted && self.heard == 0
    }

    /// The first two bytes from the server, once both have come.
    pub(super) fn first_bytes(&self) -> Option<[u8; 2]> {
        (self.heard == 2).then_some(self.first)
    }

    /// Appends bytes from the server.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Takes the bytes from the server that have not been read.
    pub(super) fn take_input(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.input)
    }

    /// Gives back `input`, of which `read` bytes have been read.
    pub(super) fn put_back(&mut self, mut input: Vec<u8>, read: usize) {
        input.drain(..read);
        if input.is_empty() {
            input.shrink_to(KEPT);
        }
        self.input = input;
    }

    /// The length of the reply at the start of `bytes`, if it is complete.
    ///
    /// # Errors
    /// The bytes are no reply.
    pub(super) fn end_of_reply(&mut self, bytes: &[u8]) -> Result<Option<usize>, ()> {
        self.reply_end.find(bytes).map_err(|_| ())
    }

    /// Whether it must be checked before it is used.
    pub(super) fn is_stale(&self, now: Moment) -> bool {
        self.health.is_stale(now)
    }

    /// Whether its login may end soon, and no renewal has been tried: so a process finds it after a freeze.
    pub(super) fn is_over(&self, now: Moment) -> bool {
        let login = self.login.as_ref();
        login.is_some_and(|login| login.is_over(now) && !login.has_failed())
    }
}

/// When a connection was last heard, and since when a reply is due.
#[derive(Debug)]
pub(super) struct Health {
    heard: Moment,
    unanswered: Option<Instant>,
    in_doubt: bool,
    /// How long the last reply took.
    round_trip: Duration,
}

impl Health {
    fn new(now: Moment) -> Self {
        Self {
            heard: now,
            unanswered: None,
            in_doubt: false,
            round_trip: Duration::ZERO,
        }
    }

    /// The handshake of a connect that began at `begun` is complete.
    pub(super) fn connected(&mut self, begun: Moment, now: Moment) {
        self.heard(now, false);
        self.round_trip = now.steady.saturating_duration_since(begun.steady);
    }

    /// A command has been sent.
    pub(super) fn sent(&mut self, now: Moment) {
        self.unanswered.get_or_insert(now.steady);
    }

    /// A reply has arrived; `more`: others are due.
    pub(super) fn heard(&mut self, now: Moment, more: bool) {
        if let Some(since) = self.unanswered {
            self.round_trip = now.steady.saturating_duration_since(since);
        }
        self.heard = now;
        self.unanswered = more.then_some(now.steady);
        self.in_doubt = false;
    }

    /// A caller no longer waits for its reply.
    pub(super) fn given_up(&mut self, now: Moment) {
        let silent = |since: Instant| now.steady.saturating_duration_since(since) >= SILENCE;
        self.in_doubt |= self.unanswered.is_some_and(silent);
    }

    /// The time that a health check may take.
    pub(super) fn patience(&self) -> Duration {
        (self.round_trip * 4).clamp(SHORTEST_HEALTH_CHECK, LONGEST_HEALTH_CHECK)
    }

    fn is_stale(&self, now: Moment) -> bool {
        !planted!(NoHealthCheck) && (self.in_doubt || now.since(self.heard) >= IDLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn start() -> Moment {
        Moment {
            steady: Instant::now(),
            wall: std::time::SystemTime::UNIX_EPOCH + 1000 * IDLE,
        }
    }

    fn later(moment: Moment, by: Duration) -> Moment {
        Moment {
            steady: moment.steady + by,
            wall: moment.wall + by,
        }
    }

    #[test]
    fn a_connection_is_stale_after_a_second_by_either_clock() {
        let now = start();
        let health = Health::new(now);
        assert!(!health.is_stale(later(now, 999 * MS)));
        assert!(health.is_stale(later(now, 1000 * MS)));
        let suspended = Moment {
            wall: now.wall + IDLE,
            ..now
        };
        assert!(health.is_stale(suspended));
        let set_back = Moment {
            wall: now.wall - 10 * IDLE,
            ..now
        };
        assert!(!health.is_stale(set_back));
    }

    #[test]
    fn a_request_that_is_given_up_in_silence_casts_doubt_until_a_reply_arrives() {
        let now = start();
        let mut health = Health::new(now);
        health.sent(now);
        health.given_up(later(now, 199 * MS));
        assert!(!health.is_stale(later(now, 199 * MS)));
        health.given_up(later(now, 200 * MS));
        assert!(health.is_stale(later(now, 200 * MS)));
        health.heard(later(now, 300 * MS), false);
        assert!(!health.is_stale(later(now, 300 * MS)));
        // Nothing is due any more.
        health.given_up(later(now, 900 * MS));
        assert!(!health.is_stale(later(now, 900 * MS)));
    }

    #[test]
    fn the_silence_is_counted_from_the_last_reply() {
        let now = start();
        let mut health = Health::new(now);
        health.sent(now);
        health.heard(later(now, 150 * MS), true);
        health.given_up(later(now, 250 * MS));
        assert!(!health.is_stale(later(now, 250 * MS)));
        health.given_up(later(now, 350 * MS));
        assert!(health.is_stale(later(now, 350 * MS)));
    }

    #[test]
    fn a_health_check_may_take_four_round_trips() {
        let now = start();
        let mut health = Health::new(now);
        for (round_trip, patience) in [(1, 50), (30, 120), (600, 1000)] {
            health.sent(now);
            health.heard(later(now, round_trip * MS), false);
            assert_eq!(health.patience(), patience * MS);
        }
    }

    #[test]
    fn the_first_two_bytes_are_kept_whatever_the_pieces() {
        let address = ([127, 0, 0, 1], 6379).into();
        let mut connection = Connection::new(ServerId(0), 0, address, start());
        assert!(!connection.is_silent());
        connection.accepted = true;
        assert!(connection.is_silent());
        connection.hear(&[0x15]);
        assert_eq!(connection.first_bytes(), None);
        connection.hear(&[0x03, 0x01]);
        assert_eq!(connection.first_bytes(), Some([0x15, 0x03]));
        assert!(!connection.is_silent());
    }
}

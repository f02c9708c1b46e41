//! The engine, driven by hand: each event is handed to it, and its wishes are carried out as the test wants.

mod limiters;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use huntaze_rate_limit::engine::{ConnectionId, Engine, Moment, Results, Wish, Work};
use huntaze_rate_limit::store::redis::config_env::with_defaults;
use huntaze_rate_limit::store::redis::{Credentials, RedisConfig, Secret};
use huntaze_rate_limit::store::{ErrorKind, Op, Request, Scope, StoreError};

use crate::requests::{id, limit, plain_rules, scope};

struct World {
    engine: Engine,
    now: Moment,
}

fn config(host: &str, cluster: Option<bool>) -> RedisConfig {
    let mut config = with_defaults(host);
    config.cluster = cluster;
    config
}

impl World {
    fn new(host: &str, cluster: Option<bool>) -> Self {
        let now = Moment {
            steady: Instant::now(),
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000),
        };
        let rng = fastrand::Rng::with_seed(1);
        Self {
            engine: Engine::new(config(host, cluster), Arc::default(), rng, now),
            now,
        }
    }

    fn pass(&mut self, ms: u64) {
        let by = Duration::from_millis(ms);
        self.now = Moment {
            steady: self.now.steady + by,
            wall: self.now.wall + by,
        };
        self.engine.advance(self.now);
    }

    fn wishes(&mut self) -> Vec<Wish> {
        std::iter::from_fn(|| self.engine.next_wish()).collect()
    }

    fn sent(&mut self, connection: ConnectionId) -> String {
        let bytes = self
            .engine
            .transmit(connection)
            .map(std::mem::take)
            .unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn connect_wish(&mut self) -> Option<(ConnectionId, SocketAddr)> {
        self.wishes().into_iter().find_map(|w| match w {
            Wish::Connect {
                connection,
                address,
                ..
            } => Some((connection, address)),
            _ => None,
        })
    }

    /// The handshake of a connection succeeds.
    fn up(&mut self, connection: ConnectionId) {
        self.engine.accepted(connection, self.now);
        self.engine.connected(connection, self.now);
        assert!(self.sent(connection).contains("PING"));
        self.engine.received(connection, b"+PONG\r\n", self.now);
    }
}

fn hour() -> Arc<Scope> {
    Arc::new(scope("t", plain_rules(3_600_000)))
}

fn check(who: &str) -> Request {
    Request {
        op: Op::Check,
        id: id(who),
        limit: limit(5),
    }
}

fn refused() -> StoreError {
    StoreError::new(ErrorKind::Refused, "refused")
}

const READONLY: &[u8] = b"-READONLY You can't write against a read only replica.\r\n";

/// The reply to CLUSTER SLOTS: ranges of slots, and the hosts that own them.
fn slots(ranges: &[(u16, u16, &str)]) -> Vec<u8> {
    let mut reply = format!("*{}\r\n", ranges.len());
    for (first, last, host) in ranges {
        let range = format!("*3\r\n:{first}\r\n:{last}\r\n");
        let node = format!("*2\r\n${}\r\n{host}\r\n:6379\r\n", host.len());
        reply = reply + &range + &node;
    }
    reply.into()
}

#[test]
fn a_link_that_follows_a_name_and_is_refused_goes_on_searching() {
    let mut w = World::new("redis.example", Some(false));
    let (a, b): (SocketAddr, SocketAddr) =
        (([10, 0, 0, 1], 6379).into(), ([10, 0, 0, 2], 6379).into());
    let call = |w: &mut World| {
        w.engine
            .call(hour(), Work::Checks(vec![check("x")].into()), w.now)
    };
    let look_up = |w: &mut World| {
        w.wishes().into_iter().find_map(|wish| match wish {
            Wish::LookUp { server, .. } => Some(server),
            _ => None,
        })
    };
    call(&mut w);
    let server = look_up(&mut w).unwrap();
    w.engine.looked_up(server, Ok(vec![a]), w.now);
    let (c1, _) = w.connect_wish().unwrap();
    w.up(c1);
    assert!(w.sent(c1).contains("EVALSHA"));
    w.engine.received(c1, READONLY, w.now);
    // Away, unproven: the search begins within 100 ms.
    let mut server = None;
    for _ in 0..200 {
        w.pass(1);
        server = look_up(&mut w);
        if server.is_some() {
            break;
        }
    }
    w.engine.looked_up(server.unwrap(), Ok(vec![a]), w.now);
    let (c2, _) = w.connect_wish().unwrap();
    w.up(c2);
    // Followed: the name is looked up within half a second, and leads elsewhere.
    let mut server = None;
    for _ in 0..700 {
        w.pass(1);
        server = look_up(&mut w);
        if server.is_some() {
            break;
        }
    }
    let server = server.expect("the name is followed");
    w.engine.looked_up(server, Ok(vec![b]), w.now);
    let mut connect = None;
    for _ in 0..3 {
        for wish in w.wishes() {
            match wish {
                Wish::LookUp { server, .. } => w.engine.looked_up(server, Ok(vec![b]), w.now),
                Wish::Connect {
                    connection,
                    address,
                    ..
                } => connect = Some((connection, address)),
                _ => {}
            }
        }
    }
    let (c3, address) = connect.expect("it connects to the new address");
    assert_eq!(address, b);
    // Meanwhile a probe is refused on the old connection.
    call(&mut w);
    assert!(
        w.sent(c2).contains("EVALSHA"),
        "the old connection is in use"
    );
    w.engine.received(c2, READONLY, w.now);
    // And the new address takes no connection.
    w.engine.connect_failed(c3, refused(), w.now);
    w.wishes();
    // From now on everything would succeed. Does anything happen within 50 seconds of traffic?
    let mut tried = false;
    for n in 0..50_000 {
        w.pass(1);
        if n % 100 == 0 {
            call(&mut w);
        }
        for wish in w.wishes() {
            match wish {
                Wish::LookUp { server, .. } => w.engine.looked_up(server, Ok(vec![b]), w.now),
                Wish::Connect { .. } => tried = true,
                _ => {}
            }
        }
    }
    assert!(tried, "no attempt to connect in 50 s of traffic");
}

#[test]
fn a_part_that_fails_at_once_does_not_end_the_call() {
    let mut w = World::new("10.0.0.1", None);
    let halves = slots(&[(0, 8191, "10.0.0.1"), (8192, 16_383, "10.0.0.2")]);
    // One id in each half.
    let slot = |who: &str| {
        huntaze_rate_limit::store::redis::cluster::ShardMap::slot_of(&hour().name, &id(who))
    };
    let first = (0..)
        .map(|n| format!("{n}"))
        .find(|who| slot(who) < 8192)
        .unwrap();
    let second = (0..)
        .map(|n| format!("{n}"))
        .find(|who| slot(who) >= 8192)
        .unwrap();
    let both: Arc<[Request]> = vec![check(&first), check(&second)].into();
    w.engine.call(hour(), Work::Checks(both.clone()), w.now);
    let (a, _) = w.connect_wish().unwrap();
    w.up(a);
    assert!(w.sent(a).contains("SLOTS"));
    w.engine.received(a, &halves, w.now);
    let (b, _) = w.connect_wish().unwrap();
    w.up(b);
    w.sent(a);
    w.sent(b);
    // The first node goes away.
    w.engine.closed(a, None, w.now);
    let (again, _) = w.connect_wish().expect("it was in use");
    w.engine.connect_failed(again, refused(), w.now);
    w.wishes();
    while w.engine.next_results().is_some() {}
    let call = w.engine.call(hour(), Work::Checks(both), w.now);
    let sent = w.sent(b);
    let mut answered = Vec::new();
    let mut last = false;
    while let Some(results) = w.engine.next_results() {
        assert_eq!(results.call, call);
        assert!(matches!(results.results, Results::Checks(_)));
        answered.extend(results.indices);
        last |= results.is_last;
    }
    assert!(
        sent.contains("EVALSHA"),
        "the part of the other node is not sent"
    );
    assert!(!last);
}

#[test]
fn a_connection_test_outlives_a_call_that_waits_for_the_same_discovery() {
    let mut w = World::new("10.0.0.1", None);
    let call = w
        .engine
        .call(hour(), Work::Checks(vec![check("x")].into()), w.now);
    w.engine
        .test_connection(hour(), Duration::from_secs(10), w.now);
    let (a, _) = w.connect_wish().unwrap();
    w.pass(250);
    w.engine.abandon(call, w.now);
    w.pass(100);
    w.up(a);
    let sent = w.sent(a);
    assert!(
        sent.contains("SLOTS") || sent.contains("EVAL"),
        "nothing is sent for the test: {sent:?}"
    );
}

#[test]
fn a_replay_in_flight_is_abandoned_when_the_limiter_closes() {
    use huntaze_rate_limit::limiter::{
        Action, Context, Fallback, Local, OnStoreError, Output, Remote, Times,
    };
    use huntaze_rate_limit::store::redis::cluster::ShardMap;
    let rules = plain_rules(3_600_000);
    let local = Local::default();
    local.journal.answer(&local.logs, rules, 0, &check("x"));
    let (map, mut random, mut out) = (
        ShardMap::one(None),
        fastrand::Rng::with_seed(1),
        Output::default(),
    );
    let now = Instant::now();
    let mut cx = Context {
        map: &map,
        now,
        random: &mut random,
        out: &mut out,
    };
    let fallback = Fallback::new(OnStoreError::Local, rules, local.clone());
    let metrics = Arc::new(huntaze_rate_limit::metrics::Metrics::new(rules.window));
    let times: Times = Duration::from_millis(250).into();
    let mut remote = Remote::new(scope("t", rules), times, fallback, metrics, &mut cx);
    remote.advance(&mut cx);
    for _ in 0..2 {
        let Some(Action::Probe { batch, .. }) = cx.out.actions.pop() else {
            panic!("no probe")
        };
        remote.on_probed(batch, Ok(()), &mut cx);
    }
    assert!(
        matches!(cx.out.actions.pop(), Some(Action::Replay { .. })),
        "no replay"
    );
    remote.close(&mut cx);
    // What the engine does: it drops a limiter that is closed.
    let abandoned = cx
        .out
        .actions
        .iter()
        .any(|a| matches!(a, Action::Abandon { .. }));
    assert!(
        abandoned || !remote.is_closed(),
        "closed with a replay in flight, which is not abandoned"
    );
}

#[test]
fn a_connection_out_of_step_is_replaced_at_once_while_it_is_checked() {
    let mut w = World::new("10.0.0.1", Some(false));
    let call = |w: &mut World| {
        w.engine
            .call(hour(), Work::Checks(vec![check("x")].into()), w.now)
    };
    let first = call(&mut w);
    let (a, _) = w.connect_wish().unwrap();
    w.up(a);
    assert!(w.sent(a).contains("EVALSHA"));
    // The reply is lost.
    w.pass(250);
    w.engine.abandon(first, w.now);
    w.wishes();
    w.pass(1200);
    call(&mut w);
    assert!(w.sent(a).contains("PING"), "the connection is checked");
    w.wishes();
    w.engine.received(a, b"+PONG\r\n", w.now);
    let wishes = w.wishes();
    assert!(
        wishes.iter().any(|wish| matches!(wish, Wish::Close { .. })),
        "it is closed: {wishes:?}"
    );
    assert!(
        wishes
            .iter()
            .any(|wish| matches!(wish, Wish::Connect { .. })),
        "and replaced: {wishes:?}"
    );
}

#[test]
fn a_connection_test_that_has_ended_does_not_keep_the_discovery() {
    let mut w = World::new("10.0.0.1", None);
    let call = |w: &mut World| {
        w.engine
            .call(hour(), Work::Checks(vec![check("x")].into()), w.now)
    };
    let first = call(&mut w);
    w.engine
        .test_connection(hour(), Duration::from_secs(1), w.now);
    let (a, _) = w.connect_wish().unwrap();
    w.up(a);
    assert!(w.sent(a).contains("SLOTS"));
    w.pass(250);
    w.engine.abandon(first, w.now);
    for _ in 0..1500 {
        w.pass(1);
    }
    assert!(w.engine.next_test_result().is_some(), "the test has ended");
    w.wishes();
    // Calls with a deadline of 250 ms, for ten seconds. The server never replies.
    let mut asked = false;
    for _ in 0..40 {
        let id = call(&mut w);
        for _ in 0..250 {
            w.pass(1);
        }
        w.engine.abandon(id, w.now);
        let sent = w.sent(a);
        asked |= sent.contains("PING") || sent.contains("SLOTS");
        asked |= w
            .wishes()
            .iter()
            .any(|wish| matches!(wish, Wish::Connect { .. }));
    }
    assert!(asked, "the connection is neither checked nor asked again");
}

#[test]
fn a_known_cluster_is_not_dropped_for_a_call_sent_before() {
    let mut config = config("10.0.0.1", None);
    config.connections = 2;
    let now = Moment {
        steady: Instant::now(),
        wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000),
    };
    let engine = Engine::new(config, Arc::default(), fastrand::Rng::with_seed(1), now);
    let mut w = World { engine, now };
    let call = |w: &mut World| {
        w.engine
            .call(hour(), Work::Checks(vec![check("x")].into()), w.now)
    };
    call(&mut w);
    let (a, _) = w.connect_wish().unwrap();
    w.up(a);
    assert!(w.sent(a).contains("SLOTS"));
    w.engine.received(
        a,
        b"-ERR This instance has cluster support disabled\r\n",
        w.now,
    );
    let mut b = None;
    for _ in 0..3 {
        call(&mut w);
        b = b.or_else(|| w.connect_wish());
    }
    let (b, _) = b.expect("a second connection");
    w.up(b);
    call(&mut w);
    call(&mut w);
    let (on_a, on_b) = (
        w.sent(a).matches("EVALSHA").count(),
        w.sent(b).matches("EVALSHA").count(),
    );
    assert!(on_a > 0 && on_b > 0, "calls on both: {on_a}, {on_b}");
    // One is redirected, and the cluster is found.
    let moved = b"-MOVED 1 10.0.0.1:6379\r\n";
    w.engine.received(a, moved, w.now);
    let slots = b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$8\r\n10.0.0.1\r\n:6379\r\n";
    let (sa, _) = (w.sent(a), w.sent(b));
    let asked = if sa.contains("SLOTS") { a } else { b };
    assert_eq!(
        asked, a,
        "the query and the late call are on different connections"
    );
    // The other calls on a are redirected, too, until the reply to the query.
    for _ in 1..on_a {
        w.engine.received(a, moved, w.now);
    }
    w.sent(b);
    w.engine.received(a, slots, w.now);
    w.sent(a);
    w.wishes();
    // The late one.
    w.engine.received(b, moved, w.now);
    let (sa, sb) = (w.sent(a), w.sent(b));
    assert!(
        !sa.contains("SLOTS") && !sb.contains("SLOTS"),
        "it is asked again what it is"
    );
}

#[test]
fn the_next_password_does_not_wait_for_a_probe_over_the_connection_before() {
    let mut w = World::new("10.0.0.1", Some(false));
    let passwords = ["one", "two"].map(Secret::new);
    let config = RedisConfig {
        credentials: Credentials::Passwords(passwords.into()),
        ..config("10.0.0.1", Some(false))
    };
    w.engine = Engine::new(config, Arc::default(), fastrand::Rng::with_seed(1), w.now);
    w.engine
        .call(hour(), Work::Checks(vec![check("x")].into()), w.now);
    let (first, _) = w.connect_wish().unwrap();
    w.engine.accepted(first, w.now);
    w.engine.connected(first, w.now);
    // It is silent, and probed for the other protocol. Then it rejects the password.
    let probes = |w: &mut World, of: ConnectionId| {
        let is_probe = |wish: &Wish| matches!(wish, Wish::ProbeProtocol { connection, .. } if *connection == of);
        w.wishes().iter().any(is_probe)
    };
    w.sent(first);
    assert!((0..40).any(|_| {
        w.pass(25);
        probes(&mut w, first)
    }));
    let rejection = b"-WRONGPASS invalid username-password pair\r\n";
    w.engine.received(first, rejection, w.now);
    let (second, _) = w.connect_wish().unwrap();
    w.engine.accepted(second, w.now);
    w.engine.connected(second, w.now);
    w.engine.closed(second, None, w.now);
    assert!(probes(&mut w, second));
}

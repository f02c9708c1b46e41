//! What an engine hands to its limiters, and what it does for them.

use std::sync::Arc;
use std::time::Duration;

use huntaze_rate_limit::engine::{LimiterId, Work};
use huntaze_rate_limit::limiter::{
    Completion, Fallback, Local, OnStoreError, RequestId, StoreChange,
};
use huntaze_rate_limit::metrics::Metrics;
use huntaze_rate_limit::store::redis::cluster::ShardMap;
use huntaze_rate_limit::store::{ErrorKind, Scope};

use super::{World, check, hour, refused, slots};

impl World {
    /// A limiter with a deadline of 250 ms.
    fn open(&mut self, policy: OnStoreError, local: &Local) -> (LimiterId, Arc<Metrics>) {
        let scope = Scope::clone(&hour());
        let fallback = Fallback::new(policy, scope.rules, local.clone());
        let metrics = Arc::new(Metrics::new(scope.rules.window));
        let times = Duration::from_millis(250).into();
        let shared = Arc::clone(&metrics);
        let id = self.engine.open(scope, times, fallback, shared, self.now);
        (id, metrics)
    }

    /// Submits a check that is not answered in the call.
    fn submit(&mut self, id: LimiterId, who: &str) {
        let request_id = RequestId::default();
        let answer = self.engine.submit(id, check(who), request_id, self.now);
        assert!(answer.is_none());
    }

    fn completions(&mut self) -> Vec<Completion> {
        self.engine.completions().map(|(_, each)| each).collect()
    }
}

/// What a limiter that is closed has to finish keeps it, and the engine busy, and no longer than that.
#[test]
fn a_closed_limiter_is_dropped_after_its_last_answer() {
    let mut w = World::new("10.0.0.1", Some(false));
    let (id, metrics) = w.open(OnStoreError::Throw, &Local::default());
    w.submit(id, "x");
    let (a, _) = w.connect_wish().unwrap();
    w.up(a);
    w.engine.close(id, w.now);
    assert!(w.engine.is_busy());
    assert_eq!(w.engine.next_closed_limiter(), None);
    w.engine.received(a, b"-OOM command not allowed\r\n", w.now);
    let completions = w.completions();
    assert!(
        matches!(&completions[..], [Completion::Failed { error, .. }] if error.kind() == ErrorKind::Oom),
        "{completions:?}"
    );
    assert!(!w.engine.is_busy());
    assert_eq!(w.engine.next_closed_limiter(), Some(id));
    assert_eq!(Arc::strong_count(&metrics), 1, "it is kept");
}

/// Its caller has an answer, which the store knows nothing of: a slot that it took would be taken for nothing.
#[test]
fn a_check_past_its_deadline_is_not_sent() {
    let mut w = World::new("10.0.0.1", Some(false));
    let (id, _) = w.open(OnStoreError::Throw, &Local::default());
    w.submit(id, "x");
    let (a, _) = w.connect_wish().unwrap();
    w.pass(250);
    assert_eq!(w.completions().len(), 1);
    w.up(a);
    assert_eq!(w.sent(a), "");
}

/// A connection is a sign that the store is back: the next probe does not wait for its time.
#[test]
fn a_new_connection_brings_the_next_probe_forward() {
    let mut w = World::new("10.0.0.1", Some(false));
    let (id, _) = w.open(OnStoreError::Throw, &Local::default());
    let mut away = false;
    while !away {
        w.submit(id, "x");
        while let Some((connection, _)) = w.connect_wish() {
            w.engine.connect_failed(connection, refused(), w.now);
        }
        w.pass(1);
        away = w
            .completions()
            .iter()
            .any(|each| matches!(each, Completion::StoreChanged(StoreChange::Away { .. })));
    }
    // The first probe comes after a second at the earliest.
    let mut connection = None;
    for _ in 0..900 {
        w.engine
            .call(hour(), Work::Checks(vec![check("y")].into()), w.now);
        connection = w.connect_wish();
        if connection.is_some() {
            break;
        }
        w.pass(1);
    }
    let (a, _) = connection.expect("a connect");
    w.up(a);
    let sent = w.sent(a);
    assert!(sent.contains("{t:#0}"), "no probe: {sent:?}");
}

/// Two replays of an admission may have been entered, and it is not sent again.
#[test]
fn a_replay_without_an_answer_is_sent_twice() {
    let mut w = World::new("10.0.0.1", Some(false));
    let local = Local::default();
    let (id, _) = w.open(OnStoreError::Local, &local);
    w.submit(id, "x");
    let (a, _) = w.connect_wish().unwrap();
    w.engine.connect_failed(a, refused(), w.now);
    assert!(matches!(w.completions()[..], [Completion::Decided { .. }]));
    let (mut connections, mut sent) = (Vec::new(), 0);
    for _ in 0..60_000 {
        w.pass(1);
        while let Some((connection, _)) = w.connect_wish() {
            w.up(connection);
            connections.push(connection);
        }
        for &connection in &connections {
            sent += w.sent(connection).matches("EVALSHA").count();
        }
    }
    assert_eq!(sent, 2);
    assert!(local.journal.is_empty(|_| true));
}

/// The server turns out to be a cluster. The admission belongs to its second shard, for which no check comes.
#[test]
fn limiters_are_told_of_a_new_shard_map() {
    let mut w = World::new("10.0.0.1", None);
    let (local, scope, request) = (Local::default(), hour(), check("x"));
    let slot = ShardMap::slot_of(&scope.name, &request.id);
    local
        .journal
        .answer(&local.logs, scope.rules, slot, &request);
    w.open(OnStoreError::Local, &local);
    w.pass(0);
    let (a, _) = w.connect_wish().unwrap();
    w.up(a);
    assert!(w.sent(a).contains("SLOTS"));
    let reply = slots(&[
        (0, slot - 1, "10.0.0.1"),
        (slot, slot, "10.0.0.2"),
        (slot + 1, 16_383, "10.0.0.1"),
    ]);
    w.engine.received(a, &reply, w.now);
    w.pass(0);
    let (b, address) = w.connect_wish().expect("a connection to the second shard");
    assert_eq!(address, ([10, 0, 0, 2], 6379).into());
    w.up(b);
    let sent = w.sent(b);
    assert!(sent.contains("{t:#"), "no probe: {sent:?}");
}

/// The first of several requests is sent in the caller's call. The others wait for `advance`, and leave together.
#[test]
fn later_requests_are_not_sent_in_the_callers_call() {
    let mut w = World::new("10.0.0.1", Some(false));
    let (id, _) = w.open(OnStoreError::Throw, &Local::default());
    w.submit(id, "x");
    let (a, _) = w.connect_wish().unwrap();
    w.up(a);
    assert_eq!(w.sent(a).matches("EVALSHA").count(), 1);
    w.submit(id, "y");
    w.submit(id, "z");
    assert_eq!(w.sent(a), "");
    assert!(w.engine.next_timer().is_some_and(|at| at <= w.now.steady));
    w.pass(0);
    let sent = w.sent(a);
    assert_eq!(sent.matches("EVALSHA").count(), 1);
    assert!(sent.contains("{t:y}") && sent.contains("{t:z}"), "{sent:?}");
}

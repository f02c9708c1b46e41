//! Replay: decisions made without Redis are entered into its logs, each admission at its moment.

use std::time::Duration;

use crate::redis_store::RedisStore;
use huntaze_rate_limit::quota::{Millis, Outcome};
use huntaze_rate_limit::store::{ErrorKind, Op, Replay, Request, Scope, StoreError};

use crate::store::Store;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use redis::{Commands, Connection};

use super::HOUR;
use crate::requests::{anomaly_rules, id, plain_rules, request, scope};
use crate::server::Server;

fn replay(who: &str, reset: Option<Millis>, ages: &[Millis]) -> Replay {
    Replay {
        id: id(who),
        reset,
        reported: None,
        ages: ages.to_vec(),
    }
}

async fn enter(store: &RedisStore, replays: &[Replay]) -> Vec<Result<(), StoreError>> {
    store.replay(&scope("t", plain_rules(HOUR)), replays).await
}

async fn run(store: &RedisStore, request: Request) -> Outcome {
    let results = store.run(&scope("t", plain_rules(HOUR)), &[request]).await;
    results.into_iter().next().unwrap().unwrap()
}

fn time(admin: &mut Connection) -> Millis {
    let (seconds, micros): (Millis, Millis) = redis::cmd("TIME").query(admin).unwrap();
    seconds * 1000 + micros / 1000
}

/// The log is as if the admissions had come at their own moments.
#[test]
fn each_admission_is_entered_at_its_moment() {
    let server = Server::start(&[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = server.store();
    let ages = || prop::collection::vec(0..5000_u64, 0..30);
    let tally = prop::option::of(Just("7:1753000000000:0"));
    let reset = prop::option::of(0..5000_u64);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(200));
    let history = (ages(), ages(), tally, reset);
    let holds = runner.run(&history, |(mut there, mut coming, tally, reset)| {
        let (mut admin, key) = (server.admin(), "{t:a}");
        let () = admin.del(key).unwrap();
        let before = time(&mut admin);
        there.sort_unstable_by(|a, b| b.cmp(a));
        let there: Vec<Millis> = there.iter().map(|age| before - age).collect();
        for moment in &there {
            let () = admin.lpush(key, moment).unwrap();
        }
        // A tally stands before a log only.
        let tally = tally.filter(|_| !there.is_empty());
        if let Some(tally) = tally {
            let () = admin.lpush(key, tally).unwrap();
        }
        // The journal has no admission from before the reset.
        coming.retain(|&age| reset.is_none_or(|reset| age <= reset));
        coming.sort_unstable();
        let results = runtime.block_on(enter(&store, &[replay("a", reset, &coming)]));
        prop_assert!(results[0].is_ok());
        let after = time(&mut admin);
        let mut log: Vec<String> = admin.lrange(key, 0, -1).unwrap();
        if let (Some(tally), None) = (tally, reset) {
            prop_assert_eq!(log.remove(0), tally);
        }
        let log: Vec<Millis> = log.iter().map(|moment| moment.parse().unwrap()).collect();
        // By the clock of the server, which was read between the two.
        let expected = |now: Millis| {
            let left = there.iter().copied();
            let left = left.filter(|&moment| reset.is_none_or(|age| moment > now - age));
            let mut log: Vec<Millis> = left.chain(coming.iter().map(|age| now - age)).collect();
            log.sort_unstable_by(|a, b| b.cmp(a));
            log
        };
        prop_assert!(
            (before..=after).any(|now| log == expected(now)),
            "{:?}",
            log
        );
        if !coming.is_empty() {
            let ttl: Millis = admin.pttl(key).unwrap();
            // From the newest on, a window and a slack; that one is some seconds old.
            prop_assert!((HOUR + 50_000..=HOUR + 60_000).contains(&ttl), "{}", ttl);
        }
        Ok(())
    });
    holds.unwrap();
}

#[tokio::test]
async fn entered_admissions_count_and_expire_at_their_own_moments() {
    let server = Server::start(&[]);
    let store = server.store();
    // Longer than a machine delays two of these requests.
    let rest = 60_000;
    let almost = HOUR - rest;
    assert!(enter(&store, &[replay("a", None, &[1000, almost])]).await[0].is_ok());
    let status = run(&store, request(Op::Status, "a", 2)).await;
    assert_eq!(status.decision.remaining, 0);
    let denial = run(&store, request(Op::Limit, "a", 2)).await;
    assert!(
        (1..=rest).contains(&denial.decision.retry_after_ms()),
        "{denial:?}"
    );
    // Two processes had an outage: the log is longer than the limit, and the newest count.
    assert!(enter(&store, &[replay("a", None, &[500, 700])]).await[0].is_ok());
    let denial = run(&store, request(Op::Limit, "a", 2)).await;
    assert!(denial.decision.retry_after_ms() > HOUR / 2);
}

#[tokio::test]
async fn expired_admissions_are_not_entered() {
    let server = Server::start(&[]);
    let (store, mut admin) = (server.store(), server.admin());
    let results = enter(&store, &[replay("a", None, &[HOUR, HOUR * 2])]).await;
    assert!(results[0].is_ok());
    assert!(!admin.exists::<_, bool>("{t:a}").unwrap());
}

/// An anomaly that a process has reported while the store was away is not reported again.
#[tokio::test]
async fn a_report_is_entered() {
    let server = Server::start(&[]);
    let (store, mut admin) = (server.store(), server.admin());
    let within = |window| scope("t", anomaly_rules(HOUR, 1.0, window));
    // Longer than any machine delays this.
    let scope = within(600_000);
    let reports_of = async |scope: &Scope, who: &str| {
        let checks = vec![request(Op::Check, who, 3); 50];
        let outcomes = store.run(scope, &checks).await;
        let reports = outcomes
            .iter()
            .flat_map(|outcome| outcome.as_ref().unwrap().anomaly_status.anomaly());
        reports.count()
    };
    let reports = async |who: &str| reports_of(&scope, who).await;
    let reported = |who: &str, ages: &[Millis]| Replay {
        reported: Some(500),
        ..replay(who, None, ages)
    };
    // Into a log with a tally, one without, and none; with admissions, and without.
    for (who, there, ages) in [
        ("a", 0, &[][..]),
        ("b", 0, &[300, 400]),
        ("c", 3, &[300, 400]),
        ("d", 4, &[]),
        ("e", 4, &[300, 400]),
    ] {
        store
            .run(&scope, &vec![request(Op::Check, who, 3); there.min(3)])
            .await;
        if there > 3 {
            let tally = format!("1:{}:0", time(&mut admin));
            let () = admin.lpush(format!("{{t:{who}}}"), tally).unwrap();
        }
        let results = store.replay(&scope, &[reported(who, ages)]).await;
        assert!(results[0].is_ok(), "{results:?}");
        assert_eq!(reports(who).await, 0, "{who}");
    }
    // One that is older than an anomaly window is over.
    let over = Replay {
        reported: Some(600_000),
        ..replay("f", None, &[])
    };
    store.replay(&scope, &[over]).await[0].as_ref().unwrap();
    assert!(!admin.exists::<_, bool>("{t:f}").unwrap());
    assert_eq!(reports("f").await, 1);
    // Its pause ends a window after the report.
    let short = within(2000);
    let late = Replay {
        reported: Some(1900),
        ..replay("g", None, &[])
    };
    assert!(store.replay(&short, &[late]).await[0].is_ok());
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(reports_of(&short, "g").await, 1);
}

/// Such an admission expires late, never early.
#[tokio::test]
async fn an_admission_behind_a_thousand_newer_ones_counts_as_young_as_they_are() {
    let server = Server::start(&[]);
    let (store, mut admin) = (server.store(), server.admin());
    let now = time(&mut admin);
    for n in (0..1500_u64).rev() {
        let () = admin.lpush("{t:a}", now - n).unwrap();
    }
    assert!(enter(&store, &[replay("a", None, &[5000, 6000])]).await[0].is_ok());
    let log: Vec<Millis> = admin.lrange("{t:a}", 0, -1).unwrap();
    assert_eq!(log.len(), 1502);
    assert!(log.is_sorted_by(|a, b| a >= b));
    assert!(!log.contains(&(now - 5000)));
}

#[tokio::test]
async fn one_key_that_fails_leaves_the_others_alone() {
    let server = Server::start(&[]);
    let (store, mut admin) = (server.store(), server.admin());
    let () = admin.set("{t:text}", "x").unwrap();
    let () = admin.rpush("{t:words}", "words").unwrap();
    for (who, element) in [("inf", "1e400"), ("nan", "nan"), ("minus", "-7")] {
        let () = admin.rpush(format!("{{t:{who}}}"), element).unwrap();
    }
    let ids = ["a", "text", "words", "inf", "nan", "minus", "b"];
    let ids = ids.map(|who| replay(who, None, &[10]));
    let results = enter(&store, &ids).await;
    let kinds: Vec<_> = results
        .iter()
        .map(|r| r.as_ref().err().map(StoreError::kind))
        .collect();
    let wrong = Some(ErrorKind::WrongType);
    assert_eq!(kinds, [None, wrong, wrong, wrong, wrong, wrong, None]);
}

#[tokio::test]
async fn a_server_that_refuses_has_entered_nothing() {
    let server = Server::start(&[]);
    let (store, mut admin) = (server.store(), server.admin());
    for (setting, value, back, kind) in [
        ("maxmemory", "1", "0", ErrorKind::Oom),
        ("min-replicas-to-write", "1", "0", ErrorKind::Unwritable),
    ] {
        let mut set = |value| -> () {
            let set = redis::cmd("CONFIG")
                .arg(&["SET", setting, value])
                .query(&mut admin);
            set.unwrap()
        };
        set(value);
        let results = enter(&store, &[replay("a", None, &[10])]).await;
        assert_eq!(results[0].as_ref().unwrap_err().kind(), kind);
        set(back);
        assert!(!admin.exists::<_, bool>("{t:a}").unwrap());
    }
}

/// No content of a key keeps the others from being entered.
#[tokio::test]
async fn a_key_with_foreign_elements_is_passed_over() {
    let server = Server::start(&[]);
    let (store, mut admin) = (server.store(), server.admin());
    let later = time(&mut admin) + 1000;
    let () = admin
        .rpush("{t:odd}", &[later.to_string(), "garbage".to_owned()])
        .unwrap();
    let results = enter(
        &store,
        &["odd", "a"].map(|who| replay(who, Some(500), &[10])),
    )
    .await;
    let odd = results[0].as_ref().map_err(StoreError::kind);
    assert!(matches!(odd, Ok(()) | Err(ErrorKind::WrongType)), "{odd:?}");
    assert!(results[1].is_ok());
}

//! Errors of the server: a refused write is an error, never an admission.

use std::thread;

use crate::redis_store::RedisStore;
use huntaze_rate_limit::store::{ErrorKind, Op, StoreError};

use crate::store::Store;

use super::{HOUR, failure, passwords, take_slot, until};
use crate::requests::{anomaly_rules, plain_rules, request, scope};
use crate::server::Server;
use crate::timers::StoppedTimers;

/// Runs `command`, which must succeed.
pub(super) fn execute(admin: &mut redis::Connection, command: &str) {
    let mut words = command.split(' ');
    let mut cmd = redis::cmd(words.next().unwrap());
    words.for_each(|word| {
        cmd.arg(word);
    });
    let () = cmd.query(admin).unwrap();
}

fn kinds<T>(results: &[Result<T, StoreError>]) -> Vec<Option<ErrorKind>> {
    let kind = |result: &Result<T, StoreError>| result.as_ref().err().map(StoreError::kind);
    results.iter().map(kind).collect()
}

/// The module being replaced read this as "no request yet" and admitted every request.
#[tokio::test]
async fn a_server_out_of_memory_admits_no_request() {
    let server = Server::start(&[]);
    let (store, mut admin) = (server.store(), server.admin());
    execute(&mut admin, "CONFIG SET maxmemory 1");
    let batch = [request(Op::Check, "a", 5), request(Op::Limit, "b", 5)];
    // The first time the script is new to the server, the second time not.
    for _ in 0..2 {
        let results = store.run(&scope("t", plain_rules(HOUR)), &batch).await;
        assert_eq!(kinds(&results), [Some(ErrorKind::Oom); 2]);
    }
    execute(&mut admin, "CONFIG SET maxmemory 0");
    assert_eq!(
        (take_slot(&store, "a").await, take_slot(&store, "b").await),
        (4, 4)
    );
}

/// A script may fill the memory that it has freed. An admission made that way has to be recorded.
#[tokio::test]
async fn a_server_out_of_memory_records_its_admissions() {
    let server = Server::start(&[]);
    let (store, mut admin) = (server.store(), server.admin());
    let rules = anomaly_rules(HOUR, 1.0, HOUR);
    // Each batch begins with an id that is denied and has a tally: removing the tally is a write that needs no memory.
    let batch = ["full", "a", "b"].map(|who| request(Op::Limit, who, 5));
    for _ in 0..6 {
        store
            .run(&scope("t", rules), &batch[..1])
            .await
            .remove(0)
            .unwrap();
    }
    execute(&mut admin, "CONFIG SET maxmemory 1");
    let mut admitted = [0; 3];
    for _ in 0..7 {
        let results = store.run(&scope("t", rules), &batch).await;
        for (count, result) in admitted.iter_mut().zip(&results) {
            *count += u32::from(result.as_ref().is_ok_and(|o| o.decision.is_allowed()));
        }
    }
    execute(&mut admin, "CONFIG SET maxmemory 0");
    assert_eq!(admitted[0], 0);
    for (who, admitted) in ["a", "b"].into_iter().zip(&admitted[1..]) {
        let status = store
            .run(&scope("t", rules), &[request(Op::Status, who, 5)])
            .await
            .remove(0);
        assert_eq!(status.unwrap().decision.remaining, 5 - admitted, "{who}");
    }
}

/// Reads are enough to see that a log is full: a denial stays a denial, and is not left to the fallback, which might admit.
#[tokio::test]
async fn a_server_out_of_memory_still_denies() {
    let server = Server::start(&[]);
    let (store, mut admin) = (server.store(), server.admin());
    let rules = anomaly_rules(HOUR, 2.0, HOUR);
    let batch = ["denied", "full", "free"].map(|who| request(Op::Check, who, 2));
    for who in [0, 0, 0, 1, 1] {
        let _ = store.run(&scope("t", rules), &batch[who..=who]).await;
    }
    execute(&mut admin, "CONFIG SET maxmemory 1");
    let alone = ["denied", "full"].map(|who| request(Op::Limit, who, 2));
    for requests in [&batch[..], &alone[..1], &alone[1..], &batch[1..2]] {
        let results = store.run(&scope("t", rules), requests).await;
        for (request, result) in requests.iter().zip(results) {
            match result {
                Ok(outcome) => {
                    assert!(!outcome.decision.is_allowed(), "{request:?}");
                    assert!((1..=HOUR).contains(&outcome.decision.retry_after_ms()));
                }
                Err(error) => {
                    assert_eq!(
                        (request.id.as_str(), error.kind()),
                        ("free", ErrorKind::Oom)
                    )
                }
            }
        }
    }
}

#[tokio::test]
async fn a_replica_admits_no_request() {
    let server = Server::start(&[]);
    let (store, mut admin) = (server.store(), server.admin());
    // A primary that does not exist: port 1.
    execute(&mut admin, "REPLICAOF 127.0.0.1 1");
    for _ in 0..2 {
        assert_eq!(failure(&store).await, ErrorKind::ReadOnly);
    }
    // It has lost its primary, and does not even serve its own data.
    execute(&mut admin, "CONFIG SET replica-serve-stale-data no");
    until(&store, Some(ErrorKind::Loading)).await;
    execute(&mut admin, "CONFIG SET replica-serve-stale-data yes");
    execute(&mut admin, "REPLICAOF NO ONE");
    until(&store, None).await;
    assert_eq!(take_slot(&store, "a").await, 4);
}

#[tokio::test]
async fn a_primary_without_its_replicas_admits_no_request() {
    let _stopped = StoppedTimers::new();
    let server = Server::start(&["--min-replicas-to-write", "1"]);
    let store = server.store();
    let connections = || -> u64 {
        let stats: redis::InfoDict = redis::cmd("INFO")
            .arg("stats")
            .query(&mut server.admin())
            .unwrap();
        stats.get("total_connections_received").unwrap()
    };
    assert_eq!(failure(&store).await, ErrorKind::Unwritable);
    let before = connections();
    for _ in 0..20 {
        assert_eq!(failure(&store).await, ErrorKind::Unwritable);
    }
    // The connection is kept: apart from its replicas, the server is well. The additional one is of the query itself.
    assert_eq!(connections(), before + 1);
}

/// A key written by another program fails for its own id. The neighbours in the batch are decided.
#[tokio::test]
async fn a_key_of_another_type_fails_alone() {
    let server = Server::start(&[]);
    let (store, mut admin) = (server.store(), server.admin());
    execute(&mut admin, "SET {t:text} x");
    execute(&mut admin, "ZADD {t:sorted} 1 x");
    execute(&mut admin, "RPUSH {t:words} some words");
    let ids = ["a", "text", "b", "sorted", "words", "c"];
    for op in [Op::Check, Op::Limit, Op::Status] {
        let batch = ids.map(|who| request(op, who, 5));
        let results = store.run(&scope("t", plain_rules(HOUR)), &batch).await;
        let wrong = Some(ErrorKind::WrongType);
        assert_eq!(
            kinds(&results),
            [None, wrong, None, wrong, wrong, None],
            "{op:?}"
        );
    }
    // A reset makes the id usable again.
    let reset = store
        .run(
            &scope("t", plain_rules(HOUR)),
            &[request(Op::Reset, "text", 5)],
        )
        .await;
    assert_eq!(kinds(&reset), [None]);
    assert_eq!(
        (
            take_slot(&store, "text").await,
            take_slot(&store, "a").await
        ),
        (4, 2)
    );
}

/// Elements that Lua takes for numbers, or that are as long as a timestamp and sort before now as text.
const NO_TIMESTAMPS: [&str; 12] = [
    "1e400 nan inf",
    "nan nan",
    "-7 -9",
    "abcabcabcabca",
    "!!!!!!!!!!!!! !!!!!!!!!!!!!",
    "1e12000000000",
    "1000000000000.5 1e12",
    "0x12345678901",
    "9999999999999999999",
    // Tallies that no version writes.
    "9999999999:1753000000000:0 1753000000000",
    "99999999999999999999:1753000000000:0",
    "1:99999999999999999999:0 1753000000000",
];

/// An element that is no timestamp fails for its own id, and its key does not change: alone and beside neighbours, with a log
/// that is full and with one that is not.
#[tokio::test]
async fn a_list_of_elements_that_are_no_timestamps_fails_alone() {
    let server = Server::start(&[]);
    let (store, mut admin) = (server.store(), server.admin());
    let scope = scope("t", plain_rules(HOUR));
    let wrong = Some(ErrorKind::WrongType);
    for (n, elements) in NO_TIMESTAMPS.into_iter().enumerate() {
        let who = format!("odd-{n}");
        execute(&mut admin, &format!("RPUSH {{t:{who}}} {elements}"));
        let mut length = || {
            redis::cmd("LLEN")
                .arg(format!("{{t:{who}}}"))
                .query(&mut admin)
        };
        let before: usize = length().unwrap();
        for op in [Op::Check, Op::Limit, Op::Status, Op::CountDenials(3)] {
            for limit in [1, 1000] {
                let asked = request(op, &who, limit);
                let alone = store.run(&scope, std::slice::from_ref(&asked)).await;
                assert_eq!(kinds(&alone), [wrong], "{elements}, {op:?}");
                let neighbours = ["a", "b"].map(|who| request(Op::Check, who, 1000));
                let [a, b] = neighbours;
                let results = store.run(&scope, &[a, asked, b]).await;
                assert_eq!(kinds(&results), [None, wrong, None], "{elements}, {op:?}");
            }
        }
        assert_eq!(length(), Ok(before), "{elements}");
        assert_eq!(
            kinds(&store.run(&scope, &[request(Op::Reset, &who, 5)]).await),
            [None]
        );
        assert_eq!(take_slot(&store, &who).await, 4);
    }
}

/// The same where the newest element is a timestamp, and the script reads the others after it has added one.
#[tokio::test]
async fn an_old_element_that_is_no_timestamp_fails_alone() {
    let server = Server::start(&[]);
    let (store, mut admin) = (server.store(), server.admin());
    let scope = scope("t", plain_rules(HOUR));
    let wrong = Some(ErrorKind::WrongType);
    for (n, element) in ["nan", "1e400", "words", "-1"].into_iter().enumerate() {
        let who = format!("deep-{n}");
        let key = format!("{{t:{who}}}");
        execute(
            &mut admin,
            &format!("RPUSH {key} 1700000000000 {element} {element}"),
        );
        for op in [Op::Check, Op::Limit] {
            for requests in [
                vec![request(op, &who, 2)],
                vec![request(op, "a", 1000), request(op, &who, 2)],
            ] {
                let results = store.run(&scope, &requests).await;
                assert_eq!(kinds(&results).last(), Some(&wrong), "{element}, {op:?}");
                assert!(results.len() == 1 || results[0].is_ok());
                let length = redis::cmd("LLEN").arg(&key).query(&mut admin);
                assert_eq!(length, Ok(3), "{element}, {op:?}");
            }
        }
        // Of a log that is not full no more is read than needed. A limit request also needs the reset, and reads the rest.
        let limited = store.run(&scope, &[request(Op::Limit, &who, 1000)]).await;
        assert_eq!(kinds(&limited), [wrong]);
        let length = redis::cmd("LLEN").arg(&key).query(&mut admin);
        assert_eq!(length, Ok(3), "{element}");
    }
}

/// A key of another type is no fault of the connection, which every other id needs.
#[tokio::test]
async fn a_key_of_another_type_keeps_the_connection() {
    let _stopped = StoppedTimers::new();
    let server = Server::start(&[]);
    let (store, mut admin) = (server.store(), server.admin());
    execute(&mut admin, "SET {t:a} x");
    assert_eq!(failure(&store).await, ErrorKind::WrongType);
    let before = connections_ever(&mut admin);
    assert_eq!(failure(&store).await, ErrorKind::WrongType);
    assert_eq!(connections_ever(&mut admin), before);
}

#[tokio::test]
async fn a_long_script_of_another_client_admits_no_request() {
    let server = Server::start(&["--busy-reply-threshold", "10"]);
    let (store, mut admin) = (server.store(), server.admin());
    assert_eq!(take_slot(&store, "a").await, 4);
    let mut other = server.admin();
    let endless = thread::spawn(move || {
        let killed: redis::RedisResult<()> = redis::cmd("EVAL")
            .arg("while true do end")
            .arg(0)
            .query(&mut other);
        assert!(killed.is_err());
    });
    // The server answers BUSY once the script has run for longer than the threshold.
    while !matches!(redis::cmd("PING").query::<()>(&mut admin), Err(e) if e.code() == Some("BUSY"))
    {
    }
    assert_eq!(failure(&store).await, ErrorKind::Busy);
    execute(&mut admin, "SCRIPT KILL");
    endless.join().unwrap();
    // A connection that was idle for a second is replaced if its health check fails, and a busy server refuses that, too.
    let errors = until(&store, None).await;
    assert!(
        errors.iter().all(|&kind| kind == ErrorKind::Busy),
        "{errors:?}"
    );
    assert_eq!(take_slot(&store, "a").await, 3);
}

#[tokio::test]
async fn a_server_at_its_client_limit_says_so() {
    let server = Server::start(&[]);
    let mut admin = server.admin();
    execute(&mut admin, "CONFIG SET maxclients 1");
    let store = server.store();
    // Its error must not be taken for a reply to AUTH.
    let mut with_password = server.config();
    with_password.credentials = passwords(&["pw"]);
    for store in [&store, &RedisStore::new(with_password)] {
        // It closes right after: sometimes the end arrives before the error is read.
        until(store, Some(ErrorKind::MaxClients)).await;
    }
    execute(&mut admin, "CONFIG SET maxclients 100");
    until(&store, None).await;
    assert_eq!(take_slot(&store, "a").await, 4);
}

/// How many connections the server has ever accepted.
pub fn connections_ever(admin: &mut redis::Connection) -> u64 {
    let stats: String = redis::cmd("INFO").arg("stats").query(admin).unwrap();
    let line = stats
        .lines()
        .find_map(|line| line.strip_prefix("total_connections_received:"));
    line.unwrap().trim().parse().unwrap()
}

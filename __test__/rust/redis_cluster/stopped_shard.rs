//! A limiter over a cluster with a shard that hangs: the others decide, and no quota is given out twice.

use std::collections::BTreeMap;
use std::io::copy;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use huntaze_rate_limit::limiter::{OnStoreError, Source};
use huntaze_rate_limit::store::Op;
use huntaze_rate_limit::store::redis::RedisConfig;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{sleep, timeout};

use super::{PATIENT, checks, hour, ids_of_shard, key, one_id_per_shard, request};
use crate::redis_store::{Completed, RedisLimiter, RedisStore};
use crate::server::Port;
use crate::starvation::retry_if_starved;
use crate::test_cluster::{Cluster, SHARDS, slot_of};

/// A healthy shard answers within it.
const DEADLINE: Duration = Duration::from_secs(1);

struct Fixture {
    limiter: RedisLimiter,
    answers: UnboundedReceiver<Completed>,
}

impl Fixture {
    fn new(store: &RedisStore) -> Self {
        let (limiter, answers) = store.limiter(&hour(), OnStoreError::Local, DEADLINE);
        Self { limiter, answers }
    }

    /// The source of the decision, and whether it is an admission.
    async fn check(&mut self, who: &str, limit: u32) -> (Source, bool) {
        let answer = match self.limiter.submit(request(Op::Check, who, limit), 0) {
            Some(answer) => answer,
            None => self.next().await.1.unwrap(),
        };
        (answer.source, answer.outcome.decision.is_allowed())
    }

    async fn next(&mut self) -> Completed {
        let next = timeout(PATIENT, self.answers.recv()).await;
        next.unwrap().unwrap()
    }
}

/// Forwards connections to `listener` to `port`.
fn forward(listener: TcpListener, port: u16) {
    fn copy_in_background(mut from: TcpStream, mut to: TcpStream) {
        thread::spawn(move || {
            // Either end may close at any time.
            let _ = copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
    // The thread ends with the process.
    thread::spawn(move || {
        for here in listener.incoming() {
            let here = here.unwrap();
            let there = TcpStream::connect(("127.0.0.1", port)).unwrap();
            copy_in_background(here.try_clone().unwrap(), there.try_clone().unwrap());
            copy_in_background(there, here);
        }
    });
}

/// Each id has used up its quota locally before the cluster was known. Once it is known, each shard gets its replay before its
/// first check, whichever shard hangs.
#[test]
fn a_quota_used_up_before_the_cluster_was_known_is_used_up_in_each_shard() {
    retry_if_starved(DEADLINE, async || {
        const LIMIT: u32 = 3;
        let cluster = Cluster::start();
        let mut shards: Vec<_> = (0..SHARDS).collect();
        // In the order of the store's shard numbers.
        shards.sort_by_key(|&shard| cluster.primary(shard));
        for hanging in [None, Some(shards[0]), Some(shards[SHARDS - 1])] {
            let name = |who: String| format!("{who}-{}", hanging.map_or(SHARDS, |shard| shard));
            let named = (0..).map(|n| name(format!("id-{n}")));
            let mut who = vec![Vec::new(); SHARDS];
            for named in named.take(60) {
                who[cluster.shard_of(slot_of(&key(&named)))].push(named);
            }
            // No server listens there yet.
            let reserved = Port::reserve();
            let port = reserved.number;
            let mut fixture = Fixture::new(&RedisStore::new(RedisConfig {
                host: "127.0.0.1".into(),
                port,
                ..cluster.config()
            }));
            for who in who.iter().flatten() {
                for _ in 0..LIMIT {
                    assert_eq!(fixture.check(who, LIMIT).await, (Source::Local, true));
                }
            }
            let healthy: Vec<_> = (0..SHARDS)
                .filter(|&shard| Some(shard) != hanging)
                .collect();
            let seed = cluster.primary(healthy[0]);
            let paused = hanging.map(|shard| cluster.primary(shard));
            paused.into_iter().for_each(|port| cluster.pause(port));
            forward(reserved.listen(), seed);
            let begun = Instant::now();
            let mut last = BTreeMap::new();
            while healthy
                .iter()
                .any(|shard| last.get(shard) != Some(&Source::Redis))
            {
                for &shard in &healthy {
                    for who in &who[shard] {
                        let (source, allowed) = fixture.check(who, LIMIT).await;
                        assert!(
                            !allowed,
                            "{who} of {shard} by {source:?}, {hanging:?} hangs"
                        );
                        last.insert(shard, source);
                    }
                }
                assert!(begun.elapsed() < PATIENT, "{last:?}, {hanging:?} hangs");
                sleep(Duration::from_millis(5)).await;
            }
            for who in healthy.iter().flat_map(|&shard| &who[shard]) {
                let port = cluster.primary(cluster.shard_of(slot_of(&key(who))));
                let length: u32 = cluster.command(port, &["LLEN", &key(who)]);
                // Perhaps with a tally of the denials at its head.
                assert!((LIMIT..=LIMIT + 1).contains(&length), "{who}: {length}");
            }
            paused.into_iter().for_each(|port| cluster.resume(port));
        }
    });
}

/// A slot is being migrated to a shard that hangs.
#[test]
fn a_request_redirected_to_a_shard_that_hangs_settles_in_time() {
    retry_if_starved(DEADLINE, async || {
        let cluster = Cluster::start();
        let store = cluster.store();
        assert!(
            checks(&store, one_id_per_shard("id"))
                .await
                .iter()
                .all(Result::is_ok)
        );
        let mut ids = ids_of_shard("id", 0).skip(1);
        let (redirected_id, healthy) = (ids.next().unwrap(), ids.nth(3).unwrap());
        assert_ne!(slot_of(&key(&redirected_id)), slot_of(&key(&healthy)));
        let migration = cluster.importing(slot_of(&key(&redirected_id)), 1);
        let mut fixture = Fixture::new(&store);
        assert_eq!(fixture.check(&healthy, 1000).await, (Source::Redis, true));
        cluster.pause(migration.to);
        let redirected = |cluster: &Cluster| -> u64 {
            let stats: String = cluster.command(migration.from, &["INFO", "errorstats"]);
            let ask = stats
                .lines()
                .find_map(|line| line.strip_prefix("errorstat_ASK:count="));
            ask.map_or(0, |count| count.parse().unwrap())
        };
        for round in 1..=3 {
            let (begun, before) = (Instant::now(), redirected(&cluster));
            assert!(
                fixture
                    .limiter
                    .submit(request(Op::Check, &redirected_id, 1000), 9)
                    .is_none()
            );
            // It is redirected, and the next requests leave without it.
            while redirected(&cluster) == before {
                assert!(begun.elapsed() < PATIENT, "{round}");
                sleep(Duration::from_millis(1)).await;
            }
            for _ in 0..3 {
                assert_eq!(fixture.check(&healthy, 1000).await, (Source::Redis, true));
            }
            let (request_id, answer) = fixture.next().await;
            assert_eq!(
                (request_id, answer.unwrap().source),
                (9, Source::Local),
                "{round}"
            );
        }
        cluster.resume(migration.to);
    });
}

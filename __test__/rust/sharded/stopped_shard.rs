//! A limiter over a cluster of which one shard stands still: the others decide, and nobody's quota is given out twice.

use std::collections::BTreeMap;
use std::io::copy;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use huntaze_rate_limit::limiter::{Limiter, OnStoreError, Source};
use huntaze_rate_limit::store::Op;
use huntaze_rate_limit::store::redis::{RedisConfig, RedisStore};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{sleep, timeout};

use super::{PATIENT, checks, ids_of, key, one_of_each, request};
use crate::cluster::{Cluster, SHARDS, slot_of};
use crate::limiter::test_doubles::{Collector, Settled, limiter};
use crate::server::Port;
use crate::starvation::retry_if_starved;

/// A shard that is well answers within it.
const DEADLINE: Duration = Duration::from_secs(1);

struct Asking {
    limiter: Limiter<Collector>,
    answers: UnboundedReceiver<Settled>,
}

impl Asking {
    fn new(store: RedisStore) -> Self {
        let runtime = Handle::current();
        let (limiter, answers) = limiter(&runtime, store, OnStoreError::Local, DEADLINE);
        Self { limiter, answers }
    }

    /// Who decides, and whether that is to let in.
    async fn check(&mut self, who: &str, limit: u32) -> (Source, bool) {
        let answer = match self.limiter.submit(request(Op::Check, who, limit), 0) {
            Some((_, answer)) => answer,
            None => self.next().await.1.unwrap(),
        };
        (answer.source, answer.outcome.decision.is_allowed())
    }

    async fn next(&mut self) -> Settled {
        let next = timeout(PATIENT, self.answers.recv()).await;
        next.unwrap().unwrap()
    }
}

/// Connections to `listener` go on to `port`.
fn lead(listener: TcpListener, port: u16) {
    fn flow(mut from: TcpStream, mut to: TcpStream) {
        thread::spawn(move || {
            // Either end may go at any time.
            let _ = copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
    // It ends with the process.
    thread::spawn(move || {
        for here in listener.incoming() {
            let here = here.unwrap();
            let there = TcpStream::connect(("127.0.0.1", port)).unwrap();
            flow(here.try_clone().unwrap(), there.try_clone().unwrap());
            flow(there, here);
        }
    });
}

/// Everybody has used up a quota here before anything was known of the cluster. Once it is, each shard is told before it is
/// asked, whichever of them stands still.
#[test]
fn a_quota_used_up_before_the_cluster_was_known_is_used_up_in_each_shard() {
    retry_if_starved(DEADLINE, async || {
        const LIMIT: u32 = 3;
        let cluster = Cluster::start();
        let mut shards: Vec<_> = (0..SHARDS).collect();
        // As parts are numbered.
        shards.sort_by_key(|&shard| cluster.primary(shard));
        for sick in [None, Some(shards[0]), Some(shards[SHARDS - 1])] {
            let name = |who: String| format!("{who}-{}", sick.map_or(SHARDS, |shard| shard));
            let named = (0..).map(|n| name(format!("id-{n}")));
            let mut who = vec![Vec::new(); SHARDS];
            for named in named.take(60) {
                who[cluster.shard_of(slot_of(&key(&named)))].push(named);
            }
            // Nobody listens there yet.
            let reserved = Port::reserve();
            let port = reserved.number;
            let mut asking = Asking::new(RedisStore::new(RedisConfig {
                host: "127.0.0.1".into(),
                port,
                ..cluster.config()
            }));
            for who in who.iter().flatten() {
                for _ in 0..LIMIT {
                    assert_eq!(asking.check(who, LIMIT).await, (Source::Local, true));
                }
            }
            let well: Vec<_> = (0..SHARDS).filter(|&shard| Some(shard) != sick).collect();
            let seed = cluster.primary(well[0]);
            let paused = sick.map(|shard| cluster.primary(shard));
            paused.into_iter().for_each(|port| cluster.pause(port));
            lead(reserved.listen(), seed);
            let begun = Instant::now();
            let mut last = BTreeMap::new();
            while well
                .iter()
                .any(|shard| last.get(shard) != Some(&Source::Redis))
            {
                for &shard in &well {
                    for who in &who[shard] {
                        let (source, allowed) = asking.check(who, LIMIT).await;
                        assert!(!allowed, "{who} of {shard} by {source:?}, {sick:?} is sick");
                        last.insert(shard, source);
                    }
                }
                assert!(begun.elapsed() < PATIENT, "{last:?}, {sick:?} is sick");
                sleep(Duration::from_millis(5)).await;
            }
            for who in well.iter().flat_map(|&shard| &who[shard]) {
                let port = cluster.primary(cluster.shard_of(slot_of(&key(who))));
                let length: u32 = cluster.command(port, &["LLEN", &key(who)]);
                // With a tally of the denials at its head, perhaps.
                assert!((LIMIT..=LIMIT + 1).contains(&length), "{who}: {length}");
            }
            paused.into_iter().for_each(|port| cluster.resume(port));
        }
    });
}

/// A slot is on its way to a shard that stands still.
#[test]
fn what_is_sent_on_to_a_shard_that_stands_still_is_settled_in_time() {
    retry_if_starved(DEADLINE, async || {
        let cluster = Cluster::start();
        let store = cluster.store();
        assert!(
            checks(&store, one_of_each("id"))
                .await
                .iter()
                .all(Result::is_ok)
        );
        let mut ids = ids_of("id", 0).skip(1);
        let (gone, healthy) = (ids.next().unwrap(), ids.nth(3).unwrap());
        assert_ne!(slot_of(&key(&gone)), slot_of(&key(&healthy)));
        let moving = cluster.importing(slot_of(&key(&gone)), 1);
        let mut asking = Asking::new(store);
        assert_eq!(asking.check(&healthy, 1000).await, (Source::Redis, true));
        cluster.pause(moving.to);
        let redirected = |cluster: &Cluster| -> u64 {
            let stats: String = cluster.command(moving.from, &["INFO", "errorstats"]);
            let ask = stats
                .lines()
                .find_map(|line| line.strip_prefix("errorstat_ASK:count="));
            ask.map_or(0, |count| count.parse().unwrap())
        };
        for round in 1..=3 {
            let (begun, before) = (Instant::now(), redirected(&cluster));
            assert!(
                asking
                    .limiter
                    .submit(request(Op::Check, &gone, 1000), 9)
                    .is_none()
            );
            // It is sent on; and the next ones leave by themselves.
            while redirected(&cluster) == before {
                assert!(begun.elapsed() < PATIENT, "{round}");
                sleep(Duration::from_millis(1)).await;
            }
            for _ in 0..3 {
                assert_eq!(asking.check(&healthy, 1000).await, (Source::Redis, true));
            }
            let (ticket, answer) = asking.next().await;
            assert_eq!(
                (ticket, answer.unwrap().source),
                (9, Source::Local),
                "{round}"
            );
        }
        cluster.resume(moving.to);
    });
}

//! The test cluster does what tests ask of it. If it did not, they would show nothing.

use redis::RedisError;

use super::{Cluster, Options, SHARDS, slot_of};

const KEY: &str = "{moving}a";
const OTHER: &str = "{moving}b";

/// With TLS, users and host names, which includes all that a plain cluster does. The tests in `redis_cluster` use a plain one.
#[test]
fn slots_move_and_replicas_take_over() {
    let cluster = Cluster::with(Options {
        tls: true,
        users: true,
        host_names: true,
        ..Options::default()
    });
    slots_move(&cluster);
    replicas_take_over(&cluster);
}

fn slots_move(cluster: &Cluster) {
    for key in ["", "a", "{a}b", "{}a", "x{y}z", "foo{{bar}}zap", KEY] {
        let slot: u16 = cluster.command(cluster.seed(), &["CLUSTER", "KEYSLOT", key]);
        assert_eq!(slot_of(key), slot, "{key}");
    }
    // One key here, one there.
    let slot = slot_of(KEY);
    let from = cluster.shard_of(slot);
    let to = (from + 1) % SHARDS;
    for key in [KEY, OTHER] {
        let () = cluster.command(cluster.primary(from), &["SET", key, "1"]);
    }
    let migration = cluster.importing(slot, to);
    migration.key(KEY);
    assert_eq!(code(cluster, migration.from, &["GET", KEY]), "ASK");
    assert_eq!(
        code(cluster, migration.from, &["MGET", KEY, OTHER]),
        "TRYAGAIN"
    );
    assert_eq!(code(cluster, migration.to, &["GET", KEY]), "MOVED");
    migration.finish();
    assert_eq!(cluster.shard_of(slot), to);
    let values: Vec<String> = cluster.command(cluster.primary(to), &["MGET", KEY, OTHER]);
    assert_eq!(values, ["1", "1"]);
    // Back and forth, each time in one step.
    for shard in [from, to, from, to, from] {
        cluster.migrate(slot, shard);
    }
    assert_eq!(code(cluster, cluster.primary(to), &["GET", KEY]), "MOVED");
}

fn replicas_take_over(cluster: &Cluster) {
    assert_eq!(cluster.primaries(), cluster.ports()[..SHARDS]);
    let old = cluster.primary(0);
    assert_ne!(cluster.fail_over(0), old);
    assert_eq!(cluster.fail_over_by(0, &["FORCE"]), old);
    // The replica of a dead primary, and of one that does not answer.
    let (killed, paused) = (cluster.kill_primary(1), cluster.primary(2));
    assert_ne!(cluster.fail_over_by(1, &["TAKEOVER"]), killed);
    cluster.pause(paused);
    assert_ne!(cluster.fail_over_by(2, &["TAKEOVER"]), paused);
    cluster.resume(paused);
    cluster.restart(killed);
    assert_eq!((cluster.replica(1), cluster.replica(2)), (killed, paused));
}

fn code(cluster: &Cluster, port: u16, command: &[&str]) -> String {
    let error: RedisError = cluster.try_command::<()>(port, command).unwrap_err();
    error.code().unwrap_or_default().to_owned()
}

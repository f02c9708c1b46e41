//! Slots that migrate from shard to shard while they are used.

use super::Cluster;
use super::nodes_conf::{Layout, SHARDS};
use crate::acl::{ADMIN, ADMIN_PASSWORD};

/// Keys that are migrated at once.
const BATCH: usize = 10;

/// How long one batch may take, in ms.
const MIGRATE_TIMEOUT: &str = "10000";

/// A slot that is being migrated. Until [`Migration::finish`] its old shard replies `ASK` to a request for keys that have left,
/// and `TRYAGAIN` to one for several keys of which some have left.
pub struct Migration<'a> {
    cluster: &'a Cluster,
    slot: String,
    /// Ports of primaries.
    pub from: u16,
    pub to: u16,
}

impl Cluster {
    /// Moves `slot` and its keys to a shard.
    pub fn migrate(&self, slot: u16, to: usize) {
        self.importing(slot, to).finish();
    }

    /// Begins to move `slot` to a shard, and no key yet.
    pub fn importing(&self, slot: u16, to: usize) -> Migration<'_> {
        self.settle();
        let from = self.shard_of(slot);
        assert_ne!(from, to, "slot {slot} is there already");
        let migration = Migration {
            cluster: self,
            slot: slot.to_string(),
            from: self.primary(from),
            to: self.primary(to),
        };
        migration.set(migration.to, "IMPORTING", migration.from);
        migration.set(migration.from, "MIGRATING", migration.to);
        migration
    }
}

impl Migration<'_> {
    /// Migrates as many keys as there are, `most` at most. Returns how many.
    pub fn keys(&self, most: usize) -> usize {
        let most = most.to_string();
        let list = ["CLUSTER", "GETKEYSINSLOT", &self.slot, &most];
        let keys: Vec<String> = self.cluster.command(self.from, &list);
        if !keys.is_empty() {
            self.send(&keys);
        }
        keys.len()
    }

    /// Migrates this key.
    pub fn key(&self, key: &str) {
        self.send(&[key.to_owned()]);
    }

    /// Moves the rest, and sets the new owner of the slot on the primaries. The replicas learn it from them, and no gossip takes
    /// the slot away from the new owner again.
    pub fn finish(self) {
        while self.keys(BATCH) > 0 {}
        // The new owner first: in the other order the slot would have none in between.
        self.set(self.to, "NODE", self.to);
        self.set(self.from, "NODE", self.to);
        let others = self.cluster.primaries();
        for other in others
            .into_iter()
            .filter(|&port| port != self.to && port != self.from)
        {
            self.set(other, "NODE", self.to);
        }
        let (slot, to) = (
            self.slot.parse().unwrap(),
            self.cluster.index(self.to) % SHARDS,
        );
        self.cluster.settle();
        assert_eq!(self.cluster.shard_of(slot), to, "slot {slot} has not moved");
    }

    fn send(&self, keys: &[String]) {
        let port = self.to.to_string();
        let mut command = vec!["MIGRATE", "127.0.0.1", &port, "", "0", MIGRATE_TIMEOUT];
        if self.cluster.options.users {
            command.extend(["AUTH2", ADMIN, ADMIN_PASSWORD]);
        }
        command.push("KEYS");
        command.extend(keys.iter().map(String::as_str));
        let () = self.cluster.command(self.from, &command);
    }

    fn set(&self, port: u16, what: &str, node: u16) {
        let id = Layout::id(self.cluster.index(node));
        let () = self
            .cluster
            .command(port, &["CLUSTER", "SETSLOT", &self.slot, what, &id]);
    }
}

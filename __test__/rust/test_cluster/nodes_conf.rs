//! The nodes of the cluster at its start, and the `nodes.conf` of each.

use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Primaries; each has one replica.
pub const SHARDS: usize = 3;

/// Hash slots of a Redis Cluster.
const SLOTS: usize = 16_384;

pub struct Layout {
    /// The primaries first, then the replica of each.
    pub ports: Vec<u16>,
    /// The ports of the cluster bus, in the same order.
    buses: Vec<u16>,
    host_names: bool,
}

impl Layout {
    pub fn new(ports: &[u16], host_names: bool) -> Self {
        let (ports, buses) = ports.split_at(2 * SHARDS);
        Self {
            ports: ports.to_vec(),
            buses: buses.to_vec(),
            host_names,
        }
    }

    /// Writes the file of `node` into `folder`. Returns the arguments that the node is started with.
    pub fn arguments(&self, node: usize, folder: &Path) -> Vec<String> {
        let file = folder.join(format!("{}.conf", self.ports[node]));
        fs::write(&file, self.file(node)).unwrap();
        let bus = self.buses[node].to_string();
        [
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            &bus,
            "--cluster-config-file",
            file.to_str().unwrap(),
            // As on ElastiCache: the others serve while a shard is away.
            "--cluster-require-full-coverage",
            "no",
            // A replica takes over only on command.
            "--cluster-replica-no-failover",
            "yes",
            "--repl-diskless-sync-delay",
            "0",
        ]
        .map(str::to_owned)
        .into()
    }

    /// The slots that `shard` has at the start.
    pub fn slots(shard: usize) -> (usize, usize) {
        let from = |shard: usize| (shard * SLOTS).div_ceil(SHARDS);
        (from(shard), from(shard + 1) - 1)
    }

    /// The node id of the node with this index.
    pub fn id(node: usize) -> String {
        format!("{:040x}", node + 1)
    }

    /// The index of the node with this id.
    pub fn node(id: &str) -> usize {
        usize::from_str_radix(id, 16).unwrap() - 1
    }

    fn file(&self, myself: usize) -> String {
        let mut text = String::new();
        for node in 0..2 * SHARDS {
            let shard = node % SHARDS;
            let epoch = shard + 1;
            let host = if self.host_names { "localhost" } else { "" };
            let is_me = if node == myself { "myself," } else { "" };
            let endpoint = format!("127.0.0.1:{}@{},{host}", self.ports[node], self.buses[node]);
            let role = if node < SHARDS {
                let (first, last) = Self::slots(shard);
                format!("{is_me}master - 0 0 {epoch} connected {first}-{last}")
            } else {
                let primary = Self::id(shard);
                format!("{is_me}slave {primary} 0 0 {epoch} connected")
            };
            writeln!(text, "{} {endpoint} {role}", Self::id(node)).unwrap();
        }
        writeln!(text, "vars currentEpoch {SHARDS} lastVoteEpoch 0").unwrap();
        text
    }
}

/// The hash slot of a key: of the text between its first braces, if there is any.
pub fn slot_of(key: &str) -> u16 {
    let tag = key
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'))
        .map(|(tag, _)| tag)
        .filter(|tag| !tag.is_empty())
        .unwrap_or(key);
    let crc = tag.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    });
    crc % 16_384
}

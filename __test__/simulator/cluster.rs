//! The shard map of a modelled cluster, as a node knows it, and its changes.

use super::server::NodeId;

pub const SLOTS: u16 = 16384;

/// The shards of a cluster, as a node knows them. One Redis is one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// First slot, last slot, shard.
    pub ranges: Vec<(u16, u16, usize)>,
    /// By shard.
    pub primaries: Vec<NodeId>,
    pub replicas: Vec<Vec<NodeId>>,
}

/// A slot whose keys move from one shard to another, one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    pub slot: u16,
    pub from: usize,
    pub to: usize,
}

impl View {
    /// `shards` equal ranges; of shard n, the primary is node n, and the replicas are nodes n + shards, n + 2 × shards, …
    pub fn split(shards: usize, replicas: usize) -> Self {
        let bound = |shard: usize| (shard * usize::from(SLOTS) / shards) as u16;
        Self {
            ranges: (0..shards)
                .map(|n| (bound(n), bound(n + 1) - 1, n))
                .collect(),
            primaries: (0..shards).collect(),
            replicas: (0..shards)
                .map(|n| (1..=replicas).map(|r| n + r * shards).collect())
                .collect(),
        }
    }

    pub fn shard_of(&self, slot: u16) -> Option<usize> {
        let range = self
            .ranges
            .iter()
            .find(|(first, last, _)| (*first..=*last).contains(&slot));
        range.map(|&(_, _, shard)| shard)
    }

    /// The same, where `to` serves the slot.
    pub fn with_slot(&self, slot: u16, to: usize) -> Self {
        let mut ranges = Vec::with_capacity(self.ranges.len() + 2);
        for &(first, last, shard) in &self.ranges {
            if !(first..=last).contains(&slot) {
                ranges.push((first, last, shard));
                continue;
            }
            if first < slot {
                ranges.push((first, slot - 1, shard));
            }
            ranges.push((slot, slot, to));
            if slot < last {
                ranges.push((slot + 1, last, shard));
            }
        }
        Self {
            ranges,
            ..self.clone()
        }
    }

    /// The same, where `node`, a replica, is the primary of `shard`, and the former one its replica.
    pub fn with_primary(&self, shard: usize, node: NodeId) -> Self {
        let mut next = self.clone();
        let former = std::mem::replace(&mut next.primaries[shard], node);
        next.replicas[shard].retain(|&replica| replica != node);
        next.replicas[shard].push(former);
        next
    }
}

/// CRC16 (XMODEM) of the hash tag. (Redis cluster specification, "Key distribution model".)
pub fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|&byte| byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|&byte| byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    let mut crc = 0_u16;
    for &byte in tag.unwrap_or(key) {
        crc ^= u16::from(byte) << 8;
        for _ in 0..8 {
            crc = crc << 1 ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 };
        }
    }
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_the_checksum_of_the_hash_tag() {
        assert_eq!(slot_of(b"123456789"), 0x31C3);
        assert_eq!(slot_of(b"{123456789}:a"), 0x31C3);
        assert_eq!(slot_of(b"{}a"), slot_of(b"{}a"));
    }

    #[test]
    fn slots_and_primaries_move() {
        let view = View::split(3, 1);
        assert_eq!(
            view.ranges,
            [(0, 5460, 0), (5461, 10921, 1), (10922, 16383, 2)]
        );
        let moved = view.with_slot(5461, 2).with_primary(1, 4);
        assert_eq!(moved.shard_of(5461), Some(2));
        assert_eq!(moved.shard_of(5462), Some(1));
        assert_eq!(
            (moved.primaries[1], moved.replicas[1].clone()),
            (4, vec![1])
        );
    }
}

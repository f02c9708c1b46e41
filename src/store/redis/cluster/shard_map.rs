//! The shard map: the shard of each slot, and the primary of each shard.
//!
//! A shard number only isolates failures and queues: a request is routed by the slot of its key.

use super::slot::{self, SLOTS};
use crate::quota::{Id, Namespace};

/// The shards of one Redis or one Redis Cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardMap {
    /// `None`: one shard holds all slots.
    shard_of_slot: Option<Box<[u16]>>,
    /// Host and port of each shard's primary, where it is known.
    primaries: Vec<Option<String>>,
}

impl ShardMap {
    /// One shard, which holds all slots.
    pub fn one(primary: Option<String>) -> Self {
        Self {
            shard_of_slot: None,
            primaries: vec![primary],
        }
    }

    /// The shards of a cluster: for each slot the number of its shard, and for each shard its primary. A slot beyond the end
    /// of `shard_of_slot` is in the first shard.
    pub fn new(shard_of_slot: Box<[u16]>, primaries: Vec<Option<String>>) -> Self {
        Self {
            shard_of_slot: Some(shard_of_slot),
            primaries,
        }
    }

    /// `shards` shards with slots in ranges of equal length. For tests.
    pub fn split(shards: u16) -> Self {
        let shards = shards.max(1);
        let shard = |slot: u16| u32::from(slot) * u32::from(shards) / u32::from(SLOTS);
        Self::new(
            (0..SLOTS).map(|slot| shard(slot) as u16).collect(),
            vec![None; usize::from(shards)],
        )
    }

    /// The slot of the log of `id` in the namespace `name`.
    pub fn slot_of(name: &Namespace, id: &Id) -> u16 {
        slot::of_key_from(|key| name.write_key(id, key))
    }

    /// The shard that holds a slot.
    pub fn shard_of(&self, slot: u16) -> usize {
        let shards = self.shard_of_slot.as_deref().unwrap_or_default();
        shards
            .get(usize::from(slot))
            .copied()
            .map_or(0, usize::from)
    }

    /// The shard that holds the log of `id` in the namespace `name`. Computes no slot where there is one shard.
    pub fn shard_of_id(&self, name: &Namespace, id: &Id) -> usize {
        match self.shard_of_slot {
            None => 0,
            Some(_) => self.shard_of(Self::slot_of(name, id)),
        }
    }

    /// The number of shards.
    pub fn shards(&self) -> usize {
        self.primaries.len()
    }

    /// Host and port of the shard's primary. `None`: unknown.
    pub fn primary_of(&self, shard: usize) -> Option<&str> {
        self.primaries.get(shard)?.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_shard_holds_all_slots() {
        let map = ShardMap::one(Some("redis:6379".to_owned()));
        assert_eq!((map.shards(), map.primary_of(0)), (1, Some("redis:6379")));
        assert_eq!((map.shard_of(0), map.shard_of(SLOTS - 1)), (0, 0));
        assert_eq!(map.primary_of(1), None);
    }

    #[test]
    fn split_shards_have_equal_ranges() {
        let map = ShardMap::split(3);
        let mut counts = [0; 3];
        let shards: Vec<_> = (0..SLOTS).map(|slot| map.shard_of(slot)).collect();
        shards.iter().for_each(|&shard| counts[shard] += 1);
        assert!(shards.is_sorted());
        assert!(counts.iter().all(|&count| count == 5461 || count == 5462));
    }

    #[test]
    fn an_id_is_in_the_shard_of_the_slot_of_its_key() {
        let map = ShardMap::split(16);
        let name = Namespace::new("t").unwrap();
        for n in 0..100 {
            let id = Id::new(n.to_string()).unwrap();
            let slot = slot::of(&name.key(&id));
            assert_eq!(ShardMap::slot_of(&name, &id), slot);
            assert_eq!(map.shard_of_id(&name, &id), map.shard_of(slot));
            assert_eq!(ShardMap::one(None).shard_of_id(&name, &id), 0);
        }
    }
}

//! Which node serves which slot, as one of them has told it, and which part of the store a slot belongs to.
//!
//! A part is a shard over time: its primary changes, and some of its slots may, and it keeps its number, so that what has been
//! seen of it (a breaker, decisions to be replayed) goes on with it. Parts keep what is sick away from what is not; where a key
//! goes, its slot alone decides.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::RangeInclusive;
use std::sync::Arc;

use redis::Value;

use super::slot::SLOTS;
use crate::store::redis::config::RedisConfig;
use crate::store::redis::node::Node;
use crate::store::redis::node::redirect::Address;

/// The slots that a primary serves.
pub(super) type Served = (Address, RangeInclusive<u16>);

type Ranges = Vec<RangeInclusive<u16>>;

/// Who serves what.
pub(super) struct Topology {
    /// By the number of the part.
    shards: Vec<Shard>,
    /// The part of each slot. One that nobody serves stays with the part it was with last.
    parts: Box<[u16]>,
    /// Whether every slot is served.
    complete: bool,
    /// A digest of `parts`.
    division: u64,
}

/// A part's primary.
#[derive(Clone, Default)]
pub(super) struct Shard {
    /// `None`: it has given all its slots away, and keeps its number.
    pub(super) node: Option<Arc<Node>>,
    /// Counts its primaries.
    pub(super) generation: u32,
}

/// What a node that was `asked` answers to `CLUSTER SLOTS`. `None`: this is no such answer.
pub(super) fn served(answer: &Value, asked: &RedisConfig) -> Option<Vec<Served>> {
    let Value::Array(ranges) = answer else {
        return None;
    };
    let range = |range: &Value| {
        let Value::Array(fields) = range else {
            return None;
        };
        // The primary comes first, its replicas after it.
        let [
            Value::Int(first),
            Value::Int(last),
            Value::Array(primary),
            ..,
        ] = fields.as_slice()
        else {
            return None;
        };
        let [host, Value::Int(port), ..] = primary.as_slice() else {
            return None;
        };
        let host = match host {
            Value::BulkString(host) => str::from_utf8(host).ok()?,
            Value::SimpleString(host) => host,
            // It does not know its own address.
            Value::Nil => "",
            _ => return None,
        };
        let slots = u16::try_from(*first).ok()?..=u16::try_from(*last).ok()?;
        let address = Address::named(host, u16::try_from(*port).ok()?, asked);
        (!slots.is_empty() && *slots.end() < SLOTS).then_some((address, slots))
    };
    ranges.iter().map(range).collect()
}

impl Topology {
    /// Before anything is known.
    pub(super) fn unknown() -> Self {
        Self {
            shards: Vec::new(),
            parts: vec![0; usize::from(SLOTS)].into(),
            complete: false,
            division: 0,
        }
    }

    /// The one that comes after this one: `served` by the nodes that `node` finds.
    pub(super) fn next(
        &self,
        served: &[Served],
        mut node: impl FnMut(&Address) -> Arc<Node>,
    ) -> Self {
        let mut primaries: BTreeMap<&Address, Ranges> = BTreeMap::new();
        for (address, slots) in served {
            primaries.entry(address).or_default().push(slots.clone());
        }
        let primaries: Vec<_> = primaries.into_iter().collect();
        let numbers = self.numbers(&primaries);
        let mut next = Self {
            shards: self.shards.clone(),
            parts: self.parts.clone(),
            complete: false,
            division: 0,
        };
        for (part, shard) in next.shards.iter_mut().enumerate() {
            if !numbers.contains(&part) {
                shard.node = None;
            }
        }
        let mut count = 0;
        for ((address, ranges), &part) in primaries.iter().zip(&numbers) {
            next.install(part, node(address));
            for slots in ranges {
                let (first, last) = (usize::from(*slots.start()), usize::from(*slots.end()));
                next.parts[first..=last].fill(part as u16);
                count += slots.len();
            }
        }
        next.complete = count == usize::from(SLOTS);
        let mut hasher = DefaultHasher::new();
        next.parts.hash(&mut hasher);
        next.division = hasher.finish();
        next
    }

    /// The part of each primary: the one that most of its slots were with, if no other primary has more of those; else one
    /// that serves nothing, else a new one.
    fn numbers(&self, primaries: &[(&Address, Ranges)]) -> Vec<usize> {
        let mut shared = Vec::new();
        for (at, (_, ranges)) in primaries.iter().enumerate() {
            let mut with = vec![0u16; self.shards.len()];
            for slot in ranges.iter().cloned().flatten() {
                if let Some(count) = with.get_mut(usize::from(self.parts[usize::from(slot)])) {
                    *count += 1;
                }
            }
            let with = with.into_iter().enumerate();
            shared.extend(with.filter_map(|(part, n)| (n > 0).then_some((n, at, part))));
        }
        shared.sort_unstable_by(|a, b| b.cmp(a));
        let mut numbers = vec![None; primaries.len()];
        let mut taken = vec![false; self.shards.len()];
        for (_, at, part) in shared {
            if numbers[at].is_none() && !taken[part] {
                numbers[at] = Some(part);
                taken[part] = true;
            }
        }
        let mut free = (0..).filter(|&part| !taken.get(part).is_some_and(|&taken| taken));
        let numbers = numbers.into_iter();
        numbers
            .map(|number| number.or_else(|| free.next()).unwrap_or_default())
            .collect()
    }

    fn install(&mut self, part: usize, node: Arc<Node>) {
        if part >= self.shards.len() {
            self.shards.resize_with(part + 1, Shard::default);
        }
        let shard = &mut self.shards[part];
        let known = shard
            .node
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, &node));
        if !known {
            shard.generation = shard.generation.wrapping_add(1);
            shard.node = Some(node);
        }
    }

    /// The same for the same parts of all slots, whoever serves them.
    pub(super) fn division(&self) -> u64 {
        self.division
    }

    /// The part that a slot belongs to.
    pub(super) fn part(&self, slot: u16) -> usize {
        usize::from(self.parts[usize::from(slot)])
    }

    /// A part's primary.
    pub(super) fn shard(&self, part: usize) -> Option<&Shard> {
        self.shards.get(part)
    }

    /// The node that serves a slot. Where nobody does, one that may know better.
    pub(super) fn node(&self, slot: u16) -> Option<&Arc<Node>> {
        let shard = self.shards.get(self.part(slot));
        let serves = shard.and_then(|shard| shard.node.as_ref());
        serves.or_else(|| self.nodes().next())
    }

    /// Every primary.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.shards.iter().filter_map(|shard| shard.node.as_ref())
    }

    /// Whether every slot is served, and every primary can be reached as far as is known.
    pub(super) fn is_well(&self) -> bool {
        self.complete && !self.nodes().any(|node| node.is_away())
    }
}

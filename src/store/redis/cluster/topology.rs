//! The shard map: the node that serves each slot, from a reply to `CLUSTER SLOTS`, and the shard of each slot.
//!
//! A shard keeps its number while its primary and some of its slots change, so that its circuit breaker and its journal stay
//! with it. The number only isolates failures: a request is routed by the slot of its key.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use redis::Value;

pub use super::redirect::Address;
use super::slot::SLOTS;
use crate::store::redis::config::RedisConfig;

/// A primary and slots that it serves.
pub type Served = (Address, RangeInclusive<u16>);

type Ranges = Vec<RangeInclusive<u16>>;

/// A reply to `CLUSTER SLOTS`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slots {
    /// The primaries and their slots.
    pub served: Vec<Served>,
    /// Their replicas, which may serve the slots one day.
    pub replicas: Vec<Address>,
}

/// The shards and their slots. `N` is a node.
pub struct Topology<N> {
    /// Indexed by shard number.
    shards: Vec<Shard<N>>,
    /// The shard of each slot. An unserved slot stays in its last shard.
    shard_of_slot: Box<[u16]>,
    replicas: Vec<Address>,
    complete: bool,
}

/// A shard and its primary.
pub struct Shard<N> {
    /// `None` if the shard has no slots left. It keeps its number.
    pub node: Option<Arc<N>>,
    /// The number of primaries it has had.
    pub(crate) generation: u32,
}

impl Slots {
    /// Reads the `reply` of the node `queried`, and leaves out malformed rows. `None` if there are no others. A slot has one
    /// primary: a row that gives it a second one is left out.
    pub fn read(reply: &Value, queried: &RedisConfig) -> Option<Self> {
        let Value::Array(rows) = reply else {
            return None;
        };
        let mut slots = Self::default();
        let mut assigned = [false; SLOTS as usize];
        for row in rows {
            if let Some((served, replicas)) = read_row(row, queried) {
                let (first, last) = (*served.1.start(), *served.1.end());
                let assigned = &mut assigned[usize::from(first)..=usize::from(last)];
                if assigned.contains(&true) {
                    continue;
                }
                assigned.fill(true);
                slots.served.push(served);
                slots.replicas.extend(replicas);
            }
        }
        slots.replicas.sort_unstable();
        slots.replicas.dedup();
        (rows.is_empty() || !slots.served.is_empty()).then_some(slots)
    }

    /// The number of slots that are served.
    pub fn count(&self) -> usize {
        self.served.iter().map(|(_, slots)| slots.len()).sum()
    }

    /// Whether `other` has the same primaries with the same slots.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        let [mut a, mut b] = [self, other].map(|slots| slots.served.iter().collect());
        for served in [&mut a, &mut b] {
            let served: &mut Vec<&Served> = served;
            served.sort_by_key(|(_, slots)| *slots.start());
        }
        a == b
    }
}

/// A row has the first and the last slot, the primary, and its replicas.
fn read_row(row: &Value, queried: &RedisConfig) -> Option<(Served, Vec<Address>)> {
    let Value::Array(fields) = row else {
        return None;
    };
    let [Value::Int(first), Value::Int(last), primary, replicas @ ..] = fields.as_slice() else {
        return None;
    };
    let slots = u16::try_from(*first).ok()?..=u16::try_from(*last).ok()?;
    if slots.is_empty() || *slots.end() >= SLOTS {
        return None;
    }
    let address = |node| read_address(node, queried);
    let served = (address(primary)?, slots);
    Some((served, replicas.iter().filter_map(address).collect()))
}

fn read_address(node: &Value, queried: &RedisConfig) -> Option<Address> {
    let Value::Array(fields) = node else {
        return None;
    };
    let [host, Value::Int(port), ..] = fields.as_slice() else {
        return None;
    };
    let host = match host {
        Value::BulkString(host) => str::from_utf8(host).ok()?,
        Value::SimpleString(host) => host,
        // The node does not know its own address.
        Value::Nil => "",
        _ => return None,
    };
    Address::named(host, u16::try_from(*port).ok()?, queried)
}

impl<N> Topology<N> {
    /// The topology before the first reply.
    pub fn unknown() -> Self {
        Self {
            shards: Vec::new(),
            shard_of_slot: vec![0; usize::from(SLOTS)].into(),
            replicas: Vec::new(),
            complete: false,
        }
    }

    /// The topology after this one, from a reply. `node` returns the node at an address.
    pub fn next(&self, slots: &Slots, mut node: impl FnMut(&Address) -> Arc<N>) -> Self {
        let mut primaries: BTreeMap<&Address, Ranges> = BTreeMap::new();
        for (address, slots) in &slots.served {
            primaries.entry(address).or_default().push(slots.clone());
        }
        let primaries: Vec<_> = primaries
            .into_iter()
            .map(|(address, ranges)| (node(address), ranges))
            .collect();
        let numbers = self.numbers(&primaries);
        let mut next = Self {
            shards: self.shards.clone(),
            shard_of_slot: self.shard_of_slot.clone(),
            replicas: slots.replicas.clone(),
            complete: false,
        };
        for (number, shard) in next.shards.iter_mut().enumerate() {
            if !numbers.contains(&number) {
                shard.node = None;
            }
        }
        let mut count = 0;
        for ((node, ranges), &number) in primaries.iter().zip(&numbers) {
            next.install(number, node);
            for slots in ranges {
                let (first, last) = (usize::from(*slots.start()), usize::from(*slots.end()));
                next.shard_of_slot[first..=last].fill(number as u16);
                count += slots.len();
            }
        }
        next.complete = count == usize::from(SLOTS);
        next
    }

    /// The shard number of each primary: that of the shard that had most of its slots, unless another primary has more slots of that
    /// shard, or as many and was its primary before; else the number of a shard without slots; else a new number.
    fn numbers(&self, primaries: &[(Arc<N>, Ranges)]) -> Vec<usize> {
        let mut overlaps = Vec::new();
        for (at, (node, ranges)) in primaries.iter().enumerate() {
            let mut counts = vec![0u16; self.shards.len()];
            for slot in ranges.iter().cloned().flatten() {
                if let Some(count) =
                    counts.get_mut(usize::from(self.shard_of_slot[usize::from(slot)]))
                {
                    *count += 1;
                }
            }
            let counts = counts.into_iter().enumerate().filter(|&(_, n)| n > 0);
            let stays = |number: usize| self.shards[number].is(node);
            overlaps.extend(counts.map(|(number, n)| (n, stays(number), at, number)));
        }
        overlaps.sort_unstable_by(|a, b| b.cmp(a));
        let mut numbers = vec![None; primaries.len()];
        let mut taken = vec![false; self.shards.len()];
        for (_, _, at, number) in overlaps {
            if numbers[at].is_none() && !taken[number] {
                numbers[at] = Some(number);
                taken[number] = true;
            }
        }
        let mut free = (0..).filter(|&number| !taken.get(number).is_some_and(|&taken| taken));
        let numbers = numbers.into_iter();
        numbers
            .map(|number| number.or_else(|| free.next()).unwrap_or_default())
            .collect()
    }

    fn install(&mut self, number: usize, node: &Arc<N>) {
        if number >= self.shards.len() {
            self.shards.resize_with(number + 1, Shard::default);
        }
        let shard = &mut self.shards[number];
        if !shard.is(node) {
            shard.generation = shard.generation.wrapping_add(1);
            shard.node = Some(Arc::clone(node));
        }
    }

    /// The shard of each slot.
    pub(crate) fn shard_of_slot(&self) -> &[u16] {
        &self.shard_of_slot
    }

    /// The primary of each shard.
    pub(crate) fn primaries(&self) -> impl Iterator<Item = Option<&Arc<N>>> {
        self.shards.iter().map(|shard| shard.node.as_ref())
    }

    /// The number of a slot's shard.
    pub fn shard_of(&self, slot: u16) -> usize {
        usize::from(self.shard_of_slot[usize::from(slot)])
    }

    /// The shard with this number.
    pub fn shard(&self, number: usize) -> Option<&Shard<N>> {
        self.shards.get(number)
    }

    /// The node that serves a slot. For an unserved slot, any node that may know better: one that is not away, if there is one.
    pub(crate) fn nearest(&self, slot: u16, is_away: impl Fn(&N) -> bool) -> Option<&Arc<N>> {
        let shard = self.shards.get(self.shard_of(slot));
        let serves = shard.and_then(|shard| shard.node.as_ref());
        serves
            .or_else(|| self.nodes().find(|node| !is_away(node)))
            .or_else(|| self.nodes().next())
    }

    /// All primaries.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<N>> {
        self.shards.iter().filter_map(|shard| shard.node.as_ref())
    }

    /// The addresses of all replicas.
    pub(crate) fn replicas(&self) -> &[Address] {
        &self.replicas
    }

    /// Whether every slot is served.
    pub fn is_complete(&self) -> bool {
        self.complete
    }
}

impl<N> Shard<N> {
    /// Whether `node` is its primary.
    fn is(&self, node: &Arc<N>) -> bool {
        let known = self.node.as_ref();
        known.is_some_and(|known| Arc::ptr_eq(known, node))
    }
}

// Derived, they would require as much of `N`.
impl<N> Clone for Shard<N> {
    fn clone(&self) -> Self {
        Self {
            node: self.node.clone(),
            generation: self.generation,
        }
    }
}

impl<N> Default for Shard<N> {
    fn default() -> Self {
        Self {
            node: None,
            generation: 0,
        }
    }
}

#[cfg(test)]
mod tests;

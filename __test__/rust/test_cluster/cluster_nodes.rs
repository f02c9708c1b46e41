//! `CLUSTER NODES`: the cluster as its nodes see it.

use std::ops::RangeInclusive;

use super::Cluster;
use super::nodes_conf::{Layout, SHARDS};

/// One line of `CLUSTER NODES`.
#[derive(Debug, PartialEq)]
struct Node {
    index: usize,
    /// Empty where the node announces none, or has not yet announced it to the node that is queried: after a start Redis from 7.2
    /// on and Valkey learn it from the node alone, and show `?` until then.
    name: String,
    /// The index of its primary. `None`: it is one, or was one when it failed.
    follows: Option<usize>,
    epoch: u64,
    slots: Vec<RangeInclusive<u16>>,
    /// Connected, and not marked as failed.
    is_healthy: bool,
}

impl Cluster {
    /// The ports of the primaries, in order of the shards.
    pub fn primaries(&self) -> Vec<u16> {
        (0..SHARDS).map(|shard| self.primary(shard)).collect()
    }

    /// The port of the primary of `shard`, once the live nodes agree on it.
    pub fn primary(&self, shard: usize) -> u16 {
        let otherwise = format!("the primary of shard {shard} is in dispute");
        self.agreed(&otherwise, |queried| self.primary_by(queried, shard))
    }

    /// The port of the replica of `shard`: the node that is not its primary.
    pub fn replica(&self, shard: usize) -> u16 {
        let primary = self.primary(shard);
        let [one, other] = [shard, shard + SHARDS].map(|node| self.ports()[node]);
        if primary == one { other } else { one }
    }

    /// The shard that serves `slot`, once the live nodes agree on it.
    pub fn shard_of(&self, slot: u16) -> usize {
        let otherwise = format!("the shard of slot {slot} is in dispute");
        self.agreed(&otherwise, |queried| self.shard_by(queried, slot))
    }

    /// The port of the primary of `shard` according to the node on `queried`. `None`, too, if that node does not answer.
    pub(super) fn primary_by(&self, queried: u16, shard: usize) -> Option<u16> {
        let is_it = |node: &Node| node.index % SHARDS == shard && !node.slots.is_empty();
        let node = self.nodes_by(queried).into_iter().find(is_it)?;
        Some(self.ports()[node.index])
    }

    /// The shard that serves `slot` according to the node on `queried`.
    fn shard_by(&self, queried: u16, slot: u16) -> Option<usize> {
        let serves = |node: &Node| node.slots.iter().any(|range| range.contains(&slot));
        let node = self.nodes_by(queried).into_iter().find(serves)?;
        Some(node.index % SHARDS)
    }

    /// The port of a replica's primary according to the replica.
    pub(super) fn primary_of(&self, replica: u16) -> Option<u16> {
        let index = self.index(replica);
        let mut nodes = self.nodes_by(replica).into_iter();
        let primary = nodes.find(|node| node.index == index)?.follows?;
        Some(self.ports()[primary])
    }

    /// Whether the live nodes agree on all nodes: their names, the slots that each serves, since which epoch, and which primary
    /// each follows. Of the unavailable ones only the slots count: some nodes learn of their state later than others.
    pub(super) fn agree(&self) -> bool {
        let live = self.live();
        let view = |&port: &u16| {
            let mut nodes = self.nodes_by(port);
            let unavailable = |node: &Node| !live.contains(&self.ports()[node.index]);
            nodes.retain(|node| !unavailable(node) || !node.slots.is_empty());
            for node in &mut nodes {
                // A replica has the epoch of its primary.
                if unavailable(node) || node.follows.is_some() {
                    node.epoch = 0;
                }
                if unavailable(node) {
                    node.name.clear();
                }
                node.is_healthy |= unavailable(node);
            }
            nodes.sort_by_key(|node| node.index);
            nodes
        };
        let views: Vec<_> = live.iter().map(view).collect();
        let healthy = views[0].iter().all(|node| node.is_healthy);
        healthy && views[0].len() >= live.len() && views.iter().all(|view| *view == views[0])
    }

    /// The value on which all live nodes agree.
    fn agreed<T: PartialEq>(&self, otherwise: &str, by: impl Fn(u16) -> Option<T>) -> T {
        self.until_some(otherwise, || {
            let views = self.live().into_iter().map(&by);
            let mut views = views.collect::<Option<Vec<_>>>()?;
            let one = views.pop()?;
            views.iter().all(|other| *other == one).then_some(one)
        })
    }

    fn nodes_by(&self, queried: u16) -> Vec<Node> {
        let text: String = self
            .try_command(queried, &["CLUSTER", "NODES"])
            .unwrap_or_default();
        text.lines().map(node).collect()
    }
}

/// `<id> <endpoint> <flags> <primary> <ping> <pong> <epoch> <link> <slots …>`
fn node(line: &str) -> Node {
    let words: Vec<_> = line.split(' ').collect();
    let flags: Vec<_> = words[2].split(',').collect();
    let has_failed = flags.iter().any(|flag| ["fail", "fail?"].contains(flag));
    Node {
        index: Layout::node(words[0]),
        name: words[1].split(',').nth(1).unwrap_or_default().to_owned(),
        follows: (words[3] != "-").then(|| Layout::node(words[3])),
        epoch: words[6].parse().unwrap(),
        // A slot in migration is in brackets, and still listed with its old owner.
        slots: words[8..].iter().filter_map(|text| range(text)).collect(),
        is_healthy: words[7] == "connected" && !has_failed,
    }
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

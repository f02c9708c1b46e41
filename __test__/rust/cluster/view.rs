//! What a node says of the cluster.

use std::ops::RangeInclusive;

use super::Cluster;
use super::layout::{Layout, SHARDS};

/// One line of `CLUSTER NODES`.
struct Node {
    index: usize,
    is_primary: bool,
    slots: Vec<RangeInclusive<u16>>,
}

impl Cluster {
    /// The ports of the primaries, in order of the shards.
    pub fn primaries(&self) -> Vec<u16> {
        (0..SHARDS).map(|shard| self.primary(shard)).collect()
    }

    /// The port of the primary of `shard`, as the nodes that can be asked have it.
    pub fn primary(&self, shard: usize) -> u16 {
        let asked = self.anybody();
        self.primary_by(asked, shard)
            .unwrap_or_else(|| panic!("{asked} knows no primary of shard {shard}"))
    }

    /// The port of the replica of `shard`: whoever is not its primary.
    pub fn replica(&self, shard: usize) -> u16 {
        let primary = self.primary(shard);
        let [one, other] = [shard, shard + SHARDS].map(|node| self.ports()[node]);
        if primary == one { other } else { one }
    }

    /// The shard that serves `slot`.
    pub fn shard_of(&self, slot: u16) -> usize {
        self.shard_by(self.anybody(), slot)
            .unwrap_or_else(|| panic!("nobody serves slot {slot}"))
    }

    /// The port of the primary of `shard` by the word of `asked`; `None` too if that says nothing.
    pub(super) fn primary_by(&self, asked: u16, shard: usize) -> Option<u16> {
        let is_it = |node: &Node| node.is_primary && node.index % SHARDS == shard;
        let node = self.nodes_by(asked).into_iter().find(is_it)?;
        Some(self.ports()[node.index])
    }

    /// The shard that serves `slot` by the word of `asked`.
    pub(super) fn shard_by(&self, asked: u16, slot: u16) -> Option<usize> {
        let serves = |node: &Node| node.slots.iter().any(|range| range.contains(&slot));
        let node = self.nodes_by(asked).into_iter().find(serves)?;
        Some(node.index % SHARDS)
    }

    fn nodes_by(&self, asked: u16) -> Vec<Node> {
        let text: String = self
            .try_command(asked, &["CLUSTER", "NODES"])
            .unwrap_or_default();
        text.lines().map(node).collect()
    }

    fn anybody(&self) -> u16 {
        self.speaking()[0]
    }
}

/// `<id> <place> <flags> <primary> <ping> <pong> <epoch> <link> <slots …>`
fn node(line: &str) -> Node {
    let words: Vec<_> = line.split(' ').collect();
    let flags: Vec<_> = words[2].split(',').collect();
    Node {
        index: Layout::node(words[0]),
        // One that has failed may be called a primary still, beside the one that took over.
        is_primary: flags.contains(&"master") && words.len() > 8,
        // What is on its way is in brackets, and still where it was.
        slots: words[8..].iter().filter_map(|text| range(text)).collect(),
    }
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

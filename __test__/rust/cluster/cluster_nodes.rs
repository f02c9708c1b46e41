//! What the nodes say of the cluster.

use std::ops::RangeInclusive;

use super::Cluster;
use super::nodes_conf::{Layout, SHARDS};

/// One line of `CLUSTER NODES`.
#[derive(Debug, PartialEq)]
struct Node {
    index: usize,
    /// Empty where it announces none, or has not told the one that is asked: after a start Redis from 7.2 on and Valkey hear it
    /// from the node alone, and say `?` until then.
    name: String,
    /// Its primary's; `None`: it is one, or was one when it failed.
    follows: Option<usize>,
    epoch: u64,
    slots: Vec<RangeInclusive<u16>>,
    /// Connected, and not held to have failed.
    is_well: bool,
}

impl Cluster {
    /// The ports of the primaries, in order of the shards.
    pub fn primaries(&self) -> Vec<u16> {
        (0..SHARDS).map(|shard| self.primary(shard)).collect()
    }

    /// The port of the primary of `shard`, once the nodes that can be asked agree on it.
    pub fn primary(&self, shard: usize) -> u16 {
        let otherwise = format!("the primary of shard {shard} is in dispute");
        self.agreed(&otherwise, |asked| self.primary_by(asked, shard))
    }

    /// The port of the replica of `shard`: whoever is not its primary.
    pub fn replica(&self, shard: usize) -> u16 {
        let primary = self.primary(shard);
        let [one, other] = [shard, shard + SHARDS].map(|node| self.ports()[node]);
        if primary == one { other } else { one }
    }

    /// The shard that serves `slot`, once the nodes that can be asked agree on it.
    pub fn shard_of(&self, slot: u16) -> usize {
        let otherwise = format!("the shard of slot {slot} is in dispute");
        self.agreed(&otherwise, |asked| self.shard_by(asked, slot))
    }

    /// The port of the primary of `shard` by the word of `asked`; `None` too if that says nothing.
    pub(super) fn primary_by(&self, asked: u16, shard: usize) -> Option<u16> {
        let is_it = |node: &Node| node.index % SHARDS == shard && !node.slots.is_empty();
        let node = self.nodes_by(asked).into_iter().find(is_it)?;
        Some(self.ports()[node.index])
    }

    /// The shard that serves `slot` by the word of `asked`.
    fn shard_by(&self, asked: u16, slot: u16) -> Option<usize> {
        let serves = |node: &Node| node.slots.iter().any(|range| range.contains(&slot));
        let node = self.nodes_by(asked).into_iter().find(serves)?;
        Some(node.index % SHARDS)
    }

    /// The port of a replica's primary by its own word.
    pub(super) fn primary_of(&self, replica: u16) -> Option<u16> {
        let index = self.index(replica);
        let mut nodes = self.nodes_by(replica).into_iter();
        let primary = nodes.find(|node| node.index == index)?.follows?;
        Some(self.ports()[primary])
    }

    /// Whether the nodes that can be asked say the same of themselves and the others: their names, who serves which slots, since
    /// which epoch, and who follows whom. Of those that cannot be asked only their slots count: some hear later than others how they are.
    pub(super) fn agree(&self) -> bool {
        let speaking = self.speaking();
        let view = |&port: &u16| {
            let mut nodes = self.nodes_by(port);
            let silent = |node: &Node| !speaking.contains(&self.ports()[node.index]);
            nodes.retain(|node| !silent(node) || !node.slots.is_empty());
            for node in &mut nodes {
                // A replica goes by the epoch of its primary.
                if silent(node) || node.follows.is_some() {
                    node.epoch = 0;
                }
                if silent(node) {
                    node.name.clear();
                }
                node.is_well |= silent(node);
            }
            nodes.sort_by_key(|node| node.index);
            nodes
        };
        let views: Vec<_> = speaking.iter().map(view).collect();
        let well = views[0].iter().all(|node| node.is_well);
        well && views[0].len() >= speaking.len() && views.iter().all(|view| *view == views[0])
    }

    /// What all nodes that can be asked say.
    fn agreed<T: PartialEq>(&self, otherwise: &str, by: impl Fn(u16) -> Option<T>) -> T {
        self.until_some(otherwise, || {
            let said = self.speaking().into_iter().map(&by);
            let mut said = said.collect::<Option<Vec<_>>>()?;
            let one = said.pop()?;
            said.iter().all(|other| *other == one).then_some(one)
        })
    }

    fn nodes_by(&self, asked: u16) -> Vec<Node> {
        let text: String = self
            .try_command(asked, &["CLUSTER", "NODES"])
            .unwrap_or_default();
        text.lines().map(node).collect()
    }
}

/// `<id> <place> <flags> <primary> <ping> <pong> <epoch> <link> <slots …>`
fn node(line: &str) -> Node {
    let words: Vec<_> = line.split(' ').collect();
    let flags: Vec<_> = words[2].split(',').collect();
    let has_failed = flags.iter().any(|flag| ["fail", "fail?"].contains(flag));
    Node {
        index: Layout::node(words[0]),
        name: words[1].split(',').nth(1).unwrap_or_default().to_owned(),
        follows: (words[3] != "-").then(|| Layout::node(words[3])),
        epoch: words[6].parse().unwrap(),
        // What is on its way is in brackets, and still where it was.
        slots: words[8..].iter().filter_map(|text| range(text)).collect(),
        is_well: words[7] == "connected" && !has_failed,
    }
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

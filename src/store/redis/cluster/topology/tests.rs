//! The shard of a slot while primaries come, go and swap slots; and replies to `CLUSTER SLOTS`.

use std::collections::BTreeMap;
use std::sync::Arc;

use redis::Value;

use super::{Address, Slots, Topology as Any};
use crate::store::redis::config::with_defaults;

/// Nodes are their ports.
type Topology = Any<u16>;

const LAST: u16 = 16_383;

/// Primaries and their slots: port, first slot, last slot.
fn slots(rows: &[(u16, u16, u16)]) -> Slots {
    let address = |port| Address {
        host: "node".into(),
        port,
    };
    let row = |&(port, first, last): &(u16, u16, u16)| (address(port), first..=last);
    Slots {
        served: rows.iter().map(row).collect(),
        replicas: Vec::new(),
    }
}

/// The next topology. A node that is known stays the same one.
fn after(topology: &Topology, rows: &[(u16, u16, u16)]) -> Topology {
    let mut nodes: BTreeMap<u16, Arc<u16>> = BTreeMap::new();
    nodes.extend(topology.nodes().map(|node| (**node, Arc::clone(node))));
    topology.next(&slots(rows), |address| {
        let node = nodes.entry(address.port);
        Arc::clone(node.or_insert_with(|| Arc::new(address.port)))
    })
}

fn first(rows: &[(u16, u16, u16)]) -> Topology {
    after(&Topology::unknown(), rows)
}

/// The port of each shard's primary, and how many primaries it has had.
fn shards(topology: &Topology) -> Vec<(Option<u16>, u32)> {
    let shards = (0..).map_while(|shard| topology.shard(shard));
    let shard = shards.map(|shard| (shard.node.as_deref().copied(), shard.generation));
    shard.collect()
}

fn node(topology: &Topology, slot: u16) -> Option<u16> {
    topology.nearest(slot, |_| false).map(|node| **node)
}

fn shards_of(topology: &Topology, slots: &[u16]) -> Vec<usize> {
    slots.iter().map(|&slot| topology.shard_of(slot)).collect()
}

const THREE: [(u16, u16, u16); 3] = [(1, 0, 5999), (2, 6000, 9999), (3, 10_000, LAST)];

/// A slot of each primary.
const EACH: [u16; 3] = [0, 6000, LAST];

#[test]
fn an_unknown_topology_is_one_shard_without_a_primary() {
    let topology = Topology::unknown();
    assert_eq!(shards_of(&topology, &EACH), [0, 0, 0]);
    assert_eq!(node(&topology, 0), None);
    assert!(!topology.is_complete());
}

#[test]
fn every_primary_is_a_shard_in_any_order_of_the_rows() {
    for rows in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
        let topology = first(&rows.map(|row| THREE[row]));
        let each = EACH.map(|slot| node(&topology, slot));
        assert_eq!(each, [Some(1), Some(2), Some(3)], "{rows:?}");
        assert_eq!(shards_of(&topology, &EACH), [0, 1, 2], "{rows:?}");
        assert!(topology.is_complete());
        // The same slots in another order and in pieces change nothing.
        let mut pieces = vec![(2, 7000, 9999), (3, 10_000, LAST)];
        pieces.extend([(1, 2000, 5999), (2, 6000, 6999), (1, 0, 1999)]);
        let again = after(&topology, &pieces);
        assert_eq!(shards(&again), shards(&topology));
        assert_eq!(shards_of(&again, &EACH), shards_of(&topology, &EACH));
        assert!(again.is_complete());
    }
}

#[test]
fn a_new_primary_keeps_the_number_of_its_shard() {
    let before = first(&THREE);
    let topology = after(&before, &[THREE[0], (20, 6000, 9999), THREE[2]]);
    assert_eq!(shards_of(&topology, &EACH), shards_of(&before, &EACH));
    let shard = before.shard_of(6000);
    for (at, (new, old)) in shards(&topology)
        .into_iter()
        .zip(shards(&before))
        .enumerate()
    {
        let expected = if at == shard { (Some(20), 2) } else { old };
        assert_eq!(new, expected, "shard {at}");
    }
    // All at once.
    let rows = THREE.map(|(port, first, last)| (port * 10, first, last));
    let topology = after(&before, &rows);
    assert_eq!(shards_of(&topology, &EACH), shards_of(&before, &EACH));
    assert!(shards(&topology).iter().all(|&(_, count)| count == 2));
}

#[test]
fn a_primary_that_is_added_is_a_new_shard() {
    let before = first(&THREE);
    let rows = [
        (1, 0, 4999),
        (2, 6000, 8999),
        THREE[2],
        // Below the others, so that its address is the first.
        (0, 5000, 5999),
        (0, 9000, 9999),
    ];
    let topology = after(&before, &rows);
    assert_eq!(shards_of(&topology, &EACH), shards_of(&before, &EACH));
    assert_eq!(shards_of(&topology, &[5000, 9999]), [3, 3]);
    assert_eq!(shards(&topology)[..3], shards(&before));
    assert_eq!(shards(&topology)[3], (Some(0), 1));
}

#[test]
fn the_number_of_a_removed_shard_is_used_again() {
    let before = first(&THREE);
    let removed = before.shard_of(6000);
    let two = after(&before, &[(1, 0, 9999), THREE[2]]);
    assert_eq!(two.shard_of(6000), two.shard_of(0));
    assert_eq!(two.shard_of(0), before.shard_of(0));
    assert_eq!(shards(&two).len(), 3);
    assert_eq!(shards(&two)[removed], (None, 1));
    assert!(two.is_complete());
    let again = after(&two, &[(1, 0, 8999), (4, 9000, 9999), THREE[2]]);
    assert_eq!(again.shard_of(9000), removed);
    assert_eq!(shards(&again).len(), 3);
    // The generation changes, so that users of the old shard notice.
    assert_eq!(shards(&again)[removed], (Some(4), 2));
}

#[test]
fn a_shard_number_stays_with_its_slots_when_primaries_swap_them() {
    let before = first(&THREE);
    let topology = after(&before, &[(2, 0, 5999), (1, 6000, 9999), THREE[2]]);
    // The logs are in the slots.
    assert_eq!(shards_of(&topology, &EACH), shards_of(&before, &EACH));
    let each = EACH.map(|slot| node(&topology, slot));
    assert_eq!(each, [Some(2), Some(1), Some(3)]);
}

#[test]
fn the_primary_with_most_of_a_shards_slots_has_its_number() {
    let before = first(&THREE);
    // 4 takes 4000 slots of 1, and with them its number; 1 keeps 2000.
    let topology = after(
        &before,
        &[(4, 0, 3999), (1, 4000, 5999), THREE[1], THREE[2]],
    );
    assert_eq!(topology.shard_of(0), before.shard_of(0));
    assert_eq!(topology.shard_of(4000), 3);
    // Of two primaries with half of the slots each, the old one keeps the number.
    for port in [0, 4] {
        let topology = after(
            &before,
            &[(1, 0, 2999), (port, 3000, 5999), THREE[1], THREE[2]],
        );
        assert_eq!(shards_of(&topology, &[0, 3000]), [0, 3], "{port}");
    }
}

#[test]
fn an_unserved_slot_stays_with_its_shard() {
    let before = first(&THREE);
    let topology = after(&before, &[THREE[0], (2, 6000, 9998), THREE[2]]);
    assert!(!topology.is_complete());
    assert_eq!(topology.shard_of(9999), before.shard_of(9999));
    assert_eq!(node(&topology, 9999), Some(2));
    // The whole shard is unserved: another primary may know better, preferably one that can be reached.
    let topology = after(&topology, &[THREE[0], THREE[2]]);
    assert_eq!(shards_of(&topology, &EACH), shards_of(&before, &EACH));
    let nearest = |away: &[u16]| {
        let node = topology.nearest(6000, |node| away.contains(node));
        node.map(|node| **node)
    };
    assert_eq!((nearest(&[3]), nearest(&[1])), (Some(1), Some(3)));
    // One that is away is better than none. A served slot has its own primary, away or not.
    assert!(nearest(&[1, 3]).is_some());
    let serves = topology.nearest(0, |&node| node == 1);
    assert_eq!(serves.map(|node| **node), Some(1));
    // Served again, its slots are in the same shard.
    let topology = after(&topology, &THREE);
    assert_eq!(shards_of(&topology, &EACH), shards_of(&before, &EACH));
    assert!(topology.is_complete());
}

#[test]
fn a_topology_with_some_of_the_slots_is_incomplete() {
    let topology = first(&[THREE[1]]);
    assert!(!topology.is_complete());
    assert_eq!(shards(&topology), [(Some(2), 1)]);
    let topology = after(&topology, &THREE);
    assert!(topology.is_complete());
    assert_eq!(shards(&topology).len(), 3);
}

/// Slots counted twice would make half a table complete; counted five times, they would not fit the counter.
#[test]
fn a_slot_has_one_primary() {
    let half = row(0, 8191, &[(host("a"), 1)]);
    let slots = read(vec![half.clone(), half.clone()]).unwrap();
    assert_eq!((slots.served.len(), slots.count()), (1, 8192));
    let topology = Topology::unknown().next(&slots, |address| Arc::new(address.port));
    assert!(!topology.is_complete());
    // A second claim to some of the slots is left out with its whole row.
    let claim = row(8191, i64::from(LAST), &[(host("b"), 2)]);
    assert_eq!(read(vec![half.clone(), claim]), Some(slots.clone()));
    let whole = vec![row(0, i64::from(LAST), &[(host("a"), 1)]); 5];
    let slots = read(whole).unwrap();
    let again = topology.next(&slots, |address| Arc::new(address.port));
    assert_eq!(
        shards(&again.next(&slots, |a| Arc::new(a.port))),
        [(Some(1), 3)]
    );
}

/// A primary of one range, and its replicas: each is host and port.
fn row(first: i64, last: i64, nodes: &[(Value, i64)]) -> Value {
    let node = |(host, port): &(Value, i64)| {
        let id = Value::BulkString(b"09dbe9720cda62f7865eabc5fd8857c5d2678366".into());
        Value::Array(vec![
            host.clone(),
            Value::Int(*port),
            id,
            Value::Array(vec![]),
        ])
    };
    let slots = [first, last].map(Value::Int);
    Value::Array(slots.into_iter().chain(nodes.iter().map(node)).collect())
}

fn host(name: &str) -> Value {
    Value::BulkString(name.into())
}

fn read(rows: Vec<Value>) -> Option<Slots> {
    Slots::read(&Value::Array(rows), &with_defaults("asked"))
}

fn addresses<'a>(list: impl IntoIterator<Item = &'a Address>) -> Vec<(&'a str, u16)> {
    let pair = |address: &'a Address| (address.host.as_str(), address.port);
    list.into_iter().map(pair).collect()
}

#[test]
fn the_first_node_of_a_row_is_its_primary() {
    let one = row(0, 9, &[(host("a"), 1), (host("b"), 2), (host("c"), 3)]);
    // The same shard's other range; and one without a replica.
    let other = row(20, 29, &[(host("a"), 1), (host("b"), 2)]);
    let slots = read(vec![one, other, row(10, 10, &[(host("d"), 4)])]).unwrap();
    let served = slots.served.iter().map(|(address, _)| address);
    assert_eq!(addresses(served), [("a", 1), ("a", 1), ("d", 4)]);
    assert_eq!(slots.served[1].1, 20..=29);
    assert_eq!(slots.count(), 21);
    assert_eq!(addresses(&slots.replicas), [("b", 2), ("c", 3)]);
    let topology = Topology::unknown().next(&slots, |address| Arc::new(address.port));
    assert_eq!(addresses(topology.replicas()), [("b", 2), ("c", 3)]);
}

#[test]
fn a_node_without_a_host_has_that_of_the_node_that_replied() {
    for none in [Value::Nil, host(""), Value::SimpleString(String::new())] {
        let slots = read(vec![row(0, 9, &[(none.clone(), 1), (none, 2)])]).unwrap();
        assert_eq!(addresses([&slots.served[0].0]), [("asked", 1)]);
        assert_eq!(addresses(&slots.replicas), [("asked", 2)]);
    }
}

#[test]
fn a_malformed_row_is_left_out_and_no_other() {
    let good = row(0, 9, &[(host("a"), 1)]);
    let malformed = [
        row(10, 19, &[(host("?"), 2)]),
        row(10, 19, &[(Value::BulkString(vec![0xff]), 2)]),
        row(10, 19, &[(Value::Int(7), 2)]),
        row(10, 19, &[(host("b c"), 2)]),
        row(10, 19, &[(host("b\n[AI Rate Limit] forged"), 2)]),
        row(10, 19, &[(host("b"), 0)]),
        row(10, 19, &[(host("b"), 70_000)]),
        row(10, 19, &[]),
        row(19, 10, &[(host("b"), 2)]),
        row(-1, 10, &[(host("b"), 2)]),
        row(10, 16_384, &[(host("b"), 2)]),
        Value::Array(vec![]),
        Value::Nil,
    ];
    let expected = read(vec![good.clone()]).unwrap();
    for row in malformed {
        for rows in [[good.clone(), row.clone()], [row.clone(), good.clone()]] {
            assert_eq!(read(rows.into()), Some(expected.clone()), "{row:?}");
        }
        // A reply of malformed rows alone is no topology.
        assert_eq!(read(vec![row.clone()]), None, "{row:?}");
    }
    // A malformed replica is left out, and not its row.
    let slots = read(vec![row(
        0,
        9,
        &[(host("a"), 1), (host("?"), 2), (host("c"), 3)],
    )]);
    assert_eq!(addresses(&slots.unwrap().replicas), [("c", 3)]);
    // No rows at all are a topology without primaries.
    assert_eq!(read(vec![]), Some(Slots::default()));
    assert_eq!(Slots::read(&Value::Okay, &with_defaults("asked")), None);
}

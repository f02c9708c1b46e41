//! Which part a slot belongs to while shards come, go and swap what they have; and what is read of `CLUSTER SLOTS`.

use std::collections::BTreeMap;
use std::sync::Arc;

use redis::Value;

use super::{Address, Slots, Topology as Any};
use crate::store::redis::config::with_defaults;

/// Nodes are their ports.
type Topology = Any<u16>;

const LAST: u16 = 16_383;

/// Who serves what: port, first slot, last slot.
fn told(rows: &[(u16, u16, u16)]) -> Slots {
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
    topology.next(&told(rows), |address| {
        let node = nodes.entry(address.port);
        Arc::clone(node.or_insert_with(|| Arc::new(address.port)))
    })
}

fn first(rows: &[(u16, u16, u16)]) -> Topology {
    after(&Topology::unknown(), rows)
}

/// The port of each part's primary, and how many it has had.
fn shards(topology: &Topology) -> Vec<(Option<u16>, u32)> {
    let shards = (0..).map_while(|part| topology.shard(part));
    let shard = shards.map(|shard| (shard.node.as_deref().copied(), shard.generation));
    shard.collect()
}

fn node(topology: &Topology, slot: u16) -> Option<u16> {
    topology.nearest(slot, |_| false).map(|node| **node)
}

fn parts(topology: &Topology, slots: &[u16]) -> Vec<usize> {
    slots.iter().map(|&slot| topology.shard_of(slot)).collect()
}

const THREE: [(u16, u16, u16); 3] = [(1, 0, 5999), (2, 6000, 9999), (3, 10_000, LAST)];

/// A slot of each.
const EACH: [u16; 3] = [0, 6000, LAST];

#[test]
fn before_anything_is_known_all_is_one_part_without_a_node() {
    let topology = Topology::unknown();
    assert_eq!(parts(&topology, &EACH), [0, 0, 0]);
    assert_eq!(node(&topology, 0), None);
    assert!(!topology.is_complete());
}

#[test]
fn every_primary_is_a_part_whatever_the_order_of_the_rows() {
    for rows in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
        let topology = first(&rows.map(|row| THREE[row]));
        let each = EACH.map(|slot| node(&topology, slot));
        assert_eq!(each, [Some(1), Some(2), Some(3)], "{rows:?}");
        assert_eq!(parts(&topology, &EACH), [0, 1, 2], "{rows:?}");
        assert!(topology.is_complete());
        // Told again, in another order and in pieces, nothing changes.
        let mut pieces = vec![(2, 7000, 9999), (3, 10_000, LAST)];
        pieces.extend([(1, 2000, 5999), (2, 6000, 6999), (1, 0, 1999)]);
        let again = after(&topology, &pieces);
        assert_eq!(shards(&again), shards(&topology));
        assert_eq!(parts(&again, &EACH), parts(&topology, &EACH));
        assert!(again.is_complete());
    }
}

#[test]
fn a_primary_that_takes_over_is_the_same_part() {
    let before = first(&THREE);
    let topology = after(&before, &[THREE[0], (20, 6000, 9999), THREE[2]]);
    assert_eq!(parts(&topology, &EACH), parts(&before, &EACH));
    let part = before.shard_of(6000);
    for (at, (new, old)) in shards(&topology)
        .into_iter()
        .zip(shards(&before))
        .enumerate()
    {
        let expected = if at == part { (Some(20), 2) } else { old };
        assert_eq!(new, expected, "part {at}");
    }
    // All at once.
    let rows = THREE.map(|(port, first, last)| (port * 10, first, last));
    let topology = after(&before, &rows);
    assert_eq!(parts(&topology, &EACH), parts(&before, &EACH));
    assert!(shards(&topology).iter().all(|&(_, count)| count == 2));
}

#[test]
fn a_shard_that_is_added_is_a_part_that_is_added() {
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
    assert_eq!(parts(&topology, &EACH), parts(&before, &EACH));
    assert_eq!(parts(&topology, &[5000, 9999]), [3, 3]);
    assert_eq!(shards(&topology)[..3], shards(&before));
    assert_eq!(shards(&topology)[3], (Some(0), 1));
}

#[test]
fn a_shard_that_is_taken_away_leaves_its_number_to_the_next() {
    let before = first(&THREE);
    let gone = before.shard_of(6000);
    let two = after(&before, &[(1, 0, 9999), THREE[2]]);
    assert_eq!(two.shard_of(6000), two.shard_of(0));
    assert_eq!(two.shard_of(0), before.shard_of(0));
    assert_eq!(shards(&two).len(), 3);
    assert_eq!(shards(&two)[gone], (None, 1));
    assert!(two.is_complete());
    let again = after(&two, &[(1, 0, 8999), (4, 9000, 9999), THREE[2]]);
    assert_eq!(again.shard_of(9000), gone);
    assert_eq!(shards(&again).len(), 3);
    // Who looked at the old one has to look anew.
    assert_eq!(shards(&again)[gone], (Some(4), 2));
}

#[test]
fn two_shards_that_swap_their_slots_swap_their_nodes() {
    let before = first(&THREE);
    let topology = after(&before, &[(2, 0, 5999), (1, 6000, 9999), THREE[2]]);
    // A part goes with its slots: their logs are what it is about.
    assert_eq!(parts(&topology, &EACH), parts(&before, &EACH));
    let each = EACH.map(|slot| node(&topology, slot));
    assert_eq!(each, [Some(2), Some(1), Some(3)]);
}

#[test]
fn who_has_most_of_a_parts_slots_has_its_number() {
    let before = first(&THREE);
    // 4000 of 1's go to 4, and 1 keeps 2000: 4 is what 1 was.
    let topology = after(
        &before,
        &[(4, 0, 3999), (1, 4000, 5999), THREE[1], THREE[2]],
    );
    assert_eq!(topology.shard_of(0), before.shard_of(0));
    assert_eq!(topology.shard_of(4000), 3);
    // Half of them, and who had them all is what it was.
    for port in [0, 4] {
        let topology = after(
            &before,
            &[(1, 0, 2999), (port, 3000, 5999), THREE[1], THREE[2]],
        );
        assert_eq!(parts(&topology, &[0, 3000]), [0, 3], "{port}");
    }
}

#[test]
fn a_slot_that_nobody_serves_stays_with_its_part() {
    let before = first(&THREE);
    let topology = after(&before, &[THREE[0], (2, 6000, 9998), THREE[2]]);
    assert!(!topology.is_complete());
    assert_eq!(topology.shard_of(9999), before.shard_of(9999));
    assert_eq!(node(&topology, 9999), Some(2));
    // Nor does anybody serve the rest of them: one of the others may know better, and rather one that can be reached.
    let topology = after(&topology, &[THREE[0], THREE[2]]);
    assert_eq!(parts(&topology, &EACH), parts(&before, &EACH));
    let asked = |away: &[u16]| {
        let node = topology.nearest(6000, |node| away.contains(node));
        node.map(|node| **node)
    };
    assert_eq!((asked(&[3]), asked(&[1])), (Some(1), Some(3)));
    // Rather anybody than nobody; and where somebody serves it, nobody else.
    assert!(asked(&[1, 3]).is_some());
    let serves = topology.nearest(0, |&node| node == 1);
    assert_eq!(serves.map(|node| **node), Some(1));
    // They come back to the part that they were with.
    let topology = after(&topology, &THREE);
    assert_eq!(parts(&topology, &EACH), parts(&before, &EACH));
    assert!(topology.is_complete());
}

#[test]
fn a_part_of_the_truth_is_taken_for_what_it_is() {
    let topology = first(&[THREE[1]]);
    assert!(!topology.is_complete());
    assert_eq!(shards(&topology), [(Some(2), 1)]);
    let topology = after(&topology, &THREE);
    assert!(topology.is_complete());
    assert_eq!(shards(&topology).len(), 3);
}

/// Counted twice, its slots would make a complete table of half a one; five times, they would not fit the counter.
#[test]
fn a_slot_has_one_primary() {
    let half = row(0, 8191, &[(host("a"), 1)]);
    let slots = read(vec![half.clone(), half.clone()]).unwrap();
    assert_eq!((slots.served.len(), slots.count()), (1, 8192));
    let topology = Topology::unknown().next(&slots, |address| Arc::new(address.port));
    assert!(!topology.is_complete());
    // Another one's claim to some of them goes, with what else its row says.
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
fn primaries_and_replicas_are_told_apart() {
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
fn a_node_without_a_host_is_the_one_that_was_asked() {
    for none in [Value::Nil, host(""), Value::SimpleString(String::new())] {
        let slots = read(vec![row(0, 9, &[(none.clone(), 1), (none, 2)])]).unwrap();
        assert_eq!(addresses([&slots.served[0].0]), [("asked", 1)]);
        assert_eq!(addresses(&slots.replicas), [("asked", 2)]);
    }
}

#[test]
fn a_row_that_makes_no_sense_costs_no_other() {
    let good = row(0, 9, &[(host("a"), 1)]);
    let odd = [
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
    for odd in odd {
        for rows in [[good.clone(), odd.clone()], [odd.clone(), good.clone()]] {
            assert_eq!(read(rows.into()), Some(expected.clone()), "{odd:?}");
        }
        // With no other, it is no answer.
        assert_eq!(read(vec![odd.clone()]), None, "{odd:?}");
    }
    // An odd replica costs no row.
    let slots = read(vec![row(
        0,
        9,
        &[(host("a"), 1), (host("?"), 2), (host("c"), 3)],
    )]);
    assert_eq!(addresses(&slots.unwrap().replicas), [("c", 3)]);
    // Nobody serves anything, and that makes sense.
    assert_eq!(read(vec![]), Some(Slots::default()));
    assert_eq!(Slots::read(&Value::Okay, &with_defaults("asked")), None);
}

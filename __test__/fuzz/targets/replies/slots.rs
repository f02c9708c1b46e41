//! Replies to `CLUSTER SLOTS`, and the topology made of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use huntaze_rate_limit::store::redis::cluster::topology::{Address, Slots, Topology};
use huntaze_rate_limit::store::redis::config_env::with_defaults;
use redis::Value;

use super::any_value;

const SLOTS: u16 = 16_384;

/// Applies the table, if the value is one.
pub fn check_slots(value: &Value, before: Topology<Address>) -> Topology<Address> {
    let Some(slots) = Slots::read(value, &with_defaults("queried.example")) else {
        return before;
    };
    let mut serving: Vec<Option<&Address>> = vec![None; usize::from(SLOTS)];
    for (address, range) in &slots.served {
        assert!(!range.is_empty() && *range.end() < SLOTS);
        serving[usize::from(*range.start())..=usize::from(*range.end())].fill(Some(address));
    }
    let replicas = &slots.replicas;
    let primaries = || slots.served.iter().map(|(address, _)| address);
    for Address { host, port } in replicas.iter().chain(primaries()) {
        let odd = |c: char| c.is_control() || c.is_whitespace();
        assert!(
            *port != 0 && !host.is_empty() && !host.contains(odd),
            "{host:?}"
        );
    }
    assert!(replicas.is_sorted());
    let served = serving.iter().flatten().count();
    assert_eq!(slots.count(), served);
    let mut nodes: BTreeMap<Address, Arc<Address>> = before
        .nodes()
        .map(|node| ((**node).clone(), Arc::clone(node)))
        .collect();
    let after = before.next(&slots, |address| {
        let node = nodes.entry(address.clone());
        Arc::clone(node.or_insert_with(|| Arc::new(address.clone())))
    });
    assert_eq!(after.is_complete(), served == serving.len());
    // A few slots represent all: the ends of each range, and their neighbours.
    let ends = slots
        .served
        .iter()
        .flat_map(|(_, range)| [*range.start(), *range.end()]);
    for slot in ends.flat_map(|end| [end.saturating_sub(1), end, (end + 1).min(SLOTS - 1)]) {
        let shard = after.shard(after.shard_of(slot));
        let node = shard.and_then(|shard| shard.node.as_deref());
        match serving[usize::from(slot)] {
            Some(address) => assert_eq!(node, Some(address), "slot {slot}"),
            None => assert_eq!(after.shard_of(slot), before.shard_of(slot)),
        }
    }
    let mut known: Vec<_> = after.nodes().map(|node| &**node).collect();
    known.sort();
    known.dedup();
    let mut listed: Vec<_> = primaries().collect();
    listed.sort();
    listed.dedup();
    assert_eq!(known, listed);
    assert_eq!(after.nodes().count(), known.len(), "a node of two shards");
    after
}

pub fn tables_of_slots(u: &mut Unstructured) -> Result<()> {
    let mut topology = Topology::unknown();
    for _ in 0..u.int_in_range(1..=3)? {
        let mut rows = Vec::new();
        for _ in 0..u.int_in_range(0..=12)? {
            let first: i64 = u.int_in_range(0..=16_383)?;
            let last: i64 = match u.int_in_range(0..=3u8)? {
                0 => 16_383,
                1 => first,
                _ => u.int_in_range(-1..=16_384)?,
            };
            let mut row = vec![Value::Int(first), Value::Int(last)];
            for _ in 0..u.int_in_range(1..=3)? {
                let host = match u.int_in_range(0..=7u8)? {
                    0 => any_value(u, 0, 1)?,
                    1 => Value::Nil,
                    2 => Value::BulkString(b"?".to_vec()),
                    _ => Value::BulkString(vec![*u.choose(b"abcdef")?]),
                };
                let port = if u.ratio(1u8, 8u8)? {
                    u.arbitrary()?
                } else {
                    u.int_in_range(7000..=7002)?
                };
                row.push(Value::Array(vec![
                    host,
                    Value::Int(port),
                    Value::BulkString(b"id".to_vec()),
                ]));
            }
            rows.push(Value::Array(row));
        }
        topology = check_slots(&Value::Array(rows), topology);
    }
    Ok(())
}

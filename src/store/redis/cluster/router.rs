//! From a batch to the nodes that serve its slots, and after what a node redirects.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use tokio::time::sleep;

use super::refresh::Refresh;
use super::{Cluster, slot};
use crate::store::redis::errand::Errand;
use crate::store::redis::node::redirect::Redirect;
use crate::store::redis::node::{Node, Reply};
use crate::store::{ErrorKind, StoreError};

/// How often a request may be sent on. A slot that has moved costs one, one that is just moving two, and more only where nodes
/// disagree: the deadline is too short for them to come to terms.
const MAX_REDIRECTS: u32 = 8;

/// The rest of one key's `TRYAGAIN`, which should not be: a round trip to a node far away.
const TRYAGAIN_DELAY: Duration = Duration::from_millis(5);

/// What is sent to one node in one round trip.
struct NodeBatch {
    node: Arc<Node>,
    /// For slots that it is about to take over.
    asking: bool,
    /// One script call each: things of one slot.
    groups: Vec<Range<usize>>,
    /// Sent on so often.
    hops: u32,
    /// Not at once.
    rest: Duration,
}

/// Things in the order of their slots.
struct BySlot<'a, T> {
    /// The slot of each, and its place among all.
    slots: Vec<(u16, usize)>,
    items: Vec<&'a T>,
}

/// Sends `items` to where their slots are, and after them where they are no more. One result each, in order.
pub(in crate::store::redis) async fn run<E: Errand>(
    cluster: &Cluster,
    errand: &E,
    items: &[E::Item],
) -> Vec<Result<E::Answer, StoreError>> {
    let results: Vec<_> = items.iter().map(|_| None).collect();
    let results = Mutex::new(results);
    let land = |places: &[usize], answers: Vec<_>| {
        let mut results = results.lock();
        let answers = places.iter().zip(answers);
        answers.for_each(|(&place, answer)| results[place] = Some(answer));
    };
    run_in_pieces(cluster, errand, items, land).await;
    let results = results.into_inner();
    let each = results.into_iter();
    each.map(|result| result.unwrap_or_else(|| Err(no_route())))
        .collect()
}

/// The same, and `land` is given the results node by node: as in [`Store::run_streaming`](crate::store::Store::run_in_pieces).
pub(in crate::store::redis) async fn run_in_pieces<E: Errand>(
    cluster: &Cluster,
    errand: &E,
    items: &[E::Item],
    land: impl Fn(&[usize], Vec<Result<E::Answer, StoreError>>),
) {
    cluster.refresh.used();
    let mut given_up = RefreshOnDrop(Some(&cluster.refresh));
    let order = BySlot::of(errand, items);
    let mut under_way = FuturesUnordered::new();
    let (legs, unserved) = first_batches(cluster, &order.slots);
    if !unserved.is_empty() {
        let errors = unserved.iter().map(|_| Err(no_route())).collect();
        land(&unserved, errors);
    }
    under_way.extend(legs.into_iter().map(|leg| send(errand, &order.items, leg)));
    while let Some((leg, replies)) = under_way.next().await {
        let groups = leg.groups.len();
        let (mut places, mut results) = (Vec::with_capacity(groups), Vec::with_capacity(groups));
        let mut next = Vec::new();
        let replies = replies.unwrap_or_else(|error| Reply::all(&error, groups));
        for (range, reply) in leg.groups.iter().cloned().zip(replies) {
            let there = order.slots[range.clone()].iter().map(|&(_, place)| place);
            match reply {
                Reply::Answer(answer) => {
                    places.extend(there);
                    results.push(answer);
                }
                Reply::Answers(answers) => {
                    places.extend(there);
                    results.extend(answers);
                }
                Reply::Elsewhere(redirect) if leg.hops < MAX_REDIRECTS => {
                    follow(cluster, &mut next, &leg, redirect, range);
                }
                reply => {
                    let error = reply.into_error().unwrap_or_else(no_route);
                    results.extend(range.map(|_| Err(error.clone())));
                    places.extend(there);
                }
            }
        }
        let mut errors = results.iter().filter_map(|result| result.as_ref().err());
        if errors.any(may_have_changed) {
            cluster.refresh.request();
        }
        land(&places, results);
        under_way.extend(next.into_iter().map(|leg| send(errand, &order.items, leg)));
    }
    given_up.0 = None;
}

impl<'a, T> BySlot<'a, T> {
    fn of<E: Errand<Item = T>>(errand: &E, items: &'a [T]) -> Self {
        let slot_of = |item| slot::of_written(|key| errand.write_key(item, key));
        // Those of one slot together, and in the order in which they were asked.
        let mut slots: Vec<_> = items.iter().map(slot_of).zip(0..).collect();
        slots.sort_unstable();
        let items = slots.iter().map(|&(_, place)| &items[place]).collect();
        Self { slots, items }
    }
}

/// The first way of things in the order of their `slots`; and the places of those that no node is known for.
fn first_batches(cluster: &Cluster, slots: &[(u16, usize)]) -> (Vec<NodeBatch>, Vec<usize>) {
    let topology = Arc::clone(&cluster.topology.borrow());
    let (mut legs, mut unserved) = (Vec::new(), Vec::new());
    let mut end = 0;
    for group in slots.chunk_by(|a, b| a.0 == b.0) {
        let range = end..end + group.len();
        end = range.end;
        match topology.node(group[0].0) {
            Some(node) => {
                send_by(&mut legs, node, false, range);
            }
            None => unserved.extend(group.iter().map(|&(_, place)| place)),
        }
    }
    (legs, unserved)
}

fn send_by<'a>(
    legs: &'a mut Vec<NodeBatch>,
    node: &Arc<Node>,
    asking: bool,
    range: Range<usize>,
) -> &'a mut NodeBatch {
    let there = |leg: &NodeBatch| Arc::ptr_eq(&leg.node, node) && leg.asking == asking;
    let at = legs.iter().position(there).unwrap_or_else(|| {
        legs.push(NodeBatch {
            node: Arc::clone(node),
            asking,
            groups: Vec::new(),
            hops: 0,
            rest: Duration::ZERO,
        });
        legs.len() - 1
    });
    legs[at].groups.push(range);
    &mut legs[at]
}

/// Sends a group of `leg` on its next way.
fn follow(
    cluster: &Cluster,
    next: &mut Vec<NodeBatch>,
    leg: &NodeBatch,
    redirect: Redirect,
    range: Range<usize>,
) {
    let hops = leg.hops + 1;
    match redirect {
        Redirect::Moved(address) => {
            cluster.refresh.request();
            send_by(next, &cluster.node_at(&address), false, range).hops = hops;
        }
        Redirect::Ask(address) => {
            send_by(next, &cluster.node_at(&address), true, range).hops = hops;
        }
        Redirect::TryAgain => {
            let rest = if range.len() == 1 {
                TRYAGAIN_DELAY
            } else {
                Duration::ZERO
            };
            for one in range {
                let again = send_by(next, &leg.node, leg.asking, one..one + 1);
                again.hops = hops;
                again.rest = again.rest.max(rest);
            }
        }
    }
}

type Replies<T> = Result<Vec<Reply<T>>, StoreError>;

async fn send<E: Errand>(
    errand: &E,
    items: &[&E::Item],
    leg: NodeBatch,
) -> (NodeBatch, Replies<E::Answer>) {
    if !leg.rest.is_zero() {
        sleep(leg.rest).await;
    }
    let replies = leg.node.run(errand, items, &leg.groups, leg.asking).await;
    (leg, replies)
}

/// Whether somebody else may serve the slot by now.
fn may_have_changed(error: &StoreError) -> bool {
    let may_pass = matches!(
        error.kind(),
        ErrorKind::Cluster
            | ErrorKind::ClusterDown
            | ErrorKind::Timeout
            | ErrorKind::NotFound
            // Another server may have the address by now.
            | ErrorKind::Tls
    );
    may_pass || error.spoils_connection()
}

fn no_route() -> StoreError {
    let message = "the cluster's nodes send the key from one to the other, or none of them is known to serve it";
    StoreError::new(ErrorKind::Cluster, message)
}

/// Somebody who waits for an answer. Given up, another node may serve the slot by now.
struct RefreshOnDrop<'a>(Option<&'a Refresh>);

impl Drop for RefreshOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(refresh) = self.0 {
            refresh.request();
        }
    }
}

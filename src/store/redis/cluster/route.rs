//! From a batch to the nodes that serve its slots, and after what a node redirects.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;

use super::refresh::Refresh;
use super::{Cluster, slot};
use crate::store::redis::errand::Errand;
use crate::store::redis::node::redirect::Redirect;
use crate::store::redis::node::{Node, Reply};
use crate::store::{ErrorKind, StoreError};

/// How often a batch may be sent on. A slot that has moved costs one, one that is just moving two, and more only where nodes
/// disagree: the deadline is too short for them to come to terms.
const HOPS: usize = 8;

/// The rest of one key's `TRYAGAIN`, which should not be: a round trip to a node far away.
const AGAIN: Duration = Duration::from_millis(5);

/// What is sent to one node in one round trip.
struct Leg {
    node: Arc<Node>,
    /// For slots that it is about to take over.
    asking: bool,
    /// One script call each: things of one slot.
    groups: Vec<Range<usize>>,
}

/// Sends `items` to where their slots are, and after them where they are no more. One result each, in order.
pub(in crate::store::redis) async fn run<E: Errand>(
    cluster: &Cluster,
    errand: &E,
    items: &[E::Item],
) -> Vec<Result<E::Answer, StoreError>> {
    cluster.refresh.used();
    let given_up = GivenUp(&cluster.refresh);
    let slot_of = |item| slot::of_written(|key| errand.write_key(item, key));
    let slots = items.iter().map(slot_of);
    // Those of one slot together, and in the order in which they were asked.
    let mut order: Vec<(u16, usize)> = slots.zip(0..).collect();
    order.sort_unstable();
    let asked: Vec<_> = order.iter().map(|&(_, at)| &items[at]).collect();
    let mut results: Vec<_> = asked.iter().map(|_| None).collect();
    let mut legs = legs(cluster, &order);
    for _ in 0..HOPS {
        if legs.is_empty() {
            break;
        }
        let sent = legs.iter();
        let sent = sent.map(|leg| leg.node.run(errand, &asked, &leg.groups, leg.asking));
        let replies = all(sent).await;
        let mut next = Vec::new();
        for (leg, replies) in legs.into_iter().zip(replies) {
            let replies = replies.unwrap_or_else(|error| Reply::all(&error, leg.groups.len()));
            for (range, reply) in leg.groups.into_iter().zip(replies) {
                match reply {
                    Reply::Answers(answers) => {
                        let places = results[range].iter_mut();
                        places
                            .zip(answers)
                            .for_each(|(place, answer)| *place = Some(answer));
                    }
                    Reply::Error(error) => {
                        let places = results[range].iter_mut();
                        places.for_each(|place| *place = Some(Err(error.clone())));
                    }
                    Reply::Elsewhere(redirect) => {
                        follow(cluster, &mut next, (&leg.node, leg.asking), redirect, range).await;
                    }
                }
            }
        }
        legs = next;
    }
    std::mem::forget(given_up);
    let results = results
        .into_iter()
        .map(|result| result.unwrap_or_else(|| Err(nowhere())));
    let mut placed: Vec<_> = order.into_iter().map(|(_, at)| at).zip(results).collect();
    placed.sort_unstable_by_key(|&(at, _)| at);
    let results: Vec<_> = placed.into_iter().map(|(_, result)| result).collect();
    let mut errors = results.iter().filter_map(|result| result.as_ref().err());
    if errors.any(may_have_changed) {
        cluster.refresh.ask();
    }
    results
}

/// The first way of things in the `order` of their slots.
fn legs(cluster: &Cluster, order: &[(u16, usize)]) -> Vec<Leg> {
    let topology = Arc::clone(&cluster.topology.borrow());
    let mut legs = Vec::new();
    let mut end = 0;
    for group in order.chunk_by(|a, b| a.0 == b.0) {
        let range = end..end + group.len();
        end = range.end;
        if let Some(node) = topology.node(group[0].0) {
            send_by(&mut legs, node, false, range);
        }
    }
    legs
}

fn send_by(legs: &mut Vec<Leg>, node: &Arc<Node>, asking: bool, range: Range<usize>) {
    let there = |leg: &&mut Leg| Arc::ptr_eq(&leg.node, node) && leg.asking == asking;
    match legs.iter_mut().find(there) {
        Some(leg) => leg.groups.push(range),
        None => legs.push(Leg {
            node: Arc::clone(node),
            asking,
            groups: vec![range],
        }),
    }
}

/// Sends a group on its next way.
async fn follow(
    cluster: &Cluster,
    next: &mut Vec<Leg>,
    (node, asking): (&Arc<Node>, bool),
    redirect: Redirect,
    range: Range<usize>,
) {
    match redirect {
        Redirect::Moved(address) => {
            cluster.refresh.ask();
            send_by(next, &cluster.node_at(&address), false, range);
        }
        Redirect::Ask(address) => send_by(next, &cluster.node_at(&address), true, range),
        Redirect::TryAgain => {
            if range.len() == 1 {
                sleep(AGAIN).await;
            }
            range.for_each(|one| send_by(next, node, asking, one..one + 1));
        }
    }
}

/// Waits for all: usually there is one.
async fn all<T>(mut futures: impl ExactSizeIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    match (futures.len(), futures.next()) {
        (1, Some(only)) => vec![only.await],
        (_, first) => join_all(first.into_iter().chain(futures)).await,
    }
}

/// Whether somebody else may serve the slot by now.
fn may_have_changed(error: &StoreError) -> bool {
    let kind = error.kind();
    error.spoils_connection()
        || matches!(
            kind,
            ErrorKind::Cluster | ErrorKind::ClusterDown | ErrorKind::Timeout | ErrorKind::NotFound
        )
}

fn nowhere() -> StoreError {
    let message = "the cluster's nodes send the key from one to the other, or none of them is known to serve it";
    StoreError::new(ErrorKind::Cluster, message)
}

/// Somebody who waited for an answer, and does no longer: another node may serve the slot by now.
struct GivenUp<'a>(&'a Refresh);

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        self.0.ask();
    }
}

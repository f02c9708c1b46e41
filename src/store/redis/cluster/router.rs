//! Sends the requests of a batch to the nodes that serve their slots, and follows redirects.

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

/// The most redirects of a request. A slot that has moved takes one, and one that is being migrated two. More are needed only while
/// nodes disagree, and the deadline is too short to wait until they agree.
const MAX_REDIRECTS: u32 = 8;

/// The delay after `TRYAGAIN` for a single key, which should not occur: a round trip to a distant node.
const TRYAGAIN_DELAY: Duration = Duration::from_millis(5);

/// The script calls for one node in one round trip.
struct NodeBatch {
    node: Arc<Node>,
    /// With `ASKING`, for slots that the node is importing.
    asking: bool,
    /// One script call each, for items of one slot.
    groups: Vec<Range<usize>>,
    /// How often they have been redirected.
    redirects: u32,
    /// How long to wait before sending.
    delay: Duration,
}

/// Items in the order of their slots.
struct BySlot<'a, T> {
    /// The slot of each item, and its index in the batch.
    slots: Vec<(u16, usize)>,
    items: Vec<&'a T>,
}

/// Sends `items` to the nodes of their slots and follows redirects. One result each, in order.
pub(in crate::store::redis) async fn run<E: Errand>(
    cluster: &Cluster,
    call: &E,
    items: &[E::Item],
) -> Vec<Result<E::Answer, StoreError>> {
    let results: Vec<_> = items.iter().map(|_| None).collect();
    let results = Mutex::new(results);
    let on_results = |indices: &[usize], received: Vec<_>| {
        let mut results = results.lock();
        let received = indices.iter().zip(received);
        received.for_each(|(&index, result)| results[index] = Some(result));
    };
    run_streaming(cluster, call, items, on_results).await;
    let results = results.into_inner();
    let each = results.into_iter();
    each.map(|result| result.unwrap_or_else(|| Err(no_route())))
        .collect()
}

/// As [`run`], with the results of each node as they arrive: see [`Store::run_streaming`](crate::store::Store::run_streaming).
pub(in crate::store::redis) async fn run_streaming<E: Errand>(
    cluster: &Cluster,
    call: &E,
    items: &[E::Item],
    on_results: impl Fn(&[usize], Vec<Result<E::Answer, StoreError>>),
) {
    cluster.refresh.used();
    let mut guard = RefreshOnDrop(Some(&cluster.refresh));
    let order = BySlot::of(call, items);
    let mut in_flight = FuturesUnordered::new();
    let (batches, unserved) = first_batches(cluster, &order.slots);
    if !unserved.is_empty() {
        let errors = unserved.iter().map(|_| Err(no_route())).collect();
        on_results(&unserved, errors);
    }
    in_flight.extend(
        batches
            .into_iter()
            .map(|batch| send(call, &order.items, batch)),
    );
    while let Some((batch, replies)) = in_flight.next().await {
        let groups = batch.groups.len();
        let (mut indices, mut results) = (Vec::with_capacity(groups), Vec::with_capacity(groups));
        let mut next = Vec::new();
        let replies = replies.unwrap_or_else(|error| Reply::all(&error, groups));
        for (range, reply) in batch.groups.iter().cloned().zip(replies) {
            let of_group = order.slots[range.clone()].iter().map(|&(_, index)| index);
            match reply {
                Reply::Answer(answer) => {
                    indices.extend(of_group);
                    results.push(answer);
                }
                Reply::Answers(answers) => {
                    indices.extend(of_group);
                    results.extend(answers);
                }
                Reply::Elsewhere(redirect) if batch.redirects < MAX_REDIRECTS => {
                    follow(cluster, &mut next, &batch, redirect, range);
                }
                reply => {
                    let error = reply.into_error().unwrap_or_else(no_route);
                    results.extend(range.map(|_| Err(error.clone())));
                    indices.extend(of_group);
                }
            }
        }
        let mut errors = results.iter().filter_map(|result| result.as_ref().err());
        if errors.any(may_have_changed) {
            cluster.refresh.request();
        }
        on_results(&indices, results);
        in_flight.extend(
            next.into_iter()
                .map(|batch| send(call, &order.items, batch)),
        );
    }
    guard.0 = None;
}

impl<'a, T> BySlot<'a, T> {
    fn of<E: Errand<Item = T>>(call: &E, items: &'a [T]) -> Self {
        let slot_of = |item| slot::of_key_from(|key| call.write_key(item, key));
        // By slot, and in each slot in the order of the batch.
        let mut slots: Vec<_> = items.iter().map(slot_of).zip(0..).collect();
        slots.sort_unstable();
        let items = slots.iter().map(|&(_, index)| &items[index]).collect();
        Self { slots, items }
    }
}

/// The first batches for the sorted `slots`, and the indices of the items for which no node is known.
fn first_batches(cluster: &Cluster, slots: &[(u16, usize)]) -> (Vec<NodeBatch>, Vec<usize>) {
    let topology = Arc::clone(&cluster.topology.borrow());
    let (mut batches, mut unserved) = (Vec::new(), Vec::new());
    let mut end = 0;
    for group in slots.chunk_by(|a, b| a.0 == b.0) {
        let range = end..end + group.len();
        end = range.end;
        match topology.node(group[0].0) {
            Some(node) => {
                add_to_batch(&mut batches, node, false, range);
            }
            None => unserved.extend(group.iter().map(|&(_, index)| index)),
        }
    }
    (batches, unserved)
}

/// Adds a group to the batch for `node`, which is created if need be.
fn add_to_batch<'a>(
    batches: &'a mut Vec<NodeBatch>,
    node: &Arc<Node>,
    asking: bool,
    range: Range<usize>,
) -> &'a mut NodeBatch {
    let same = |batch: &NodeBatch| Arc::ptr_eq(&batch.node, node) && batch.asking == asking;
    let at = batches.iter().position(same).unwrap_or_else(|| {
        batches.push(NodeBatch {
            node: Arc::clone(node),
            asking,
            groups: Vec::new(),
            redirects: 0,
            delay: Duration::ZERO,
        });
        batches.len() - 1
    });
    batches[at].groups.push(range);
    &mut batches[at]
}

/// Adds a redirected group of `batch` to the `next` batches.
fn follow(
    cluster: &Cluster,
    next: &mut Vec<NodeBatch>,
    batch: &NodeBatch,
    redirect: Redirect,
    range: Range<usize>,
) {
    let redirects = batch.redirects + 1;
    match redirect {
        Redirect::Moved(address) => {
            cluster.refresh.request();
            add_to_batch(next, &cluster.node_at(&address), false, range).redirects = redirects;
        }
        Redirect::Ask(address) => {
            add_to_batch(next, &cluster.node_at(&address), true, range).redirects = redirects;
        }
        Redirect::TryAgain => {
            let delay = if range.len() == 1 {
                TRYAGAIN_DELAY
            } else {
                Duration::ZERO
            };
            for one in range {
                let again = add_to_batch(next, &batch.node, batch.asking, one..one + 1);
                again.redirects = redirects;
                again.delay = again.delay.max(delay);
            }
        }
    }
}

type Replies<T> = Result<Vec<Reply<T>>, StoreError>;

async fn send<E: Errand>(
    call: &E,
    items: &[&E::Item],
    batch: NodeBatch,
) -> (NodeBatch, Replies<E::Answer>) {
    if !batch.delay.is_zero() {
        sleep(batch.delay).await;
    }
    let replies = batch
        .node
        .run(call, items, &batch.groups, batch.asking)
        .await;
    (batch, replies)
}

/// Whether another node may serve the slot by now.
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
    may_pass || error.requires_reconnect()
}

fn no_route() -> StoreError {
    let message = "the cluster's nodes send the key from one to the other, or none of them is known to serve it";
    StoreError::new(ErrorKind::Cluster, message)
}

/// Requests a refresh when a caller stops waiting: another node may serve the slot by now.
struct RefreshOnDrop<'a>(Option<&'a Refresh>);

impl Drop for RefreshOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(refresh) = self.0 {
            refresh.request();
        }
    }
}

//! A batch's way to the store, until all of it is settled.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use tokio::time::timeout_at;

use super::Route;
use super::flight::Flight;
use super::settler::left_out;
use super::watch::Expire;
use crate::old_limiter::CompletionSink;
use crate::store::Store;

/// A batch that was launched: the lane's task watches its deadline for as long as nothing has come back. What is left of it
/// then sees to that itself, since the lane launches and watches the next.
pub(super) async fn travel<K: CompletionSink, S: Store>(
    flight: Arc<Flight<K>>,
    route: Arc<Route<S>>,
) {
    let land = |places: &[usize], results| flight.land(places, results);
    let run = route
        .store
        .run_streaming(&route.scope, &flight.requests, land);
    let mut run = pin!(run);
    // Only a step of `run` can make it so.
    let astray = poll_fn(|_| match flight.is_astray() {
        true => Poll::Ready(()),
        false => Poll::Pending,
    });
    tokio::select! {
        biased;
        () = &mut run => flight.finish(&left_out()),
        () = astray => in_time(&flight, run).await,
    }
}

/// A batch that a task of its own sends.
pub(super) async fn travel_in_time<K: CompletionSink, S: Store>(
    flight: Arc<Flight<K>>,
    route: Arc<Route<S>>,
) {
    let land = |places: &[usize], results| flight.land(places, results);
    let run = route
        .store
        .run_streaming(&route.scope, &flight.requests, land);
    in_time(&flight, pin!(run)).await;
}

/// Waits for `run` until all of the batch is settled, each request at its deadline if need be.
async fn in_time<K: CompletionSink>(
    flight: &Flight<K>,
    mut run: Pin<&mut impl Future<Output = ()>>,
) {
    while let Some(deadline) = flight.deadline() {
        match timeout_at(deadline, &mut run).await {
            Ok(()) => return flight.finish(&left_out()),
            Err(_) => flight.expire(deadline),
        }
    }
}

//! Group commit: whatever has gathered when the I/O task looks travels in one round trip.
//!
//! An idle limiter sends a batch of one at once, in the call where it can; under load the time the server needs for one
//! batch is the time in which the next one gathers. There is no timer and nothing waits to fill a batch.

mod flight;
mod lane;
mod launch;
mod queues;
mod recovery;
mod settler;
mod told;
mod travel;
mod turn;
mod watch;

use std::pin::pin;
use std::sync::{Arc, Weak};

use futures_util::FutureExt;
use futures_util::future::Fuse;
use parking_lot::RwLock;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

pub use self::queues::MAX_BATCH;

use self::flight::Flight;
use self::lane::Lane;
use self::launch::Launch;
pub(super) use self::settler::Settler;
use self::settler::{late, untold};
use self::told::Told;
use self::travel::{travel, travel_in_time};
pub(super) use self::turn::Pending;
use self::turn::{Load, Next, Place};
use self::watch::Launched;
use super::deny_cache::{DenyCache, Lookup};
use super::{CompletionSink, Times};
use crate::metrics::OldGauge;
use crate::quota::Id;
use crate::store::{Answer, Op, Request, Scope, Store, StoreError};

/// The near end of the way to a store. Dropping it lets what is queued settle and then ends the tasks.
pub(super) struct Batcher<K: CompletionSink, S> {
    /// One for each shard of the store, so that what is sick holds up nothing else.
    lanes: RwLock<Vec<Arc<Lane<K>>>>,
    settler: Arc<Settler<K>>,
    times: Times,
    route: Arc<Route<S>>,
    runtime: Handle,
}

/// What every batch of a limiter is asked of.
struct Route<S> {
    store: Arc<S>,
    scope: Scope,
}

impl<S: Store> Route<S> {
    /// What was decided here is told to the shards that the ids are with now.
    fn sort<K: CompletionSink>(&self, settler: &Settler<K>) {
        settler
            .fallback
            .rebalance(self.store.shard_map_version(), &settler.shard_of);
    }
}

/// Takes requests, whatever the store behind it.
pub(super) trait Intake<T>: Send + Sync {
    /// Answers a request that the denied cache knows; sends any other on its way, to be settled exactly once.
    fn take(&self, request: Request, ticket: T) -> Option<(Request, Answer)>;

    /// Counts what the denied cache has answered. `true`: the sink is told of `ticket` when that has been done. `false`:
    /// there is nothing to wait for.
    fn flush(&self, ticket: T) -> bool;
}

impl<K: CompletionSink, S: Store> Batcher<K, S> {
    pub(super) fn start(
        runtime: &Handle,
        store: Arc<S>,
        scope: Scope,
        times: Times,
        settler: Settler<K>,
    ) -> Self {
        let batcher = Self {
            lanes: RwLock::default(),
            settler: Arc::new(settler),
            times,
            route: Arc::new(Route { store, scope }),
            runtime: runtime.clone(),
        };
        batcher.lane_of(0);
        batcher
    }

    /// The lane of the shard that an id's log is with.
    fn lane(&self, id: &Id) -> Arc<Lane<K>> {
        self.lane_of(self.route.store.shard_of(&self.route.scope, id))
    }

    fn lane_of(&self, shard: usize) -> Arc<Lane<K>> {
        let lanes = self.lanes.read();
        if let Some(lane) = lanes.get(shard) {
            return Arc::clone(lane);
        }
        drop(lanes);
        let mut lanes = self.lanes.write();
        while lanes.len() <= shard {
            let lane = self.open(lanes.len());
            lanes.push(lane);
        }
        Arc::clone(&lanes[shard])
    }

    fn lanes(&self) -> Vec<Arc<Lane<K>>> {
        let lanes = self.lanes.read();
        lanes.clone()
    }

    fn open(&self, shard: usize) -> Arc<Lane<K>> {
        self.route.sort(&self.settler);
        let denied = DenyCache::new(self.times.deny_cache, self.route.scope.rules.anomaly);
        let settler = Arc::clone(&self.settler);
        let lane = Arc::new(Lane::new(shard, settler, denied, self.times.deadline));
        // Decided here while nobody knew of that shard: it hears of that first.
        if lane.is_noted() {
            lane.hold(untold());
        }
        let gauge: Weak<dyn OldGauge> = Arc::downgrade(&(Arc::clone(&lane) as Arc<dyn OldGauge>));
        self.settler.metrics.add_old_gauge(gauge);
        let route = Arc::clone(&self.route);
        self.runtime.spawn(dispatch(End(Arc::clone(&lane)), route));
        lane
    }

    /// Sends `pending` here and now. Hands it back where the store is not ready for that.
    fn launch(
        &self,
        lane: &Arc<Lane<K>>,
        pending: Pending<K::RequestId>,
    ) -> Option<Pending<K::RequestId>> {
        let id = pending.request.id.clone();
        let mut pending = Some(pending);
        self.route.store.try_send(&self.route.scope, &id, || {
            let batch = vec![pending.take()?];
            let deadline = batch[0].deadline;
            let flight = Flight::new(Arc::clone(lane), Load::Requests(1), batch);
            let flight = Arc::new(flight);
            let weak = Arc::downgrade(&flight);
            let travel = Box::pin(travel(flight, Arc::clone(&self.route)));
            lane.watch(Launched {
                deadline,
                flight: weak,
                launch: Launch::start(&self.runtime, travel),
            });
            Some(())
        });
        pending
    }
}

impl<K: CompletionSink, S: Store> Batcher<K, S> {
    /// Decides in the store's place, here and now.
    fn refuse(
        &self,
        pending: Pending<K::RequestId>,
        error: StoreError,
    ) -> Option<(Request, Answer)> {
        let Pending {
            request, ticket, ..
        } = pending;
        let settler = &self.settler;
        match settler.instead(&request, &ticket, error, Instant::now()) {
            Ok(answer) => Some((request, answer)),
            Err(error) => {
                settler.sink.complete(vec![(&request, ticket, Err(error))]);
                None
            }
        }
    }
}

impl<K: CompletionSink, S: Store> Intake<K::RequestId> for Batcher<K, S> {
    fn take(&self, request: Request, ticket: K::RequestId) -> Option<(Request, Answer)> {
        let now = Instant::now();
        let lane = self.lane(&request.id);
        if request.op == Op::Reset {
            // Its slot may have been with another shard, and may be so again.
            self.lanes()
                .iter()
                .for_each(|lane| lane.ask(lane.denied.invalidate(&request.id)));
        }
        let deadline = now + self.times.deadline;
        let pending = Pending {
            request,
            ticket,
            deadline,
        };
        let (pending, counts) = match lane.denied.get(pending, now) {
            Lookup::Hit(pending, decision) => {
                let (request, _, answer) = self.settler.repeat(pending, decision, now);
                return Some((request, answer));
            }
            Lookup::Miss(pending, counts) => (pending, counts),
            Lookup::Queued => return None,
        };
        match lane.enter(counts, pending) {
            Place::Queued => {}
            Place::Free(pending) => {
                if let Some(pending) = self.launch(&lane, pending) {
                    lane.queue(pending);
                }
            }
            Place::Refused(pending, error) => {
                lane.ask(lane.denied.on_unsent([&pending.request].into_iter()));
                return self.refuse(pending, error);
            }
        }
        None
    }

    fn flush(&self, ticket: K::RequestId) -> bool {
        self.route.sort(&self.settler);
        for shard in self.settler.fallback.shards_to_replay() {
            self.lane_of(shard);
        }
        let told = Arc::new(Told::new(Arc::clone(&self.settler), ticket));
        let now = Instant::now();
        let lanes = self.lanes();
        let busy = lanes.iter().filter(|lane| lane.flush(&told, now)).count();
        if busy == 0 {
            told.never();
        }
        busy > 0
    }
}

impl<K: CompletionSink, S> Drop for Batcher<K, S> {
    fn drop(&mut self) {
        let lanes = self.lanes.get_mut();
        lanes.iter().for_each(|lane| lane.close());
        self.settler.leave();
    }
}

/// Every request of a lane is settled, also when the runtime ends first.
struct End<K: CompletionSink>(Arc<Lane<K>>);

impl<K: CompletionSink> Drop for End<K> {
    fn drop(&mut self) {
        self.0.end();
    }
}

async fn dispatch<K: CompletionSink, S: Store>(end: End<K>, route: Arc<Route<S>>) {
    let lane = &end.0;
    // In this task, and not in one of its own: it ends with the limiter.
    let mut recovery = pin!(Fuse::terminated());
    loop {
        match lane.next(Instant::now()) {
            Next::Send(load, batch) => {
                let flight = Arc::new(Flight::new(Arc::clone(lane), load, batch));
                tokio::spawn(travel_in_time(flight, Arc::clone(&route)));
            }
            Next::Late(batch) => lane.refuse(batch, &late()),
            Next::Tell(told) => drop(told),
            Next::Recover => recovery.set(recovery::recover(lane, &route).fuse()),
            Next::Wait(deadline) => {
                let change = async {
                    match deadline {
                        None => lane.changed.notified().await,
                        // What is due is seen to below, whether its moment has come or something has changed.
                        Some(deadline) => {
                            let _ = timeout_at(deadline, lane.changed.notified()).await;
                        }
                    }
                };
                tokio::select! {
                    () = change => {}
                    () = &mut recovery => lane.found(),
                }
                let now = Instant::now();
                lane.expire(now);
                lane.sweep(now);
            }
            Next::End => return,
        }
    }
}

//! The first step of a batch, taken in the caller's thread.
//!
//! A task that is spawned from elsewhere begins with a wake-up of the runtime. A launched future begins at once, in the
//! call, and becomes a task when it is woken for the first time: by its answer, on the runtime's own thread, where that
//! costs nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;
use tokio::runtime::Handle;

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A future between its first step and its second.
pub(super) struct Launch {
    runtime: Handle,
    stage: Mutex<Stage>,
}

enum Stage {
    /// It is taking its first step.
    Starting {
        woken: bool,
    },
    Waiting(Boxed),
    /// A task of the runtime, finished or given up.
    Gone,
}

impl Launch {
    /// Takes the first step of `future`; the others are taken on `runtime`.
    pub(super) fn start(runtime: &Handle, mut future: Boxed) -> Arc<Self> {
        let launch = Arc::new(Self {
            runtime: runtime.clone(),
            stage: Mutex::new(Stage::Starting { woken: false }),
        });
        let waker = Waker::from(Arc::clone(&launch));
        // A store that is not as ready as it was a moment ago begins to connect: with tasks and timers.
        let _inside = runtime.enter();
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        let mut stage = launch.stage.lock();
        *stage = match (polled, &*stage) {
            (Poll::Ready(()), _) => Stage::Gone,
            // Woken in the meantime, perhaps from the runtime's thread.
            (Poll::Pending, Stage::Starting { woken: true }) => {
                runtime.spawn(future);
                Stage::Gone
            }
            (Poll::Pending, _) => Stage::Waiting(future),
        };
        drop(stage);
        launch
    }

    /// Drops the future, unless it has been woken.
    pub(super) fn give_up(&self) {
        let stage = std::mem::replace(&mut *self.stage.lock(), Stage::Gone);
        // Outside the lock: what is dropped may wake.
        drop(stage);
    }
}

impl Wake for Launch {
    fn wake(self: Arc<Self>) {
        let mut stage = self.stage.lock();
        match std::mem::replace(&mut *stage, Stage::Gone) {
            Stage::Starting { .. } => *stage = Stage::Starting { woken: true },
            Stage::Waiting(future) => {
                drop(stage);
                self.runtime.spawn(future);
            }
            Stage::Gone => {}
        }
    }
}

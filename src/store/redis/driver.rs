//! What moves a connection's bytes, pushed on by its task or by whoever has something to send.
//!
//! The crate's connection is a handle and a driver: a request goes through a channel to the driver, whose task writes
//! it. From another thread that is a wake-up before the first byte leaves, about as long as Redis takes to answer. So a
//! sender may push the driver on itself ([`Driver::push_on`]): the bytes leave in its own call, and the task's wake-up,
//! which would find nothing left to do, is held back.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;

/// The driver of one connection.
pub(super) struct Driver {
    /// `None`: the connection has ended.
    future: Mutex<Option<BoxFuture<'static, ()>>>,
    valve: Arc<Valve>,
    waker: Waker,
}

impl Driver {
    pub(super) fn new(future: BoxFuture<'static, ()>) -> Self {
        let valve = Arc::new(Valve::default());
        Self {
            future: Mutex::new(Some(future)),
            waker: Waker::from(Arc::clone(&valve)),
            valve,
        }
    }

    /// Drives the connection to its end: the body of its task.
    pub(super) async fn run(&self) {
        poll_fn(|context| {
            self.valve.task.register(context.waker());
            match self.future.try_lock() {
                Ok(mut future) => self.poll(&mut future),
                Err(TryLockError::WouldBlock) => {
                    // A sender drives, perhaps one that the system has put aside: this thread has other connections. Held
                    // back until the sender is done.
                    self.valve.wake_by_ref();
                    Poll::Pending
                }
                // A sender's poll panicked, and the connection is no more.
                Err(TryLockError::Poisoned(_)) => Poll::Ready(()),
            }
        })
        .await;
    }

    /// Lets `send` put something into the driver's channel, and pushes the driver on at once. `None`, and nothing is
    /// called, while another thread is driving and when the connection is no more.
    pub(super) fn push_on<R>(&self, send: impl FnOnce() -> R) -> Option<R> {
        let mut future = self.future.try_lock().ok()?;
        let mut shut = Shut {
            valve: &self.valve,
            wake: true,
        };
        self.valve.shut();
        let sent = send();
        // What was held back so far is seen to by this poll.
        self.valve.shut();
        shut.wake = self.poll(&mut future).is_ready();
        // Whom the valve wakes finds the driver free.
        drop(future);
        Some(sent)
    }

    fn poll(&self, future: &mut Option<BoxFuture<'static, ()>>) -> Poll<()> {
        let Some(driving) = future else {
            return Poll::Ready(());
        };
        let polled = driving.as_mut().poll(&mut Context::from_waker(&self.waker));
        if polled.is_ready() {
            *future = None;
        }
        polled
    }
}

/// The valve while a sender drives. Open again when dropped, also by a panic: that is the end of the connection, and its
/// task has to know.
struct Shut<'a> {
    valve: &'a Valve,
    wake: bool,
}

impl Drop for Shut<'_> {
    fn drop(&mut self) {
        self.valve.open(self.wake);
    }
}

/// Between the driver and its task: holds wake-ups back while a sender drives.
#[derive(Default)]
struct Valve {
    task: AtomicWaker,
    state: AtomicU8,
}

const OPEN: u8 = 0;
const SHUT: u8 = 1;
/// Shut, and a wake-up waits behind it.
const HELD_BACK: u8 = 2;

impl Valve {
    fn shut(&self) {
        self.state.store(SHUT, Ordering::SeqCst);
    }

    /// Lets through what was held back: bytes may have come in while the sender drove.
    fn open(&self, wake: bool) {
        if self.state.swap(OPEN, Ordering::SeqCst) == HELD_BACK || wake {
            self.task.wake();
        }
    }
}

impl Wake for Valve {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let held = self
            .state
            .compare_exchange(SHUT, HELD_BACK, Ordering::SeqCst, Ordering::SeqCst);
        if held == Err(OPEN) {
            self.task.wake();
        }
    }
}

//! The thread that does the I/O: one a process, started by the first limiter over Redis, ended with the last.
//!
//! The work is packets, not computation, so one thread serves; others appear only while names are looked up.
//! Tokio's default of a thread a core would be waste on Lambda, and would be paid at `require`.

use std::io;
use std::sync::{Arc, Weak, mpsc};
use std::thread;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Names that are looked up at once. The system's look-up blocks a thread and cannot be given up: with only one, a name
/// that resolves slowly would keep every other Redis from being found.
const LOOKUP_THREADS: usize = 4;

static CURRENT: Mutex<Weak<IoThread>> = Mutex::new(Weak::new());

/// A thread with a Tokio runtime. It ends when the last reference goes; what still runs there is dropped.
pub struct IoThread {
    handle: Handle,
    // Its drop is the signal to end. Nobody joins the thread: the last reference may go on that very thread.
    _alive: oneshot::Sender<()>,
}

impl IoThread {
    /// The process's I/O thread, started if there is none.
    ///
    /// # Errors
    /// The system's, when it grants no thread or no event queue.
    pub fn shared() -> io::Result<Arc<Self>> {
        let mut current = CURRENT.lock();
        if let Some(running) = current.upgrade() {
            return Ok(running);
        }
        let started = Arc::new(Self::start()?);
        *current = Arc::downgrade(&started);
        Ok(started)
    }

    /// The process's I/O thread, if there is one.
    pub fn current() -> Option<Arc<Self>> {
        let current = CURRENT.lock();
        current.upgrade()
    }

    fn start() -> io::Result<Self> {
        let (alive, ended) = oneshot::channel::<()>();
        let (report, reported) = mpsc::channel();
        thread::Builder::new()
            .name("rate-limit-io".to_owned())
            .spawn(move || {
                let runtime = Builder::new_current_thread()
                    .enable_io()
                    .enable_time()
                    .max_blocking_threads(LOOKUP_THREADS)
                    .build();
                match runtime {
                    Ok(runtime) => {
                        if report.send(Ok(runtime.handle().clone())).is_ok() {
                            // An error is the sender's drop: the end either way.
                            let _ = runtime.block_on(ended);
                        }
                        // A look-up that hangs must not keep the thread.
                        runtime.shutdown_background();
                    }
                    Err(error) => {
                        // The starter waits for this report; if it has gone, nobody needs it.
                        let _ = report.send(Err(error));
                    }
                }
            })?;
        let handle = reported
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the I/O thread ended at its start")))?;
        Ok(Self {
            handle,
            _alive: alive,
        })
    }

    /// Where to spawn.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

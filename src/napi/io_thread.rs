//! The thread that does the I/O: one a process, started by the first limiter over Redis, ended with the last.
//!
//! One thread is enough, since the work is packets and not computation; others exist only during DNS look-ups. Tokio's
//! default of one thread per core would be wasteful on Lambda, and its cost would fall on `require`.

use std::io;
use std::sync::{Arc, Weak, mpsc};
use std::thread;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Concurrent DNS look-ups. The system's look-up blocks a thread and cannot be cancelled: with only one, a name that
/// resolves slowly would block the look-ups of every other Redis. Each engine has one look-up of a name at a time, and each worker
/// thread of the application its own engine. A thread ends ten seconds after its last look-up.
const LOOKUP_THREADS: usize = 16;

static CURRENT: Mutex<Weak<IoThread>> = Mutex::new(Weak::new());

/// A thread with a Tokio runtime. It ends with the last reference; tasks that still run are dropped.
pub(super) struct IoThread {
    handle: Handle,
    // Its drop is the signal to end. The thread is not joined: the last reference may be dropped on that very thread.
    _alive: oneshot::Sender<()>,
}

impl IoThread {
    /// The process's I/O thread, started if there is none.
    ///
    /// # Errors
    /// The system's, if it grants no thread or no event queue.
    pub(super) fn shared() -> io::Result<Arc<Self>> {
        let mut current = CURRENT.lock();
        if let Some(running) = current.upgrade() {
            return Ok(running);
        }
        let started = Arc::new(Self::start()?);
        *current = Arc::downgrade(&started);
        Ok(started)
    }

    /// The process's I/O thread, if there is one.
    pub(super) fn current() -> Option<Arc<Self>> {
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
                            // An error means that the sender was dropped: the end either way.
                            let _ = runtime.block_on(ended);
                        }
                        // A look-up that hangs must not keep the thread alive.
                        runtime.shutdown_background();
                    }
                    Err(error) => {
                        // An error means that `start` no longer waits for the report.
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

    /// Spawns tasks on the thread.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}

//! A connection that is made when first needed, shared by all checks, and replaced when it breaks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use redis::aio::MultiplexedConnection;

use super::config::RedisConfig;
use super::connect::connect;
use super::driver::Driver;
use crate::store::StoreError;

/// One multiplexed connection. Must be used inside a Tokio runtime, always the same one.
pub(super) struct Link {
    config: Arc<RedisConfig>,
    state: Arc<Mutex<State>>,
}

/// A connection in use; the number tells it from the one that replaces it.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) connection: MultiplexedConnection,
    pub(super) driver: Arc<Driver>,
    number: u64,
}

struct State {
    number: u64,
    stage: Stage,
}

enum Stage {
    Down,
    Connecting(Attempt),
    Up(Live),
}

type Attempt = Shared<BoxFuture<'static, Result<Live, StoreError>>>;

impl Link {
    pub(super) fn new(config: Arc<RedisConfig>) -> Self {
        Self {
            config,
            state: Arc::new(Mutex::new(State {
                number: 0,
                stage: Stage::Down,
            })),
        }
    }

    /// The connection, made first if there is none. Whoever stops waiting leaves the attempt to the others: it runs on
    /// a task of its own, bounded by the connect budget.
    pub(super) async fn live(&self) -> Result<Live, StoreError> {
        let attempt = {
            let mut state = lock(&self.state);
            match &state.stage {
                Stage::Up(live) => return Ok(live.clone()),
                Stage::Connecting(attempt) => attempt.clone(),
                Stage::Down => {
                    state.number += 1;
                    let attempt = self.attempt(state.number);
                    state.stage = Stage::Connecting(attempt.clone());
                    tokio::spawn(attempt.clone());
                    attempt
                }
            }
        };
        attempt.await
    }

    /// The connection, if there is one.
    pub(super) fn ready(&self) -> Option<Live> {
        match &lock(&self.state).stage {
            Stage::Up(live) => Some(live.clone()),
            Stage::Down | Stage::Connecting(_) => None,
        }
    }

    /// Lets go of `live`, unless it has been replaced already.
    pub(super) fn discard(&self, live: &Live) {
        leave(&self.state, live.number);
    }

    fn attempt(&self, number: u64) -> Attempt {
        let config = Arc::clone(&self.config);
        // Weak: the state holds the connection, and the connection's end is awaited here.
        let state = Arc::downgrade(&self.state);
        let attempt = async move {
            match connect(&config).await {
                Ok(connected) => {
                    let driver = Arc::new(connected.driver);
                    let live = Live {
                        connection: connected.connection,
                        driver: Arc::clone(&driver),
                        number,
                    };
                    arrive(&state, &live);
                    tokio::spawn(async move {
                        // The server closed it, every holder let go, or the driver panicked: the next check connects anew.
                        let _leaving = Leaving { state, number };
                        driver.run().await;
                    });
                    Ok(live)
                }
                Err(error) => {
                    drop(Leaving { state, number });
                    Err(error)
                }
            }
        };
        attempt.boxed().shared()
    }
}

fn arrive(state: &Weak<Mutex<State>>, live: &Live) {
    if let Some(state) = state.upgrade() {
        let mut state = lock(&state);
        if state.number == live.number {
            state.stage = Stage::Up(live.clone());
        }
    }
}

/// Makes way for the next connection when dropped.
struct Leaving {
    state: Weak<Mutex<State>>,
    number: u64,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some(state) = self.state.upgrade() {
            leave(&state, self.number);
        }
    }
}

fn leave(state: &Mutex<State>, number: u64) {
    let mut state = lock(state);
    if state.number == number {
        state.stage = Stage::Down;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Nothing panics between two writes to the state.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

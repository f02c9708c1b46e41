//! A connection that looks after itself: made when first needed, shared by all checks, asked for a sign of life after a
//! quiet stretch, and replaced when it breaks.
//!
//! A check waits for a connect only where a connection has worked until now, or none has been tried: that usually takes a
//! millisecond. Once an attempt has failed, the next ones are made in the background, spaced by full jitter, and until one
//! succeeds a check is told at once why there is no connection.

mod background;
mod renewal;

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;

use self::background::{find, reconnect};
use crate::store::redis::driver::Driver;
use crate::store::redis::live::{Live, Place};
use crate::store::{ErrorKind, StoreError};

/// A server that is away and that nobody has asked for so long is looked for again when somebody asks. Longer than the
/// breaker's longest wait between two probes.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// A connection that was used so recently is replaced before the next request asks for it.
const IN_USE: Duration = Duration::from_secs(1);

/// One multiplexed connection. Must be used inside a Tokio runtime, always the same one.
pub(in crate::store::redis) struct Link(Arc<Core>);

struct Core {
    place: Arc<Place>,
    state: Mutex<State>,
    /// Told when a connection is let go of.
    left: watch::Sender<()>,
}

struct State {
    stage: Stage,
    /// Connections in a row that failed, to be made or before they decided anything.
    failures: u32,
    /// When a request last asked for the connection.
    wanted: Instant,
    /// Whether there has been one.
    replaces: bool,
}

enum Stage {
    /// The next request connects.
    Down,
    /// Whoever asks waits for it.
    Connecting(Attempt),
    Up(Live),
    /// For this reason. Attempts are made in the background.
    Away(StoreError),
}

type Attempt = Shared<BoxFuture<'static, Result<Live, StoreError>>>;

impl Link {
    pub(in crate::store::redis) fn new(place: Arc<Place>) -> Self {
        Self(Arc::new(Core {
            place,
            state: Mutex::new(State {
                stage: Stage::Down,
                failures: 0,
                wanted: Instant::now(),
                replaces: false,
            }),
            left: watch::Sender::new(()),
        }))
    }

    /// The connection, made or asked for a sign of life first if need be. Whoever stops waiting leaves the attempt to the
    /// others: it runs on a task of its own, bounded by the connect budget.
    ///
    /// # Errors
    /// Why there is none.
    pub(in crate::store::redis) async fn live(&self) -> Result<Live, StoreError> {
        let attempt = {
            let mut state = self.0.state.lock();
            state.wanted = Instant::now();
            match &state.stage {
                Stage::Up(live) if !live.pulse.is_stale() => return Ok(live.clone()),
                Stage::Up(live) => {
                    let quiet = live.clone();
                    self.0.begin(&mut state, Some(quiet))
                }
                Stage::Connecting(attempt) => attempt.clone(),
                Stage::Down => self.0.begin(&mut state, None),
                Stage::Away(error) => return Err(error.clone()),
            }
        };
        attempt.await
    }

    /// The connection, if there is one that may be used without waiting.
    pub(in crate::store::redis) fn ready(&self) -> Option<Live> {
        let mut state = self.0.state.lock();
        match &state.stage {
            Stage::Up(live) if !live.pulse.is_stale() => {
                let live = live.clone();
                state.wanted = Instant::now();
                Some(live)
            }
            _ => None,
        }
    }

    /// Begins what the next request would wait for. Inside the runtime.
    pub(in crate::store::redis) fn nudge(&self) {
        let mut state = self.0.state.lock();
        let quiet = match &state.stage {
            Stage::Up(live) if live.pulse.is_stale() => Some(live.clone()),
            Stage::Down => None,
            Stage::Up(_) | Stage::Connecting(_) | Stage::Away(_) => return,
        };
        // It goes on by itself.
        drop(self.0.begin(&mut state, quiet));
    }

    /// Whether there is no connection, and nothing to wait for.
    pub(in crate::store::redis) fn is_away(&self) -> bool {
        matches!(self.0.state.lock().stage, Stage::Away(_))
    }

    /// Lets go of the connection. The next request makes a new one.
    pub(in crate::store::redis) fn release(&self) {
        let mut state = self.0.state.lock();
        if matches!(state.stage, Stage::Up(_)) {
            state.stage = Stage::Down;
        }
    }

    /// Lets go of `live` because of `error`, unless it has been replaced already.
    pub(in crate::store::redis) fn discard(&self, live: &Live, error: StoreError) {
        {
            let mut state = self.0.state.lock();
            // Its end was noticed first, and this is why.
            if let Stage::Away(known) = &mut state.stage
                && known.kind() == ErrorKind::Disconnected
            {
                *known = error;
                return;
            }
        }
        self.0.lose(&live.driver, error);
    }
}

impl Core {
    /// Connects, unless `quiet` gives a sign of life.
    fn begin(self: &Arc<Self>, state: &mut State, quiet: Option<Live>) -> Attempt {
        if quiet.as_ref().is_some_and(Live::is_proven) {
            state.failures = 0;
        }
        // Weak: the state holds the attempt, and later the connection, whose end is awaited.
        let core = Arc::downgrade(self);
        let place = Arc::clone(&self.place);
        let attempt = async move {
            let trying = Trying(core.clone());
            let result = find(&core, &place, quiet).await;
            trying.done(result)
        };
        let attempt = attempt.boxed().shared();
        state.stage = Stage::Connecting(attempt.clone());
        tokio::spawn(attempt.clone());
        attempt
    }

    /// A connection is of no use any more.
    fn lose(self: &Arc<Self>, driver: &Arc<Driver>, error: StoreError) {
        let mut state = self.state.lock();
        let (proven, address) = match &state.stage {
            Stage::Up(live) if live.is(driver) => (live.is_proven(), live.address),
            _ => return,
        };
        // A primary that is demoted loads what the other has.
        let refused = matches!(error.kind(), ErrorKind::ReadOnly | ErrorKind::Loading);
        self.place.refused_at(refused.then_some(address));
        self.left.send_replace(());
        if !proven {
            self.go_away(&mut state, error);
            return;
        }
        state.failures = 0;
        state.stage = Stage::Down;
        // Outside a runtime only where it has just ended.
        if state.wanted.elapsed() < IN_USE && Handle::try_current().is_ok() {
            // Nobody waits for it yet; it goes on by itself.
            drop(self.begin(&mut state, None));
        }
    }

    /// The connection that `driver` drives, unless it is not in use.
    fn held(&self, driver: &Arc<Driver>) -> Held {
        match &self.state.lock().stage {
            Stage::Up(live) if live.is(driver) => Held::InUse(live.clone()),
            Stage::Connecting(_) => Held::InDoubt,
            Stage::Up(_) | Stage::Down | Stage::Away(_) => Held::Gone,
        }
    }

    /// Puts `live` in the place of what `driver` drives. What is in flight there still gets its answer: the connection ends
    /// with the last who holds it. Returns whether it was in use.
    fn replace(&self, driver: &Arc<Driver>, live: &Live) -> bool {
        let mut state = self.state.lock();
        let replaces = matches!(&state.stage, Stage::Up(old) if old.is(driver));
        if replaces {
            state.stage = Stage::Up(live.clone());
        }
        replaces
    }

    /// One more connection has failed: from here on, the attempts are made in the background.
    fn go_away(self: &Arc<Self>, state: &mut State, error: StoreError) {
        state.failures = state.failures.saturating_add(1);
        state.stage = Stage::Away(error);
        if Handle::try_current().is_ok() {
            tokio::spawn(reconnect(Arc::downgrade(self)));
        } else {
            state.stage = Stage::Down;
        }
    }

    /// Whether `live` is its connection, has decided nothing yet, and is wanted.
    fn holds(&self, live: &Live) -> bool {
        let state = self.state.lock();
        let held = matches!(&state.stage, Stage::Up(held) if held.is(&live.driver));
        held && !live.is_proven() && state.wanted.elapsed() < FORGOTTEN
    }

    /// How many connections in a row have failed. `None`: there is one by now, or nobody wants one any more, and the next who
    /// does connects.
    fn wanted(&self) -> Option<u32> {
        let mut state = self.state.lock();
        if !matches!(state.stage, Stage::Away(_)) {
            return None;
        }
        if state.wanted.elapsed() < FORGOTTEN {
            return Some(state.failures);
        }
        state.stage = Stage::Down;
        None
    }
}

/// What a link does with a connection.
enum Held {
    InUse(Live),
    /// Asks it for a sign of life, or makes another.
    InDoubt,
    Gone,
}

/// An attempt that panics leaves room for the next.
struct Trying(Weak<Core>);

impl Trying {
    fn done<T>(mut self, result: T) -> T {
        self.0 = Weak::new();
        result
    }
}

impl Drop for Trying {
    fn drop(&mut self) {
        if let Some(core) = self.0.upgrade() {
            core.state.lock().stage = Stage::Down;
        }
    }
}

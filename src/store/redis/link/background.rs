//! What goes on behind a link: its connection's bytes are moved, and a lost one is looked for.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::renewal::keep_logged_in;
use super::{Core, Stage};
use crate::store::redis::backoff;
use crate::store::redis::connection_stats::ConnectionStats;
use crate::store::redis::driver::Driver;
use crate::store::redis::live::{Live, Place};
use crate::store::{ErrorKind, StoreError};

/// How often it is seen to whether a connection to a server that has refused is still to be looked after.
const LOOK: Duration = Duration::from_secs(1);

pub(super) fn arrive(core: &Weak<Core>, live: &Live) {
    if let Some(core) = core.upgrade() {
        core.state.lock().stage = Stage::Up(live.clone());
    }
}

/// Takes a new connection into use.
pub(super) fn install(core: &Weak<Core>, live: &Live) {
    arrive(core, live);
    if let Some(core) = core.upgrade() {
        attend(&core, live);
    }
}

/// A connection for use: the `quiet` one if it gives a sign of life, or a new one.
///
/// # Errors
/// Why there is none.
pub(super) async fn find(
    core: &Weak<Core>,
    place: &Place,
    quiet: Option<Live>,
) -> Result<Live, StoreError> {
    let old = match quiet {
        Some(live) if !live.is_over() => {
            if is_heard(core, place, &live).await {
                return Ok(live);
            }
            None
        }
        over => over,
    };
    match (connect(core, place).await, old) {
        (Ok(live), _) => {
            install(core, &live);
            Ok(live)
        }
        // Better than none: not every server ends a login for its age. Its renewal goes on.
        (Err(_), Some(old)) if is_heard(core, place, &old).await => {
            old.not_renewed();
            Ok(old)
        }
        (Err(error), _) => {
            if let Some(core) = core.upgrade() {
                core.go_away(&mut core.state.lock(), error.clone());
            }
            Err(error)
        }
    }
}

/// A new connection, unless the link goes first: nobody would use it, and the attempt may have a minute left.
///
/// # Errors
/// Why there is none.
pub(super) async fn connect(core: &Weak<Core>, place: &Place) -> Result<Live, StoreError> {
    let left = core.upgrade().map(|core| core.left.subscribe());
    let gone = async {
        if let Some(mut left) = left {
            // Its sender goes with the link.
            while left.changed().await.is_ok() {}
        }
    };
    tokio::select! {
        biased;
        connected = place.connect() => connected,
        () = gone => {
            let closed = "the store was closed";
            Err(StoreError::new(ErrorKind::Disconnected, closed))
        }
    }
}

/// Whether a quiet connection gives a sign of life; then it is in use again.
async fn is_heard(core: &Weak<Core>, place: &Place, quiet: &Live) -> bool {
    let heard = place.gives_sign_of_life(quiet).await;
    if heard {
        quiet.pulse.heard();
        arrive(core, quiet);
    }
    heard
}

/// Sees to a connection that has just come into use.
pub(super) fn attend(core: &Arc<Core>, live: &Live) {
    // One that leads back to a server that has just refused is no news to who waits for one that decides.
    if !core.place.has_refused(live) {
        core.place.refused_at(None);
        core.place.arrivals.send_modify(|count| *count += 1);
    }
    let replaces = std::mem::replace(&mut core.state.lock().replaces, true);
    let connections = Arc::clone(&core.place.connections);
    connections.opened(replaces);
    let (core, driver) = (Arc::downgrade(core), Arc::clone(&live.driver));
    let renewal = live.login.as_ref().map(|login| {
        let renewal = keep_logged_in(core.clone(), Arc::clone(&driver), Arc::clone(login));
        tokio::spawn(renewal).abort_handle()
    });
    tokio::spawn(drive(Leaving {
        core,
        driver,
        connections,
        renewal,
    }));
}

/// Moves a connection's bytes until it ends: the server has closed it, every holder has let go, or the driver panicked.
async fn drive(leaving: Leaving) {
    leaving.driver.run().await;
}

/// A connection, and what is to be done when it has ended.
struct Leaving {
    core: Weak<Core>,
    driver: Arc<Driver>,
    connections: Arc<ConnectionStats>,
    renewal: Option<AbortHandle>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some(renewal) = &self.renewal {
            renewal.abort();
        }
        self.connections.closed();
        if let Some(core) = self.core.upgrade() {
            let closed = "the server closed the connection";
            core.lose(
                &self.driver,
                StoreError::new(ErrorKind::Disconnected, closed),
            );
        }
    }
}

/// Connects in the background, for as long as somebody wants the connection. One link at a time looks for a server: the
/// others come after it has been found.
pub(super) async fn reconnect(core: Weak<Core>) {
    let Some(place) = core.upgrade().map(|core| Arc::clone(&core.place)) else {
        return;
    };
    let _search = place.search.lock().await;
    loop {
        let Some(failures) = core.upgrade().and_then(|core| core.wanted()) else {
            return;
        };
        // Where a failover has moved the name, nobody has tried yet.
        tokio::select! {
            () = sleep(backoff::wait(failures)) => {}
            () = place.moved() => {}
        }
        if core.strong_count() == 0 {
            return;
        }
        match connect(&core, &place).await {
            Ok(live) => {
                install(&core, &live);
                return follow(&core, &place, live).await;
            }
            Err(error) => {
                let Some(core) = core.upgrade() else {
                    return;
                };
                let mut state = core.state.lock();
                state.failures = state.failures.saturating_add(1);
                state.stage = Stage::Away(error);
            }
        }
    }
}

/// Leaves a server that has refused as soon as its name leads elsewhere: nobody has to be refused by it first. A demoted primary goes on
/// taking connections, and the name moves to the promoted one a second or so later.
async fn follow(core: &Weak<Core>, place: &Place, mut live: Live) {
    while place.has_refused(&live) {
        tokio::select! {
            () = unused(core, &live) => return,
            () = place.moved() => {}
        }
        match connect(core, place).await {
            Ok(elsewhere) => {
                install(core, &elsewhere);
                live = elsewhere;
            }
            Err(error) => {
                if let Some(core) = core.upgrade() {
                    core.lose(&live.driver, error);
                }
                return;
            }
        }
    }
}

/// Until nobody needs to look after the connection: it has been let go of, decides by now, or is wanted no more.
async fn unused(core: &Weak<Core>, live: &Live) {
    let Some(mut left) = core.upgrade().map(|core| core.left.subscribe()) else {
        return;
    };
    while core.upgrade().is_some_and(|core| core.holds(live)) {
        // A connection that is let go of is told; of the others it is seen.
        let _ = timeout(LOOK, left.changed()).await;
    }
}

//! What goes on behind a link: its connection's bytes are moved, and a lost one is looked for.

use std::sync::{Arc, Weak};

use tokio::time::sleep;

use super::{Core, Stage};
use crate::store::redis::backoff;
use crate::store::redis::connections::Connections;
use crate::store::redis::driver::Driver;
use crate::store::redis::live::Live;
use crate::store::{ErrorKind, StoreError};

pub(super) fn arrive(core: &Weak<Core>, live: &Live) {
    if let Some(core) = core.upgrade() {
        core.lock().stage = Stage::Up(live.clone());
    }
}

/// Takes a new connection into use.
pub(super) fn install(core: &Weak<Core>, live: &Live) {
    arrive(core, live);
    if let Some(core) = core.upgrade() {
        core.place.arrivals.send_modify(|count| *count += 1);
        let replaces = std::mem::replace(&mut core.lock().replaces, true);
        let connections = Arc::clone(&core.place.connections);
        connections.opened(replaces);
        tokio::spawn(drive(
            Arc::downgrade(&core),
            Arc::clone(&live.driver),
            connections,
        ));
    }
}

/// Moves a connection's bytes until it ends: the server has closed it, every holder has let go, or the driver panicked.
async fn drive(core: Weak<Core>, driver: Arc<Driver>, connections: Arc<Connections>) {
    struct Leaving(Weak<Core>, Arc<Driver>, Arc<Connections>);
    impl Drop for Leaving {
        fn drop(&mut self) {
            self.2.closed();
            if let Some(core) = self.0.upgrade() {
                let closed = "the server closed the connection";
                core.lose(&self.1, StoreError::new(ErrorKind::Disconnected, closed));
            }
        }
    }
    let leaving = Leaving(core, driver, connections);
    leaving.1.run().await;
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
        sleep(backoff::wait(failures)).await;
        if core.strong_count() == 0 {
            return;
        }
        match place.connect().await {
            Ok(live) => return install(&core, &live),
            Err(error) => {
                let Some(core) = core.upgrade() else {
                    return;
                };
                let mut state = core.lock();
                state.failures = state.failures.saturating_add(1);
                state.stage = Stage::Away(error);
            }
        }
    }
}

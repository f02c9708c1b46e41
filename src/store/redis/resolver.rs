//! From a name to addresses, anew for each connect: after a failover the name leads elsewhere.

use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tokio::net::lookup_host;
use tokio::time::sleep;

use crate::store::{ErrorKind, StoreError};

/// While a server is away its name is looked up about as often, since a failover moves it: two questions a second and process
/// are little to a resolver, and the new primary is to decide within 3 s of its promotion.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

type Addresses = Result<Vec<SocketAddr>, StoreError>;

/// Looks up one name, once at a time. The system's look-up blocks a thread and cannot be given up: where it hangs, each
/// attempt to connect would leave one more behind.
pub(super) struct Resolver {
    host: String,
    port: u16,
    in_flight: Mutex<Option<Shared<BoxFuture<'static, Addresses>>>>,
    /// Where it led when it was last followed.
    last_used: Mutex<Vec<SocketAddr>>,
}

impl Resolver {
    pub(super) fn new(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
            in_flight: Mutex::new(None),
            last_used: Mutex::default(),
        }
    }

    /// The addresses of the name, to be followed: of a look-up that is under way, or of a new one.
    pub(super) async fn addresses(&self) -> Addresses {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return Ok(vec![(address, self.port).into()]);
        }
        let found = self.join().await?;
        self.last_used.lock().clone_from(&found);
        Ok(found)
    }

    /// Waits until the name leads to an address to which it did not when it was last followed.
    pub(super) async fn changed(&self) {
        if self.host.parse::<IpAddr>().is_ok() {
            return pending().await;
        }
        loop {
            // From half of the time to all of it: many processes lose a server at the same moment.
            sleep(POLL_INTERVAL.mul_f64(1.0 - fastrand::f64() / 2.0)).await;
            if let Ok(found) = self.join().await {
                let followed = self.last_used.lock();
                if found.iter().any(|address| !followed.contains(address)) {
                    return;
                }
            }
        }
    }

    fn join(&self) -> Shared<BoxFuture<'static, Addresses>> {
        let mut looking = self.in_flight.lock();
        if let Some(under_way) = looking.as_ref().filter(|found| found.peek().is_none()) {
            return under_way.clone();
        }
        let started = look_up(self.host.clone(), self.port).boxed().shared();
        // A task of its own: it ends, and is known to have ended, also when nobody waits any more.
        tokio::spawn(started.clone());
        looking.insert(started).clone()
    }
}

async fn look_up(host: String, port: u16) -> Addresses {
    let not_found = || StoreError::new(ErrorKind::NotFound, "the host name does not resolve");
    let found = lookup_host((host, port)).await;
    let found: Vec<_> = found.map_err(|e| not_found().with_source(e))?.collect();
    if found.is_empty() {
        return Err(not_found());
    }
    Ok(found)
}

//! From a name to addresses, and the order in which to try these.

use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tokio::net::lookup_host;
use tokio::time::sleep;

use crate::store::{ErrorKind, StoreError};

/// How often a name is looked up while its server is away. A failover moves the name, and the new primary is to decide
/// within 3 s of its promotion. Two look-ups a second and process are little to a resolver.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

type Addresses = Result<Vec<SocketAddr>, StoreError>;

/// Looks up one name anew for each connect, since a failover moves it, and once at a time: the system's look-up blocks a
/// thread and cannot be cancelled. Where it hangs, each attempt to connect would block one more thread.
pub(super) struct Resolver {
    host: String,
    port: u16,
    in_flight: Mutex<Option<Shared<BoxFuture<'static, Addresses>>>>,
    /// The addresses that the last connect used.
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

    /// The addresses of the name, for a connect: of the look-up in flight, or of a new one.
    pub(super) async fn addresses(&self) -> Addresses {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return Ok(vec![(address, self.port).into()]);
        }
        let found = self.join().await?;
        self.last_used.lock().clone_from(&found);
        Ok(found)
    }

    /// Waits until the name has an address that it did not have at the last connect.
    pub(super) async fn changed(&self) {
        if self.host.parse::<IpAddr>().is_ok() {
            return pending().await;
        }
        loop {
            // From half of the time to all of it: many processes lose a server at the same moment.
            sleep(POLL_INTERVAL.mul_f64(1.0 - fastrand::f64() / 2.0)).await;
            if let Ok(found) = self.join().await {
                let last_used = self.last_used.lock();
                if found.iter().any(|address| !last_used.contains(address)) {
                    return;
                }
            }
        }
    }

    /// The look-up in flight, or a new one.
    fn join(&self) -> Shared<BoxFuture<'static, Addresses>> {
        let mut in_flight = self.in_flight.lock();
        if let Some(lookup) = in_flight.as_ref().filter(|found| found.peek().is_none()) {
            return lookup.clone();
        }
        let started = resolve(self.host.clone(), self.port).boxed().shared();
        // In a task of its own it ends, and is known to have ended, even if all its callers have given up.
        tokio::spawn(started.clone());
        in_flight.insert(started).clone()
    }
}

async fn resolve(host: String, port: u16) -> Addresses {
    let not_found = || StoreError::new(ErrorKind::NotFound, "the host name does not resolve");
    let found = lookup_host((host, port)).await;
    let found: Vec<_> = found.map_err(|e| not_found().with_source(e))?.collect();
    if found.is_empty() {
        return Err(not_found());
    }
    Ok(found)
}

/// The bad addresses of one name: those whose last attempt to connect got no answer. The last to fail comes last.
///
/// A name of several servers, such as that of a cluster's nodes, may resolve to them in the same order each time. A server
/// that accepts connections and never answers uses up the whole budget of a connect. Tried first at each attempt, it would
/// keep the other servers from ever being tried. The list is short: it holds addresses of the name only.
#[derive(Debug, Default)]
pub(super) struct AddressHealth(Mutex<Vec<SocketAddr>>);

impl AddressHealth {
    /// The addresses of the name in the order in which to try them: bad ones last, and of these the last to fail. Forgets
    /// the bad ones that the name no longer has.
    pub(super) fn bad_last(&self, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let mut bad = self.0.lock();
        bad.retain(|address| addresses.contains(address));
        addresses.sort_by_key(|address| bad.iter().position(|known| known == address));
        addresses
    }

    /// Nothing has answered at `address`, or not yet.
    pub(super) fn mark_bad(&self, address: SocketAddr) {
        self.mark_good(address);
        self.0.lock().push(address);
    }

    /// A server has answered at `address`, if only with an error.
    pub(super) fn mark_good(&self, address: SocketAddr) {
        self.0.lock().retain(|&known| known != address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(ports: &[u16]) -> Vec<SocketAddr> {
        let address = |&port| ([127, 0, 0, 1], port).into();
        ports.iter().map(address).collect()
    }

    #[test]
    fn the_last_address_to_fail_is_tried_last() {
        let (health, all) = (AddressHealth::default(), addresses(&[1, 2, 3]));
        assert_eq!(health.bad_last(all.clone()), all);
        health.mark_bad(all[0]);
        assert_eq!(health.bad_last(all.clone()), addresses(&[2, 3, 1]));
        // In any order of the look-up.
        assert_eq!(
            health.bad_last(addresses(&[3, 1, 2])),
            addresses(&[3, 2, 1])
        );
        // Two of them hang, and alternate behind the third.
        health.mark_bad(all[1]);
        assert_eq!(health.bad_last(all.clone()), addresses(&[3, 1, 2]));
        health.mark_bad(all[0]);
        assert_eq!(health.bad_last(all.clone()), addresses(&[3, 2, 1]));
        health.mark_bad(all[2]);
        assert_eq!(health.bad_last(all.clone()), addresses(&[2, 1, 3]));
        health.mark_good(all[1]);
        health.mark_good(all[2]);
        assert_eq!(health.bad_last(all.clone()), addresses(&[2, 3, 1]));
    }

    #[test]
    fn an_address_that_the_name_no_longer_has_is_forgotten() {
        let health = AddressHealth::default();
        health.mark_bad(addresses(&[1])[0]);
        assert_eq!(health.bad_last(addresses(&[2])), addresses(&[2]));
        assert_eq!(health.bad_last(addresses(&[1, 2])), addresses(&[1, 2]));
    }
}

//! From a name to addresses, anew for each connect: after a failover the name leads elsewhere.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::net::lookup_host;

use crate::store::{ErrorKind, StoreError};

type Found = Result<Vec<SocketAddr>, StoreError>;

/// Looks up one name, once at a time. The system's look-up blocks a thread and cannot be given up: where it hangs, each
/// attempt to connect would leave one more behind.
pub(super) struct Resolver {
    host: String,
    port: u16,
    looking: Mutex<Option<Shared<BoxFuture<'static, Found>>>>,
}

impl Resolver {
    pub(super) fn new(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
            looking: Mutex::new(None),
        }
    }

    /// The addresses of the name: of a look-up that is under way, or of a new one.
    pub(super) async fn addresses(&self) -> Found {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return Ok(vec![(address, self.port).into()]);
        }
        self.join().await
    }

    fn join(&self) -> Shared<BoxFuture<'static, Found>> {
        // Nothing panics between two writes to it.
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(under_way) = looking.as_ref().filter(|found| found.peek().is_none()) {
            return under_way.clone();
        }
        let started = look_up(self.host.clone(), self.port).boxed().shared();
        // A task of its own: it ends, and is known to have ended, also when nobody waits any more.
        tokio::spawn(started.clone());
        looking.insert(started).clone()
    }
}

async fn look_up(host: String, port: u16) -> Found {
    let not_found = || StoreError::new(ErrorKind::NotFound, "the host name does not resolve");
    let found = lookup_host((host, port)).await;
    let found: Vec<_> = found.map_err(|e| not_found().with_source(e))?.collect();
    if found.is_empty() {
        return Err(not_found());
    }
    Ok(found)
}

//! Addresses of one name that have led nowhere.
//!
//! A name of several servers, as that of a cluster's nodes, leads to them in whatever order the resolver likes, and may do so
//! each time in the same. One that takes connections and then says nothing uses up all of a connect's budget: asked first at
//! each attempt, it would keep the others from ever being asked.

use std::net::SocketAddr;

use parking_lot::Mutex;

/// Those in doubt, the last to disappoint last. Few: at most what the name leads to.
#[derive(Debug, Default)]
pub struct AddressHealth(Mutex<Vec<SocketAddr>>);

impl AddressHealth {
    /// The addresses that a name leads to by now, in the order in which to try them: those in doubt come last, and of these the
    /// last to disappoint.
    pub fn bad_last(&self, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let mut doubtful = self.0.lock();
        doubtful.retain(|address| addresses.contains(address));
        addresses.sort_by_key(|address| doubtful.iter().position(|known| known == address));
        addresses
    }

    /// Nobody knows what `address` is good for.
    pub fn mark_bad(&self, address: SocketAddr) {
        self.mark_good(address);
        self.0.lock().push(address);
    }

    /// A server has answered there, whatever it said.
    pub fn mark_good(&self, address: SocketAddr) {
        self.0.lock().retain(|&known| known != address);
    }
}

//! The order in which to try the addresses of a name.

use std::net::SocketAddr;

/// The bad addresses of one name: those whose last attempt to connect got no answer. The last to fail comes last.
///
/// A name of several servers, such as that of a cluster's nodes, may resolve to them in the same order each time. A server
/// that accepts connections and never answers uses up the whole budget of a connect. Tried first at each attempt, it would
/// keep the other servers from ever being tried. The list is short: it holds addresses of the name only.
#[derive(Debug, Default)]
pub(crate) struct AddressHealth(Vec<SocketAddr>);

impl AddressHealth {
    /// The addresses of the name in the order in which to try them: bad ones last, and of these the last to fail. Forgets
    /// the bad ones that the name no longer has.
    pub(crate) fn bad_last(&mut self, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        self.0.retain(|address| addresses.contains(address));
        addresses.sort_by_key(|address| self.0.iter().position(|known| known == address));
        addresses
    }

    /// Nothing has answered at `address`, or not yet.
    pub(crate) fn mark_bad(&mut self, address: SocketAddr) {
        self.mark_good(address);
        self.0.push(address);
    }

    /// A server has answered at `address`, if only with an error.
    pub(crate) fn mark_good(&mut self, address: SocketAddr) {
        self.0.retain(|&known| known != address);
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
        let (mut health, all) = (AddressHealth::default(), addresses(&[1, 2, 3]));
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
        let mut health = AddressHealth::default();
        health.mark_bad(addresses(&[1])[0]);
        assert_eq!(health.bad_last(addresses(&[2])), addresses(&[2]));
        assert_eq!(health.bad_last(addresses(&[1, 2])), addresses(&[1, 2]));
    }
}

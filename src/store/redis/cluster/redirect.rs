//! Where a node of a cluster says that a key is.

use redis::RedisError;

use crate::store::redis::config::RedisConfig;
use crate::store::redis::host::is_host;

/// The name or address of a node, and its port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Without brackets around an address of IPv6.
    pub host: String,
    /// Not 0.
    pub port: u16,
}

impl Address {
    /// As a node that was `asked` names another one: by no host where that is its own. `None`: it does not know the host,
    /// which is a `?`, as of a node that is to announce a name and has none; or it names what is no host.
    /// (`CLUSTER SLOTS` and `cluster-preferred-endpoint-type` in the documentation of Redis.)
    pub(crate) fn named(host: &str, port: u16, asked: &RedisConfig) -> Option<Self> {
        let host = match host {
            "" => asked.host.clone(),
            "?" => return None,
            host => Some(host).filter(|host| is_host(host))?.to_owned(),
        };
        (port != 0).then_some(Self { host, port })
    }
}

/// The reply of a node that has executed nothing, since it does not have the keys, or not all of them.
/// (Redis cluster specification, "MOVED Redirection", "ASK redirection", "Multiple keys operations".)
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redirect {
    /// Its slot is there.
    Moved(Address),
    /// Its slot is being migrated there, and the key has moved or is new. This one command goes there, after `ASKING`.
    Ask(Address),
    /// Some keys of the slot have moved and others have not: one command for each key.
    TryAgain,
}

impl Redirect {
    /// The redirect in an `error` from the node `asked`. `None`: it is another error, or its address is of no use.
    pub fn of(error: &RedisError, asked: &RedisConfig) -> Option<Self> {
        let there = || {
            let (address, _) = error.redirect_node()?;
            let (host, port) = address.rsplit_once(':')?;
            Address::named(host, port.parse().ok()?, asked)
        };
        match error.code()? {
            "MOVED" => there().map(Self::Moved),
            "ASK" => there().map(Self::Ask),
            "TRYAGAIN" => Some(Self::TryAgain),
            _ => None,
        }
    }
}

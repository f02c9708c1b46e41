//! Redis Cluster: the slots of keys, the shard map, and redirects.

pub(crate) mod redirect;
mod shard_map;
mod slot;
pub mod topology;

use self::topology::Slots;
use super::config::RedisConfig;
use super::{error_map, protocol};
use crate::quota::Id;
use crate::store::{ErrorKind, Scope, StoreError};

pub use self::shard_map::ShardMap;
pub(crate) use self::slot::{SLOTS, of as slot_of_key};

/// The slot of the keys of an id.
pub(crate) fn slot_of(scope: &Scope, id: &Id) -> u16 {
    slot::of_key_from(|key| scope.name.write_key(id, key))
}

/// A server's reply to `CLUSTER SLOTS`.
pub(crate) enum ClusterInfo {
    /// It is part of a cluster with these slots.
    Slots(Slots),
    /// It is not part of a cluster.
    Disabled,
    /// The user may not run the command.
    Forbidden,
}

/// Reads the `reply` of the server `queried` to `CLUSTER SLOTS`.
///
/// # Errors
/// The error of the server, if it passes; [`ErrorKind::Protocol`] for a reply that makes no sense.
pub(crate) fn read_cluster_info(
    reply: &[u8],
    queried: &RedisConfig,
) -> Result<ClusterInfo, StoreError> {
    let Some(error) = protocol::server_error(reply) else {
        let value = redis::parse_redis_value(reply).ok();
        let slots = value.and_then(|value| Slots::read(&value, queried));
        let message = "the server's answer to CLUSTER SLOTS makes no sense";
        let malformed = || StoreError::new(ErrorKind::Protocol, message);
        return slots.map(ClusterInfo::Slots).ok_or_else(malformed);
    };
    let known = error_map::command_error(&error);
    match (error.code(), known.kind()) {
        (_, ErrorKind::NoPerm) => Ok(ClusterInfo::Forbidden),
        // "This instance has cluster support disabled", or a server without the command. Not a temporary error, such as "max
        // number of clients reached".
        (Some("ERR"), ErrorKind::Protocol) => Ok(ClusterInfo::Disabled),
        _ => Err(known),
    }
}

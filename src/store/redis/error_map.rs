//! From an error of the server or the redis crate to a [`StoreError`].

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;

use redis::RedisError;

use super::tls;
use crate::store::{ErrorKind, StoreError};

// A server may quote the command in an error, and a proxy may quote an earlier one, with a password in it. So only these texts
// of a server's error are passed on, and nothing that follows them.
const KNOWN_TEXTS: [&str; 9] = [
    "DB index is out of range",
    "invalid DB index",
    "unknown command",
    "unknown subcommand",
    "wrong number of arguments",
    "syntax error",
    "operation not permitted",
    "This instance has cluster support disabled",
    "This Redis command is not allowed from script",
];

/// The known text with which `error` begins.
fn known_text(error: &RedisError) -> Option<&'static str> {
    let detail = error.detail().filter(|_| error.code() == Some("ERR"))?;
    let mut texts = KNOWN_TEXTS.into_iter();
    texts.find(|text| detail.starts_with(text))
}

/// `message`, and the server's text if it is known.
fn with_known_text(message: &'static str, error: &RedisError) -> Cow<'static, str> {
    match known_text(error) {
        Some(text) => format!("{message}: {text}").into(),
        None => message.into(),
    }
}

/// The error of a handshake: of AUTH or SELECT.
pub fn handshake_error(error: &RedisError) -> StoreError {
    // In TLS 1.3 a server that requires a client certificate reports that after the handshake.
    if let Some(refused) = cause(error).and_then(tls::refusal) {
        return refused;
    }
    let detail = error.detail().unwrap_or_default();
    let kind = match error.code() {
        Some(code) => server_kind(code, detail),
        None => crate_kind(error),
    };
    let kind = match kind {
        ErrorKind::Protocol if detail.contains("without any password configured") => {
            ErrorKind::NoPassword
        }
        ErrorKind::Protocol if detail.contains("not allowed in cluster mode") => ErrorKind::Cluster,
        kind => kind,
    };
    let message = match kind {
        ErrorKind::WrongPass => "the server accepts none of the passwords",
        ErrorKind::NoPassword => {
            "a password is configured and the server has none for the default user: leave the password out, name the user \
             that it is for, or set requirepass on the server"
        }
        ErrorKind::NoAuth => "the server asks for a password and none is configured",
        ErrorKind::NoPerm => "the user may not log in or select the database",
        ErrorKind::Cluster => {
            "the server is part of a Redis Cluster, which has database 0 only; remove the database"
        }
        ErrorKind::Disconnected => "the server closed the connection while it was set up",
        ErrorKind::MaxClients => "the server has no connection left (maxclients)",
        ErrorKind::Loading => "the server is loading its data or has lost its primary",
        _ => "the server refused to set up the connection",
    };
    StoreError::new(kind, with_known_text(message, error))
}

/// The error of SELECT.
pub(crate) fn select_error(error: &RedisError, database: u16) -> StoreError {
    let general = handshake_error(error);
    let missing = ["DB index is out of range", "invalid DB index"];
    match known_text(error) {
        Some(text) if missing.contains(&text) => StoreError::new(
            ErrorKind::Database,
            format!(
                "the server has no database {database}: {text}; use a lower number (redis.database, REDIS_DATABASE, the \
                 URL's path), or raise databases on the server"
            ),
        ),
        _ if matches!(general.kind(), ErrorKind::NoPerm | ErrorKind::Protocol) => StoreError::new(
            general.kind(),
            format!("database {database} cannot be selected: {general}"),
        ),
        _ => general,
    }
}

/// The error of a command.
pub fn command_error(error: &RedisError) -> StoreError {
    match error.code() {
        Some(code) => {
            let kind = server_kind(code, error.detail().unwrap_or_default());
            StoreError::new(kind, with_known_text(message(kind), error))
        }
        None => {
            let kind = crate_kind(error);
            let message = match kind {
                ErrorKind::Timeout => "the server did not answer in time",
                ErrorKind::Disconnected => "the connection broke",
                _ => "the reply is not Redis protocol",
            };
            // Not kept as the source: a parse error may quote the bytes of the reply.
            StoreError::new(kind, message)
        }
    }
}

/// An error that the script caught for one key, as `CODE text`. The server has replied, so an unknown error is one of the key.
pub fn from_script(error: &str) -> StoreError {
    let (code, detail) = error.split_once(' ').unwrap_or((error, ""));
    let kind = match server_kind(code.trim_start_matches('-'), detail) {
        ErrorKind::Protocol => ErrorKind::WrongType,
        kind => kind,
    };
    StoreError::new(kind, message(kind))
}

/// What an error of the server means.
fn message(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NoAuth => "the server asks for a password (NOAUTH)",
        ErrorKind::WrongPass => "the server does not accept the password (WRONGPASS)",
        ErrorKind::NoPerm => {
            "the user may not run the script's commands, or ASKING on a cluster, or touch the key (NOPERM)"
        }
        ErrorKind::ReadOnly => "the server is a read-only replica (READONLY)",
        ErrorKind::Unwritable => "the server takes no writes: too few replicas, or its disk fails",
        ErrorKind::Loading => "the server is loading its data or has lost its primary",
        ErrorKind::Oom => "the server is out of memory (OOM)",
        ErrorKind::MaxClients => "the server has no connection left (maxclients)",
        ErrorKind::Busy => "the server is busy with a long script (BUSY)",
        ErrorKind::Cluster => "the key lives on another node of a Redis Cluster",
        ErrorKind::ClusterDown => "the cluster has no primary for the key for now (CLUSTERDOWN)",
        ErrorKind::WrongType => "the key holds something that is not a log of this limiter",
        _ => "the server answers the script with an error that it should not",
    }
}

fn server_kind(code: &str, detail: &str) -> ErrorKind {
    match code {
        "NOAUTH" => ErrorKind::NoAuth,
        "WRONGPASS" => ErrorKind::WrongPass,
        "NOPERM" => ErrorKind::NoPerm,
        "READONLY" => ErrorKind::ReadOnly,
        "NOREPLICAS" | "MISCONF" => ErrorKind::Unwritable,
        "LOADING" | "MASTERDOWN" => ErrorKind::Loading,
        "OOM" => ErrorKind::Oom,
        "BUSY" => ErrorKind::Busy,
        "WRONGTYPE" => ErrorKind::WrongType,
        "MOVED" | "ASK" | "TRYAGAIN" | "CROSSSLOT" => ErrorKind::Cluster,
        "CLUSTERDOWN" => ErrorKind::ClusterDown,
        "ERR" if detail.contains("max number of clients") => ErrorKind::MaxClients,
        // A client that is not authenticated has sent a command that is too long for one.
        "ERR" if detail.starts_with("Protocol error: unauthenticated") => ErrorKind::NoAuth,
        // NOPERM inside a script, in Redis 7.0, and in Redis from 7.2 on and Valkey.
        "ERR" if detail.starts_with("The user executing the script can't") => ErrorKind::NoPerm,
        "ERR" if detail.starts_with("ACL failure in script") => ErrorKind::NoPerm,
        _ => ErrorKind::Protocol,
    }
}

fn crate_kind(error: &RedisError) -> ErrorKind {
    if error.is_timeout() {
        ErrorKind::Timeout
    } else if error.is_connection_refusal() {
        ErrorKind::Refused
    } else if error.is_connection_dropped() || error.is_io_error() {
        ErrorKind::Disconnected
    } else {
        ErrorKind::Protocol
    }
}

/// The cause in an error of the crate.
fn cause(error: &RedisError) -> Option<&(dyn Error + 'static)> {
    let kept = error
        .source()?
        .downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
    Some(&**kept)
}

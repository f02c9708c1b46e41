//! From what the server or the crate says went wrong to a [`StoreError`].

use redis::RedisError;

use crate::store::{ErrorKind, StoreError};

/// The longest excerpt of a server's words that a message quotes.
const MAX_EXCERPT: usize = 160;

/// An error during AUTH and SELECT. The server's own words stay out: an unknown command is echoed with its arguments,
/// and there they are the password.
pub(super) fn during_set_up(error: &RedisError) -> StoreError {
    let detail = error.detail().unwrap_or_default();
    let kind = match error.code() {
        Some(code) => server_kind(code, detail),
        None => crate_kind(error),
    };
    let kind = match kind {
        // "ERR AUTH <password> called without any password configured": a wrong password all the same.
        ErrorKind::Protocol if detail.contains("without any password configured") => {
            ErrorKind::WrongPass
        }
        kind => kind,
    };
    let message = match kind {
        ErrorKind::WrongPass => "the server accepts none of the passwords",
        ErrorKind::NoAuth => "the server asks for a password and none is configured",
        ErrorKind::NoPerm => "the user may not log in or select the database",
        ErrorKind::Disconnected => "the server closed the connection while it was set up",
        ErrorKind::MaxClients => "the server has no connection left (maxclients)",
        ErrorKind::Loading => "the server is loading its data or has lost its primary",
        _ => "the server refused to set up the connection",
    };
    StoreError::new(kind, message)
}

/// An error in place of a reply to the script.
pub(super) fn instead_of_reply(error: &RedisError) -> StoreError {
    match error.code() {
        Some(code) => {
            let detail = error.detail().unwrap_or_default();
            StoreError::new(
                server_kind(code, detail),
                excerpt(&format!("{code} {detail}")),
            )
        }
        None => {
            let kind = crate_kind(error);
            let message = match kind {
                ErrorKind::Timeout => "the server did not answer in time",
                ErrorKind::Disconnected => "the connection broke",
                _ => "the reply is not Redis protocol",
            };
            // Not kept as the source: a parse error may quote the bytes it met.
            StoreError::new(kind, message)
        }
    }
}

/// An error that the script caught for one key, as `CODE words`.
pub(super) fn from_script(message: &str) -> StoreError {
    let (code, detail) = message.split_once(' ').unwrap_or((message, ""));
    StoreError::new(
        server_kind(code.trim_start_matches('-'), detail),
        excerpt(message),
    )
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
        "MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN" | "CROSSSLOT" => ErrorKind::Cluster,
        "ERR" if detail.contains("max number of clients") => ErrorKind::MaxClients,
        // How Redis 7 says NOPERM inside a script.
        "ERR" if detail.starts_with("The user executing the script can't") => ErrorKind::NoPerm,
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

/// What may be shown of a server's words: they could be anything where it is no Redis.
fn excerpt(words: &str) -> String {
    words
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_EXCERPT)
        .collect()
}

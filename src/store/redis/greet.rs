//! The first words on a connection: AUTH, SELECT, or a PING where neither is due.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisError};

use super::config::{RedisConfig, Secret};
use super::error_map;
use crate::store::async_budget::AsyncBudget as Budget;
use crate::store::{ErrorKind, StoreError};

/// Whether the server answers on `connection` within `patience`, whatever it says.
pub(super) async fn is_alive(connection: &MultiplexedConnection, patience: Duration) -> bool {
    let mut connection = connection.clone();
    let ping = redis::cmd("PING");
    let patience = Budget::new(patience);
    match patience
        .within(ping.query_async::<()>(&mut connection))
        .await
    {
        Some(Ok(())) => true,
        Some(Err(error)) => is_server_reply(&error),
        None => false,
    }
}

/// NOPERM: the server has replied, so the connection is alive.
fn is_server_reply(error: &RedisError) -> bool {
    error.code() == Some("NOPERM")
}

/// Logs in and selects the database. One answer at least is waited for: a server that never gives one, or speaks TLS, is
/// found within the budget of the connect, and not by one check after another.
///
/// Said here and not by the crate, which tells a server that has no connection left from a wrong password as little as
/// a database that the user may not select from one that is not there.
pub(super) async fn greet(
    connection: &mut MultiplexedConnection,
    config: &RedisConfig,
    password: Option<&Secret>,
) -> Result<(), StoreError> {
    let username = config.username.as_deref();
    if password.is_some() || username.is_some() {
        log_in(connection, username, password).await?;
    }
    if config.database != 0 {
        let mut select = redis::cmd("SELECT");
        let selected = select.arg(config.database).query_async(connection).await;
        let selected: Result<(), _> = selected;
        selected.map_err(|e| error_map::select_error(&e, config.database))?;
    } else if password.is_none() && username.is_none() {
        match say(connection, &redis::cmd("PING")).await {
            // Users of few rights get an answer, too.
            Err(error) if error.kind() == ErrorKind::NoPerm => {}
            other => return other,
        }
    }
    Ok(())
}

/// Says AUTH.
pub(super) async fn log_in(
    connection: &mut MultiplexedConnection,
    username: Option<&str>,
    password: Option<&Secret>,
) -> Result<(), StoreError> {
    let mut auth = redis::cmd("AUTH");
    if let Some(username) = username {
        auth.arg(username);
    }
    // A user that needs no password (`nopass`) takes an empty one.
    let password = password.map_or("", Secret::expose);
    say(connection, auth.arg(password)).await
}

async fn say(connection: &mut MultiplexedConnection, command: &Cmd) -> Result<(), StoreError> {
    let answer = command.query_async(connection).await;
    answer.map_err(|e| error_map::handshake_error(&e))
}

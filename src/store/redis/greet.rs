//! The first words on a connection: AUTH, SELECT, or a PING where neither is due.

use redis::Cmd;
use redis::aio::MultiplexedConnection;

use super::config::{RedisConfig, Secret};
use super::reply;
use crate::store::{ErrorKind, StoreError};

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
        let mut auth = redis::cmd("AUTH");
        if let Some(username) = username {
            auth.arg(username);
        }
        // A user that needs no password (`nopass`) takes an empty one.
        let password = password.map_or("", Secret::expose);
        say(connection, auth.arg(password)).await?;
    }
    if config.database != 0 {
        let mut select = redis::cmd("SELECT");
        say(connection, select.arg(config.database)).await?;
    } else if password.is_none() && username.is_none() {
        match say(connection, &redis::cmd("PING")).await {
            // Users of few rights get an answer, too.
            Err(error) if error.kind() == ErrorKind::NoPerm => {}
            other => return other,
        }
    }
    Ok(())
}

async fn say(connection: &mut MultiplexedConnection, command: &Cmd) -> Result<(), StoreError> {
    let answer = command.query_async(connection).await;
    answer.map_err(|e| reply::during_set_up(&e))
}

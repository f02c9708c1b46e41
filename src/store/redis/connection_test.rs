//! The connection test: the steps of a client, each with the time it took.

use std::time::{Duration, Instant};

use redis::{Cmd, FromRedisValue, Value};

use super::error_map;
use super::live::Live;
use super::node::exchange;
use super::script::{Tag, check};
use crate::quota::{Id, Limit};
use crate::store::{ErrorKind, Op, Request, Scope, StoreError};

/// The key expires after this time if the test ends half-way.
const TTL_MS: u64 = 60_000;

/// The result of a connection test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionTest {
    /// The server's version, unless the user may not read it.
    pub version: Option<String>,
    /// The key that was written and read back.
    pub key: String,
    /// Its value.
    pub value: String,
    /// How long each step took, in their order.
    pub(crate) ping: Duration,
    /// Likewise.
    pub(crate) set: Duration,
    /// Likewise.
    pub get: Duration,
    /// Likewise.
    pub(crate) delete: Duration,
}

pub(super) async fn run(live: &Live, scope: &Scope) -> Result<ConnectionTest, StoreError> {
    decide(live, scope).await?;
    // A key of this test alone: others may run at the same time. No id has such a key: theirs hold no inner braces.
    let [key, value] = [(); 2].map(|()| format!("{:016x}", fastrand::u64(..)));
    let key = format!("{{{}:}}test:{key}", scope.name.as_str());
    let (ping, _) = step::<Value>(live, "PING", &redis::cmd("PING")).await?;
    let write = redis::cmd("SET")
        .arg(&key)
        .arg(&value)
        .arg("PX")
        .arg(TTL_MS)
        .to_owned();
    let (set, _) = step::<Value>(live, "SET", &write).await?;
    let read = redis::cmd("GET").arg(&key).to_owned();
    let (get, found) = step::<Option<String>>(live, "GET", &read).await?;
    let remove = redis::cmd("DEL").arg(&key).to_owned();
    let (delete, _) = step::<Value>(live, "DEL", &remove).await?;
    if found.as_ref() != Some(&value) {
        let message = "the server did not give back what was written a moment before";
        return Err(StoreError::new(ErrorKind::Protocol, message));
    }
    let info = redis::cmd("INFO").arg("server").to_owned();
    let version = match step::<String>(live, "INFO", &info).await {
        Ok((_, info)) => version(&info),
        Err(_) => None,
    };
    Ok(ConnectionTest {
        version,
        key,
        value,
        ping,
        set,
        get,
        delete,
    })
}

/// All operations of a limiter, the last of which is a reset, in one call of the script: a user that may not run it cannot
/// limit anything.
async fn decide(live: &Live, scope: &Scope) -> Result<(), StoreError> {
    let requests = [Op::Check, Op::Limit, Op::Status, Op::Reset].map(|op| Request {
        op,
        id: Id::reserved(),
        limit: Limit::literal(2),
    });
    let tag = Tag::of(fastrand::usize(..));
    let batch: Vec<_> = requests.iter().collect();
    let command = |by, _| check::command(by, tag, scope, &batch);
    let reply = exchange(live, 1, false, command).await?.swap_remove(0);
    let reply = reply.map_err(|error| error_map::command_error(&error))?;
    let window = scope.rules.window;
    let limits = requests.iter().map(|request| request.limit);
    let outcomes = check::outcomes(&reply, tag, window, limits)?;
    outcomes
        .into_iter()
        .try_for_each(|outcome| outcome.map(drop))
}

async fn step<T: FromRedisValue>(
    live: &Live,
    name: &str,
    command: &Cmd,
) -> Result<(Duration, T), StoreError> {
    let started = Instant::now();
    live.pulse.sent();
    let answer = command.query_async(&mut live.connection.clone()).await;
    live.pulse.heard();
    let answer = answer.map_err(|error| {
        let error = error_map::command_error(&error);
        let message = match error.kind() {
            // The user was just allowed all that a limiter needs.
            ErrorKind::NoPerm => format!(
                "the limiter's own commands work; this test needs {name}, too, which the user may not run (NOPERM)"
            ),
            _ => format!("{name}: {error}"),
        };
        StoreError::new(error.kind(), message)
    })?;
    Ok((started.elapsed(), answer))
}

/// The version in the reply to INFO. Valkey has the version of Redis that it is compatible with in this field.
fn version(info: &str) -> Option<String> {
    let mut lines = info.lines();
    let version = lines.find_map(|line| line.strip_prefix("redis_version:"))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let version: String = version.chars().take(32).take_while(|&c| plain(c)).collect();
    Some(version).filter(|version| !version.is_empty())
}

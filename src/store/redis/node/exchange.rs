//! Commands out, replies back, over one connection and in one round trip.

use std::iter;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisError, RedisResult, Value};

use crate::store::StoreError;
use crate::store::redis::error_map;
use crate::store::redis::live::Live;
use crate::store::redis::script::ScriptRef;

/// How often the source is sent before a server is taken for one that keeps no script. Once is enough but where the slot of
/// the one command that brought the source along has just moved away.
const SENDINGS: usize = 3;

/// One command's reply: a value, or an error that the server has said.
pub(in crate::store::redis) type Reply = Result<Value, RedisError>;

/// Sends `count` commands that run a script, and the source along where the server does not have it: after a restart, and
/// practically every failover. The server has refused then before it ran anything, so asking again cannot count twice.
/// `asking`: each for a slot that the server is about to take over.
///
/// # Errors
/// Why there are no replies.
pub(in crate::store::redis) async fn exchange(
    live: &Live,
    count: usize,
    asking: bool,
    command: impl Fn(ScriptRef, usize) -> Cmd,
) -> Result<Vec<Reply>, StoreError> {
    let mut connection = live.connection.clone();
    let waiting = Waiting(live);
    live.pulse.sent();
    let commands = (0..count).map(|n| command(ScriptRef::Sha, n));
    let mut replies = send(&mut connection, commands, asking).await;
    for _ in 0..SENDINGS {
        let Ok(known) = &mut replies else { break };
        let unknown = |(n, reply): (usize, &Reply)| lacks_script(reply).then_some(n);
        let unknown: Vec<_> = known.iter().enumerate().filter_map(unknown).collect();
        if unknown.is_empty() {
            break;
        }
        live.pulse.heard();
        live.pulse.sent();
        // With the first of them; the server has it for the others.
        let by = iter::once(ScriptRef::Source).chain(iter::repeat(ScriptRef::Sha));
        let commands = unknown.iter().zip(by).map(|(&n, by)| command(by, n));
        match send(&mut connection, commands, asking).await {
            Ok(again) => unknown
                .iter()
                .zip(again)
                .for_each(|(&n, reply)| known[n] = reply),
            Err(error) => replies = Err(error),
        }
    }
    live.pulse.heard();
    drop(waiting);
    replies.map_err(|e| error_map::command_error(&e))
}

fn lacks_script(reply: &Reply) -> bool {
    matches!(reply, Err(error) if error.code() == Some("NOSCRIPT"))
}

/// # Errors
/// Why there are no replies: the connection broke, or what came over it makes no sense.
async fn send(
    connection: &mut MultiplexedConnection,
    mut commands: impl Iterator<Item = Cmd>,
    asking: bool,
) -> RedisResult<Vec<Reply>> {
    let (Some(first), second) = (commands.next(), commands.next()) else {
        return Ok(Vec::new());
    };
    let (false, None) = (asking, &second) else {
        let commands = iter::once(first).chain(second).chain(commands);
        return send_several(connection, commands, asking).await;
    };
    match connection.send_packed_command(&first).await {
        Ok(value) => Ok(vec![said(value)]),
        Err(error) if error.code().is_some() => Ok(vec![Err(error)]),
        Err(error) => Err(error),
    }
}

async fn send_several(
    connection: &mut MultiplexedConnection,
    commands: impl Iterator<Item = Cmd>,
    asking: bool,
) -> RedisResult<Vec<Reply>> {
    let (at_least, _) = commands.size_hint();
    let mut pipeline = Pipeline::with_capacity(at_least << usize::from(asking));
    for command in commands {
        if asking {
            pipeline.cmd("ASKING");
        }
        pipeline.add_command(command);
    }
    let count = pipeline.len();
    let values = connection.send_packed_commands(&pipeline, 0, count).await?;
    let mut values = values.into_iter().map(said);
    if !asking {
        return Ok(values.collect());
    }
    let pairs = iter::from_fn(|| Some((values.next()?, values.next()?)));
    Ok(pairs.map(|(asking, reply)| asked(asking, reply)).collect())
}

/// The reply to a command after `ASKING`. Without that, the node sends the command back where it came from, which says nothing
/// of why; whatever else it replies is the command's own: by now it may serve the slot.
fn asked(asking: Reply, reply: Reply) -> Reply {
    match (asking, reply) {
        (Err(refused), Err(error)) if error.code() == Some("MOVED") => Err(refused),
        (_, reply) => reply,
    }
}

fn said(value: Value) -> Reply {
    match value {
        Value::ServerError(error) => Err(error.into()),
        value => Ok(value),
    }
}

/// Somebody who waits for an answer. Given up, with nothing heard for long, the connection is in doubt.
struct Waiting<'a>(&'a Live);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.pulse.given_up();
    }
}

//! The replay script on the wire: its command, and its reply.

use std::sync::LazyLock;

use redis::{Cmd, Script, Value};

use super::{ScriptRef, Tag, slack};
use crate::quota::Rules;
use crate::store::redis::error_map;
use crate::store::{ErrorKind, Replay, Scope, StoreError};

/// The source of the script.
const SOURCE: &str = include_str!("replay.lua");

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(SOURCE));

/// The command that enters `replays`.
pub(in crate::store::redis) fn command(
    by: ScriptRef,
    tag: Tag,
    scope: &Scope,
    replays: &[&Replay],
) -> Cmd {
    let mut cmd = by.script(&SCRIPT, SOURCE, (0, 0));
    cmd.arg(replays.len());
    for replay in replays {
        cmd.arg(scope.name.key(&replay.id));
    }
    let Rules { window, anomaly } = scope.rules;
    let anomaly_window = anomaly.map_or(0, |rule| rule.window().ms());
    cmd.arg(window.ms()).arg(anomaly_window);
    cmd.arg(slack(window)).arg(tag.to_string());
    for replay in replays {
        for age in [replay.reset, replay.reported] {
            match age {
                Some(age) => cmd.arg(age),
                None => cmd.arg(""),
            };
        }
        cmd.arg(replay.ages.len()).arg(&replay.ages);
    }
    cmd
}

/// The script's reply to the call of `tag`, of `count` replays.
///
/// # Errors
/// [`ErrorKind::Protocol`] for a reply that is none of the script's.
pub fn results(
    value: &Value,
    tag: Tag,
    count: usize,
) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    all_but(value, tag, count).ok_or_else(|| {
        let message = "the reply is not one of the limiter's script";
        StoreError::new(ErrorKind::Protocol, message)
    })
}

fn all_but(value: &Value, tag: Tag, count: usize) -> Option<Vec<Result<(), StoreError>>> {
    let Value::Array(values) = value else {
        return None;
    };
    let (signed, failed) = values.split_first()?;
    if *signed != Value::BulkString(tag.to_string().into_bytes()) {
        return None;
    }
    let mut results = vec![Ok(()); count];
    for pair in failed.chunks(2) {
        let [Value::Int(number), Value::BulkString(message)] = pair else {
            return None;
        };
        let place = usize::try_from(*number).ok()?.checked_sub(1)?;
        let error = error_map::from_script(&String::from_utf8_lossy(message));
        *results.get_mut(place)? = Err(error);
    }
    Some(results)
}

//! The commands that run replay.lua, and its replies.

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
    let mut cmd = by.begin(&SCRIPT, SOURCE, (0, 0));
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

/// The results in the reply to the call with `tag`, of `count` replays.
///
/// # Errors
/// [`ErrorKind::Protocol`] for a reply that is not the script's.
pub fn results(
    value: &Value,
    tag: Tag,
    count: usize,
) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    entered_except(value, tag, count).ok_or_else(|| {
        let message = "the reply is not one of the limiter's script";
        StoreError::new(ErrorKind::Protocol, message)
    })
}

/// Every replay is entered, except those in the reply.
fn entered_except(value: &Value, tag: Tag, count: usize) -> Option<Vec<Result<(), StoreError>>> {
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
        let index = usize::try_from(*number).ok()?.checked_sub(1)?;
        let error = error_map::from_script(&String::from_utf8_lossy(message));
        *results.get_mut(index)? = Err(error);
    }
    Some(results)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::{Id, Namespace, Window};

    /// The reply to the call of the tag `A`, of two replays; `None`: it is refused.
    fn read(values: Vec<Value>) -> Option<[bool; 2]> {
        let results = results(&Value::Array(values), Tag::of(1), 2).ok()?;
        let entered: Vec<_> = results.iter().map(Result::is_ok).collect();
        entered.try_into().ok()
    }

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn every_replay_is_entered_but_those_that_the_reply_names() {
        assert_eq!(read(vec![text("A")]), Some([true, true]));
        let failed = vec![text("A"), Value::Int(2), text("WRONGTYPE no log")];
        assert_eq!(read(failed), Some([true, false]));
    }

    #[test]
    fn a_reply_that_is_not_the_scripts_is_refused() {
        let message = || text("WRONGTYPE no log");
        let malformed = [
            vec![],
            // The tag of another call.
            vec![text("B")],
            vec![text("A"), Value::Int(0), message()],
            vec![text("A"), Value::Int(3), message()],
            vec![text("A"), Value::Int(-1), message()],
            vec![text("A"), Value::Int(1)],
        ];
        for values in malformed {
            let shown = format!("{values:?}");
            assert_eq!(read(values), None, "{shown}");
        }
        assert!(results(&text("A"), Tag::of(1), 0).is_err());
    }

    #[test]
    fn a_replay_is_written_as_ages() {
        let replay = |id: &str, reset, reported, ages: &[u64]| Replay {
            id: Id::new(id).unwrap(),
            reset,
            reported,
            ages: ages.into(),
        };
        let replays = [
            replay("a", None, Some(7), &[1, 5]),
            replay("b", Some(9), None, &[]),
        ];
        let scope = Scope {
            name: Namespace::new("n").unwrap(),
            rules: Rules {
                window: Window::new(1000).unwrap(),
                anomaly: None,
            },
        };
        let replays: Vec<_> = replays.iter().collect();
        let command = command(ScriptRef::Source, Tag::of(1), &scope, &replays);
        let packed = String::from_utf8(command.get_packed_command()).unwrap();
        // Every other line is the length of the next.
        let lines: Vec<_> = packed[packed.find(SOURCE).unwrap() + SOURCE.len()..]
            .split("\r\n")
            .skip(2)
            .step_by(2)
            .collect();
        let keys = ["2", "{n:a}", "{n:b}"];
        let general = ["1000", "0", "250", "A"];
        let ages = ["", "7", "2", "1", "5", "9", "", "0"];
        assert_eq!(lines, [&keys[..], &general, &ages].concat());
    }
}

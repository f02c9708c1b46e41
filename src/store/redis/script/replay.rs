//! The commands that run replay.lua, and its replies.

use std::sync::LazyLock;

use redis::Script;

use super::{ScriptRef, Tag, slack, unexpected};
use crate::quota::Rules;
use crate::store::redis::error_map;
use crate::store::redis::protocol::{Reader, Token, Writer};
use crate::store::{Replay, Scope, StoreError};

/// The source of the script.
const SOURCE: &str = include_str!("replay.lua");

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(SOURCE));

/// Appends the command that enters `replays` to `out`.
pub(crate) fn encode<'r>(
    out: &mut Vec<u8>,
    by: ScriptRef,
    tag: Tag,
    scope: &Scope,
    replays: impl ExactSizeIterator<Item = &'r Replay> + Clone,
) {
    let Rules { window, anomaly } = scope.rules;
    let anomaly_window = anomaly.map_or(0, |rule| rule.window().ms());
    let script = by.arguments(&SCRIPT, SOURCE);
    let general = [window.ms(), anomaly_window, slack(window)];
    let of_replays = replays.clone().map(|replay| 1 + 3 + replay.ages.len());
    let arguments = script.len() + 1 + general.len() + 1 + of_replays.sum::<usize>();
    let mut writer = Writer::command(out, arguments);
    script.iter().for_each(|argument| writer.text(argument));
    writer.number(replays.len() as u64);
    for replay in replays.clone() {
        writer.text(scope.name.key(&replay.id));
    }
    for number in general {
        writer.number(number);
    }
    writer.text([tag.0]);
    for replay in replays {
        for age in [replay.reset, replay.reported] {
            match age {
                Some(age) => writer.number(age),
                None => writer.text(""),
            }
        }
        writer.number(replay.ages.len() as u64);
        for &age in &replay.ages {
            writer.number(age);
        }
    }
}

/// The results in the complete `reply` to the call with `tag`, of `count` replays.
///
/// # Errors
/// [`ErrorKind::Protocol`](crate::store::ErrorKind::Protocol) for a reply that is not the script's.
pub fn decode(
    reply: &[u8],
    tag: Tag,
    count: usize,
) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    entered_except(&mut Reader::new(reply), tag, count).ok_or_else(unexpected)
}

/// Every replay is entered, except those in the reply.
fn entered_except(
    reader: &mut Reader,
    tag: Tag,
    count: usize,
) -> Option<Vec<Result<(), StoreError>>> {
    let Token::Array(length) = reader.next()? else {
        return None;
    };
    let mut failed = length.checked_sub(1)?;
    if reader.next_value()? != Token::Text(&[tag.0]) {
        return None;
    }
    let mut results = vec![Ok(()); count];
    while failed > 0 {
        failed = failed.checked_sub(2)?;
        let pair = (reader.next_value()?, reader.next_value()?);
        let (Token::Integer(number), Token::Text(message)) = pair else {
            return None;
        };
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        let error = error_map::from_script(&String::from_utf8_lossy(message));
        *results.get_mut(index)? = Err(error);
    }
    Some(results)
}

// For the callers that use the redis crate's commands and values. To be deleted with them.

pub(in crate::store::redis) fn command(
    by: ScriptRef,
    tag: Tag,
    scope: &Scope,
    replays: &[&Replay],
) -> redis::Cmd {
    let mut encoded = Vec::new();
    encode(&mut encoded, by, tag, scope, replays.iter().copied());
    super::as_command(&encoded)
}

pub(in crate::store::redis) fn results(
    value: &redis::Value,
    tag: Tag,
    count: usize,
) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    let mut reply = Vec::new();
    super::as_reply(value, &mut reply);
    decode(&reply, tag, count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::{Id, Namespace, Window};
    use crate::store::redis::script::encoded::{array, integer, text};

    /// The reply to the call of the tag `A`, of two replays; `None`: it is refused.
    fn read(reply: &[u8]) -> Option<[bool; 2]> {
        let results = decode(reply, Tag::of(1), 2).ok()?;
        let entered: Vec<_> = results.iter().map(Result::is_ok).collect();
        entered.try_into().ok()
    }

    #[test]
    fn every_replay_is_entered_but_those_that_the_reply_names() {
        assert_eq!(read(&array(&[text("A")])), Some([true, true]));
        let failed = [text("A"), integer(2), text("WRONGTYPE no log")];
        assert_eq!(read(&array(&failed)), Some([true, false]));
    }

    #[test]
    fn a_reply_that_is_not_the_scripts_is_refused() {
        let message = || text("WRONGTYPE no log");
        let malformed = [
            array(&[]),
            // The tag of another call.
            array(&[text("B")]),
            array(&[text("A"), integer(0), message()]),
            array(&[text("A"), integer(3), message()]),
            array(&[text("A"), integer(-1), message()]),
            array(&[text("A"), integer(1)]),
            array(&[text("A"), integer(1), integer(1)]),
            array(&[text("A"), array(&[integer(1)]), message()]),
            text("A"),
            // Its end is missing.
            b"*3\r\n$1\r\nA\r\n:1\r\n".to_vec(),
            vec![],
        ];
        for reply in malformed {
            let shown = reply.escape_ascii();
            assert_eq!(read(&reply), None, "{shown}");
        }
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
        let mut packed = Vec::new();
        encode(
            &mut packed,
            ScriptRef::Source,
            Tag::of(1),
            &scope,
            replays.iter(),
        );
        let packed = String::from_utf8(packed).unwrap();
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

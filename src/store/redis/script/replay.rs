//! The commands that run replay.lua, and its replies.

use std::sync::LazyLock;

use redis::Script;

use super::{ScriptRef, Tag, slack, unexpected};
use crate::planted::planted;
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
            writer.number(if planted!(ReplayAtArrival) { 0 } else { age });
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

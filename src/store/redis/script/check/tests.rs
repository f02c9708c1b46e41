//! What comes back from the script: whoever is not named in it was admitted, so a reply that is not exactly the script's
//! must admit nobody.

use std::iter;

use redis::Value;

use super::outcomes;
use crate::quota::{Limit, MAX_WINDOW_MS, Outcome, Verdict, Window};
use crate::store::redis::script::Tag;
use crate::store::{ErrorKind, StoreError};

const NOW: u64 = 1_753_000_000_000;

const LIMIT: u32 = 10;

fn now() -> Value {
    signed(NOW, 'A')
}

fn signed(now: u64, tag: char) -> Value {
    Value::BulkString(format!("{now}{tag}").into_bytes())
}

fn list(plain: i64, denied: &[i64]) -> Value {
    let mut values = vec![now(), Value::Int(plain)];
    for &place in denied {
        values.extend([place, 0, 0, 5, 7, 0].map(Value::Int));
    }
    Value::Array(values)
}

/// The reply to `count` requests under the limit.
fn read(reply: &Value, count: usize) -> Result<Vec<Result<Outcome, StoreError>>, StoreError> {
    let limits = iter::repeat_n(Limit::new(LIMIT).unwrap(), count);
    outcomes(reply, Tag::of(1), Window::new(1000).unwrap(), limits)
}

/// For each request of the reply to `count`, whether it was admitted; `None`: an error.
fn admitted(reply: Value, count: usize) -> Vec<Option<bool>> {
    let Ok(outcomes) = read(&reply, count) else {
        return vec![None; count];
    };
    assert_eq!(outcomes.len(), count);
    let verdict =
        |outcome: Result<Outcome, _>| outcome.ok().map(|o| o.decision.verdict == Verdict::Allowed);
    outcomes.into_iter().map(verdict).collect()
}

#[test]
fn the_time_alone_admits_everybody() {
    assert_eq!(admitted(now(), 3), [Some(true); 3]);
    let first = read(&now(), 1).unwrap();
    assert_eq!(first[0].as_ref().unwrap().decision.reset, NOW + 1000);
}

#[test]
fn whoever_is_named_has_an_answer_of_their_own() {
    assert_eq!(
        admitted(list(2, &[2]), 3),
        [Some(true), Some(false), Some(true)]
    );
    assert_eq!(admitted(list(0, &[2, 1]), 2), [Some(false); 2]);
}

#[test]
fn an_answer_that_is_cut_short_is_an_error_of_that_request() {
    let cut = Value::Array(vec![now(), Value::Int(1), Value::Int(2), Value::Int(1)]);
    assert_eq!(admitted(cut, 2), [Some(true), None]);
}

/// Each server says it in its own words: Redis 7.0, then Redis from 7.2 on and Valkey.
#[test]
fn a_right_that_the_script_lacks_is_told_as_such() {
    for words in [
        "ERR The user executing the script can't run this command or subcommand",
        "ERR The user executing the script can't access at least one of the keys mentioned in the command arguments",
        "ERR ACL failure in script: User limiter has no permissions to run the 'lpush' command",
        "ERR ACL failure in script: No permissions to access a key",
    ] {
        let said = Value::BulkString(words.into());
        let zero = Value::Int(0);
        let failed = [
            Value::Int(1),
            Value::Int(-1),
            said,
            zero.clone(),
            zero.clone(),
            zero.clone(),
        ];
        let reply = Value::Array([vec![now(), zero], failed.into()].concat());
        let results = read(&reply, 1).unwrap();
        let error = results[0].as_ref().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoPerm, "{words}");
    }
}

#[test]
fn a_reply_that_does_not_add_up_admits_nobody() {
    let strange = [
        // One request twice, and another not at all.
        list(0, &[1, 1]),
        list(1, &[2, 2]),
        // More and fewer than were asked; places that are none.
        list(2, &[1]),
        list(0, &[1]),
        list(1, &[3]),
        list(1, &[0]),
        list(1, &[-1]),
        // No time, and one that is none.
        Value::Array(vec![]),
        Value::Nil,
        Value::Int(NOW as i64),
        Value::BulkString(b"now".to_vec()),
        signed(u64::MAX, 'A'),
        // Another batch's, and nobody's.
        signed(NOW, 'B'),
        Value::BulkString(NOW.to_string().into_bytes()),
    ];
    for reply in strange {
        let shown = format!("{reply:?}");
        assert_eq!(admitted(reply, 2), [None; 2], "{shown}");
    }
}

/// Of a request that is alone: the verdict, what remains, the reset, and the time until a slot frees.
fn alone(verdict: i64, remaining: i64, reset: i64, retry_after: i64) -> Option<bool> {
    let mut values = vec![now()];
    values.extend([0, 1, verdict, remaining, reset, retry_after, 0].map(Value::Int));
    admitted(Value::Array(values), 1)[0]
}

#[test]
fn no_more_than_the_limit_remains_and_no_pause_is_longer_than_a_window() {
    let limit = i64::from(LIMIT);
    assert_eq!(alone(1, limit, 5, 0), Some(true));
    assert_eq!(alone(1, limit + 1, 5, 0), None);
    assert_eq!(alone(1, i64::MAX, 5, 0), None);
    assert_eq!(alone(1, -1, 5, 0), None);
    assert_eq!(alone(0, 0, 5, 7), Some(false));
    // After a denial, nothing remains: in its place is how long the id is not counted.
    let longest = MAX_WINDOW_MS as i64;
    assert_eq!(alone(0, longest, 5, 7), Some(false));
    assert_eq!(alone(0, longest + 1, 5, 7), None);
    assert_eq!(alone(0, -1, 5, 7), None);
}

#[test]
fn every_moment_is_one_that_javascript_has() {
    let last = 8_640_000_000_000_000;
    assert_eq!(alone(1, 0, last, 0), Some(true));
    assert_eq!(alone(1, 0, last + 1, 0), None);
    assert_eq!(alone(0, 0, 5, last), Some(false));
    assert_eq!(alone(0, 0, 5, last + 1), None);
    let last = last as u64 - 1000;
    assert_eq!(admitted(signed(last, 'A'), 1), [Some(true)]);
    assert_eq!(admitted(signed(last + 1, 'A'), 1), [None]);
}

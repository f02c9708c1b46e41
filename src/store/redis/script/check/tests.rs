//! A reply names the requests that are no plain admissions, and admits all others. A reply that is not exactly the script's
//! must therefore admit none.

use std::iter;

use redis::Value;

use super::{arguments, outcome_of_one, outcomes};
use crate::quota::{AnomalyRule, Limit, MAX_WINDOW_MS, Outcome, Rules, Verdict, Window};
use crate::store::redis::script::Tag;
use crate::store::{ErrorKind, Op, StoreError};

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
    for &number in denied {
        values.extend([number, 0, 0, 5, 7, 0].map(Value::Int));
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
fn a_time_alone_admits_every_request() {
    assert_eq!(admitted(now(), 3), [Some(true); 3]);
    let first = read(&now(), 1).unwrap();
    assert_eq!(first[0].as_ref().unwrap().decision.reset, NOW + 1000);
}

#[test]
fn a_request_that_is_named_has_its_own_outcome() {
    assert_eq!(
        admitted(list(2, &[2]), 3),
        [Some(true), Some(false), Some(true)]
    );
    assert_eq!(admitted(list(0, &[2, 1]), 2), [Some(false); 2]);
}

#[test]
fn an_outcome_with_missing_fields_is_an_error_of_that_request() {
    let cut = Value::Array(vec![now(), Value::Int(1), Value::Int(2), Value::Int(1)]);
    assert_eq!(admitted(cut, 2), [Some(true), None]);
}

/// The wording of Redis 7.0, then that of Redis from 7.2 on and of Valkey.
#[test]
fn a_permission_that_the_script_lacks_is_noperm() {
    for words in [
        "ERR The user executing the script can't run this command or subcommand",
        "ERR The user executing the script can't access at least one of the keys mentioned in the command arguments",
        "ERR ACL failure in script: User limiter has no permissions to run the 'lpush' command",
        "ERR ACL failure in script: No permissions to access a key",
    ] {
        let message = Value::BulkString(words.into());
        let zero = Value::Int(0);
        let failed = [
            Value::Int(1),
            Value::Int(-1),
            message,
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
fn a_reply_whose_numbers_do_not_add_up_admits_no_request() {
    let malformed = [
        // One request twice, and another not at all.
        list(0, &[1, 1]),
        list(1, &[2, 2]),
        // More and fewer than there are requests; numbers that none of them has.
        list(2, &[1]),
        list(0, &[1]),
        list(1, &[3]),
        list(1, &[0]),
        list(1, &[-1]),
        // No time, and texts that are no time.
        Value::Array(vec![]),
        Value::Nil,
        Value::Int(NOW as i64),
        Value::BulkString(b"now".to_vec()),
        signed(u64::MAX, 'A'),
        // The tag of another batch, and none.
        signed(NOW, 'B'),
        Value::BulkString(NOW.to_string().into_bytes()),
    ];
    for reply in malformed {
        let shown = format!("{reply:?}");
        assert_eq!(admitted(reply, 2), [None; 2], "{shown}");
    }
}

/// Whether a single request was admitted: its verdict, what remains, the reset, and the time until a slot frees.
fn single(verdict: i64, remaining: i64, reset: i64, retry_after: i64) -> Option<bool> {
    let mut values = vec![now()];
    values.extend([0, 1, verdict, remaining, reset, retry_after, 0].map(Value::Int));
    admitted(Value::Array(values), 1)[0]
}

#[test]
fn no_more_than_the_limit_remains_and_no_pause_is_longer_than_a_window() {
    let limit = i64::from(LIMIT);
    assert_eq!(single(1, limit, 5, 0), Some(true));
    assert_eq!(single(1, limit + 1, 5, 0), None);
    assert_eq!(single(1, i64::MAX, 5, 0), None);
    assert_eq!(single(1, -1, 5, 0), None);
    assert_eq!(single(0, 0, 5, 7), Some(false));
    // A denial has for how long its id is not counted in place of what remains.
    let longest = MAX_WINDOW_MS as i64;
    assert_eq!(single(0, longest, 5, 7), Some(false));
    assert_eq!(single(0, longest + 1, 5, 7), None);
    assert_eq!(single(0, -1, 5, 7), None);
}

#[test]
fn a_moment_that_no_javascript_date_holds_is_refused() {
    let last = 8_640_000_000_000_000;
    assert_eq!(single(1, 0, last, 0), Some(true));
    assert_eq!(single(1, 0, last + 1, 0), None);
    assert_eq!(single(0, 0, 5, last), Some(false));
    assert_eq!(single(0, 0, 5, last + 1), None);
    let last = last as u64 - 1000;
    assert_eq!(admitted(signed(last, 'A'), 1), [Some(true)]);
    assert_eq!(admitted(signed(last + 1, 'A'), 1), [None]);
}

#[test]
fn one_request_is_read_as_a_batch_of_one() {
    let limit = Limit::new(LIMIT).unwrap();
    let one = |reply: &Value| {
        let outcome = outcome_of_one(reply, Tag::of(1), Window::new(1000).unwrap(), limit);
        outcome.map(Result::unwrap).map_err(|error| error.kind())
    };
    let batch = |reply: &Value| {
        let outcomes = read(reply, 1).map_err(|error| error.kind());
        outcomes.map(|mut outcomes| outcomes.remove(0).unwrap())
    };
    for reply in [now(), list(0, &[1]), signed(NOW, 'B'), list(1, &[1])] {
        assert_eq!(one(&reply), batch(&reply), "{reply:?}");
    }
}

/// The arguments of a call, as texts.
fn written(rules: Rules, requests: &[(Op, u32)]) -> Vec<String> {
    let kinds = requests.iter().map(|&(op, n)| (op, Limit::new(n).unwrap()));
    let mut arguments_of_call: Vec<Vec<u8>> = Vec::new();
    arguments(rules, Tag::of(1), kinds, &mut arguments_of_call);
    let texts = arguments_of_call.into_iter().map(String::from_utf8);
    texts.map(Result::unwrap).collect()
}

#[test]
fn each_kind_of_request_is_written_once() {
    let window = Window::new(3_600_000).unwrap();
    let mut rules = Rules {
        window,
        anomaly: None,
    };
    let requests = [
        (Op::Check, 10),
        (Op::Limit, 10),
        (Op::Check, 20),
        (Op::Check, 10),
        (Op::Limit, 10),
    ];
    let general = ["3600000", "0", "60000", "A\0\u{1}\u{2}\0\u{1}"];
    let kinds = [
        ["check", "10", "0", "0"],
        ["limit", "10", "0", "0"],
        ["check", "20", "0", "0"],
    ];
    assert_eq!(
        written(rules, &requests),
        [&general[..], &kinds.concat()].concat()
    );
    // With the threshold of each limit, and the denials to count.
    rules.anomaly = Some(AnomalyRule::new(2.0, Window::new(5000).unwrap(), window).unwrap());
    let denied = ["3600000", "5000", "60000", "A\0", "denied", "10", "20", "7"];
    assert_eq!(written(rules, &[(Op::CountDenials(7), 10)]), denied);
}

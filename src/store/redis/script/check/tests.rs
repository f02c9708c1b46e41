//! A reply names the requests that are no plain admissions, and admits all others. A reply that is not exactly the script's
//! must therefore admit none.

use std::iter;

use super::{decode, encode, encode_reset};
use crate::quota::{
    AnomalyRule, Id, Limit, MAX_WINDOW_MS, Namespace, Outcome, Rules, Verdict, Window,
};
use crate::store::redis::protocol::{Reader, Token};
use crate::store::redis::script::encoded::{array, integer, text};
use crate::store::redis::script::{ScriptRef, Tag};
use crate::store::{ErrorKind, Op, Request, Scope, StoreError};

const NOW: u64 = 1_753_000_000_000;

const LIMIT: u32 = 10;

fn now() -> Vec<u8> {
    signed(NOW, 'A')
}

fn signed(now: u64, tag: char) -> Vec<u8> {
    text(format!("{now}{tag}"))
}

/// A list of the time and these numbers.
fn list(numbers: impl IntoIterator<Item = i64>) -> Vec<u8> {
    let values = iter::once(now()).chain(numbers.into_iter().map(integer));
    array(&values.collect::<Vec<_>>())
}

fn denied(plain: i64, denied: &[i64]) -> Vec<u8> {
    let others = denied.iter().flat_map(|&number| [number, 0, 0, 5, 7, 0]);
    list(iter::once(plain).chain(others))
}

/// The reply to `count` requests under the limit.
fn read(reply: &[u8], count: usize) -> Result<Vec<Result<Outcome, StoreError>>, StoreError> {
    let limits = iter::repeat_n(Limit::new(LIMIT).unwrap(), count);
    decode(reply, Tag::of(1), Window::new(1000).unwrap(), limits)
}

/// For each request of the reply to `count`, whether it was admitted; `None`: an error.
fn admitted(reply: &[u8], count: usize) -> Vec<Option<bool>> {
    let Ok(outcomes) = read(reply, count) else {
        return vec![None; count];
    };
    assert_eq!(outcomes.len(), count);
    let verdict =
        |outcome: Result<Outcome, _>| outcome.ok().map(|o| o.decision.verdict == Verdict::Allowed);
    outcomes.into_iter().map(verdict).collect()
}

#[test]
fn a_time_alone_admits_every_request() {
    assert_eq!(admitted(&now(), 3), [Some(true); 3]);
    let first = read(&now(), 1).unwrap();
    assert_eq!(first[0].as_ref().unwrap().decision.reset, NOW + 1000);
}

#[test]
fn a_request_that_is_named_has_its_own_outcome() {
    assert_eq!(
        admitted(&denied(2, &[2]), 3),
        [Some(true), Some(false), Some(true)]
    );
    assert_eq!(admitted(&denied(0, &[2, 1]), 2), [Some(false); 2]);
}

#[test]
fn an_outcome_with_missing_fields_is_an_error_of_that_request() {
    assert_eq!(admitted(&list([1, 2, 1]), 2), [Some(true), None]);
    assert_eq!(admitted(&list([1, 2]), 2), [Some(true), None]);
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
        let zero = || integer(0);
        let failed = [integer(1), integer(-1), text(words), zero(), zero(), zero()];
        let reply = array(&[&[now(), zero()], &failed[..]].concat());
        let results = read(&reply, 1).unwrap();
        let error = results[0].as_ref().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoPerm, "{words}");
    }
}

#[test]
fn a_reply_whose_numbers_do_not_add_up_admits_no_request() {
    let malformed = [
        // One request twice, and another not at all.
        denied(0, &[1, 1]),
        denied(1, &[2, 2]),
        // More and fewer than there are requests; numbers that none of them has.
        denied(2, &[1]),
        denied(0, &[1]),
        denied(1, &[3]),
        denied(1, &[0]),
        denied(1, &[-1]),
        // No time, and texts that are no time.
        array(&[]),
        array(&[now()]),
        b"$-1\r\n".to_vec(),
        b"*-1\r\n".to_vec(),
        integer(NOW as i64),
        text("now"),
        text(""),
        signed(u64::MAX, 'A'),
        format!("+{NOW}A\r\n").into_bytes(),
        format!("-{NOW}A\r\n").into_bytes(),
        array(&[integer(NOW as i64), integer(2)]),
        // The tag of another batch, and none.
        signed(NOW, 'B'),
        text(NOW.to_string()),
        array(&[signed(NOW, 'B'), integer(2)]),
        // A list where a number belongs.
        array(&[now(), array(&[integer(2)])]),
        array(&[now(), integer(1), array(&[integer(1)])]),
        // An empty reply, and one in another protocol.
        vec![],
        b"HTTP/1.1 400 Bad Request\r\n".to_vec(),
    ];
    for reply in malformed {
        let shown = reply.escape_ascii();
        assert_eq!(admitted(&reply, 2), [None; 2], "{shown}");
    }
}

#[test]
fn a_reply_that_ends_early_admits_no_request() {
    for reply in [now(), denied(1, &[2])] {
        for end in 0..reply.len() {
            assert_eq!(admitted(&reply[..end], 2), [None; 2], "{end}");
        }
    }
}

/// A field is one value, however many are in it.
#[test]
fn a_list_in_place_of_a_field_is_an_error_of_that_request() {
    let nested = array(&[integer(5), array(&[integer(6)]), text("x")]);
    let fields = [2, 0, 0, 5].map(integer);
    let rest = [nested, integer(0)];
    let next = [1, 0, 0, 5, 7, 0].map(integer);
    let reply = [&[now(), integer(0)], &fields[..], &rest, &next].concat();
    assert_eq!(admitted(&array(&reply), 2), [Some(false), None]);
}

/// Whether a single request was admitted: its verdict, what remains, the reset, and the time until a slot frees.
fn single(verdict: i64, remaining: i64, reset: i64, retry_after: i64) -> Option<bool> {
    let reply = list([0, 1, verdict, remaining, reset, retry_after, 0]);
    admitted(&reply, 1)[0]
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
    assert_eq!(admitted(&signed(last, 'A'), 1), [Some(true)]);
    assert_eq!(admitted(&signed(last + 1, 'A'), 1), [None]);
}

/// The arguments of an encoded command.
fn arguments(encoded: &[u8]) -> Vec<String> {
    let mut reader = Reader::new(encoded);
    let Some(Token::Array(count)) = reader.next() else {
        panic!("a command is an array");
    };
    let arguments: Vec<_> = iter::from_fn(|| reader.next())
        .map(|argument| match argument {
            Token::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
            other => panic!("an argument is a bulk string: {other:?}"),
        })
        .collect();
    assert_eq!(arguments.len(), count);
    arguments
}

fn rules() -> Rules {
    Rules {
        window: Window::new(1000).unwrap(),
        anomaly: None,
    }
}

fn scope(rules: Rules) -> Scope {
    let name = Namespace::new("n").unwrap();
    Scope { name, rules }
}

fn requests(requests: &[(Op, u32)]) -> Vec<Request> {
    let request = |(n, &(op, limit))| Request {
        op,
        id: Id::new(format!("id {n}")).unwrap(),
        limit: Limit::new(limit).unwrap(),
    };
    requests.iter().enumerate().map(request).collect()
}

/// The ARGV of a call.
fn written(rules: Rules, kinds: &[(Op, u32)]) -> Vec<String> {
    let mut out = Vec::new();
    let requests = requests(kinds);
    let (by, tag) = (ScriptRef::Sha, Tag::of(1));
    encode(&mut out, by, tag, &scope(rules), requests.iter());
    arguments(&out).split_off(3 + kinds.len())
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

#[test]
fn a_call_names_the_script_and_its_keys() {
    let requests = requests(&[(Op::Check, 1), (Op::Check, 1)]);
    let encoded = |by| {
        let mut out = Vec::new();
        encode(&mut out, by, Tag::of(1), &scope(rules()), requests.iter());
        arguments(&out)
    };
    let hash = redis::Script::new(super::SOURCE).get_hash().to_owned();
    let keys = ["2", "{n:id%200}", "{n:id%201}"];
    let call = encoded(ScriptRef::Sha);
    assert_eq!(call[..2], ["EVALSHA".to_owned(), hash]);
    assert_eq!(call[2..5], keys);
    let with_source = encoded(ScriptRef::Source);
    assert_eq!(with_source[..2], ["EVAL", super::SOURCE]);
    assert_eq!(with_source[2..], call[2..]);
}

#[test]
fn a_call_is_appended() {
    let mut out = b"before".to_vec();
    let (by, tag) = (ScriptRef::Sha, Tag::of(1));
    encode_reset(&mut out, by, tag, rules(), "{n:#7}");
    let arguments = arguments(out.strip_prefix(b"before").unwrap());
    assert_eq!(arguments[2..4], ["1", "{n:#7}"]);
    let general = ["1000", "0", "250", "A\0"];
    let kind = ["reset", "1", "0", "0"];
    assert_eq!(arguments[4..], [general, kind].concat());
}

#[test]
fn a_batch_of_128_kinds_has_a_byte_for_each() {
    let kinds: Vec<_> = (1..=128).map(|limit| (Op::Check, limit)).collect();
    let arguments = written(rules(), &kinds);
    let numbers: Vec<u8> = iter::once(b'A').chain(0..128).collect();
    assert_eq!(arguments[3].as_bytes(), numbers);
    assert_eq!(arguments.len(), 4 + 4 * 128);
}

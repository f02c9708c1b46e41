//! Replies of a server: to the script that decides, to the script that replays, and to `CLUSTER SLOTS`.
//!
//! The first byte of an input picks its form (by its remainder, so that a digit does):
//! 0  a byte for the number of requests, the tag, and what came over the wire, one reply after another
//! 1  a reply of arbitrary values, like those of the scripts
//! 2  a reply with valid outcomes, and the same with one fault
//! 3  tables of slots, each replacing the one before

#![no_main]

#[path = "replies/encoding.rs"]
mod encoding;
#[path = "replies/slots.rs"]
mod slots;

use std::num::NonZeroU32;
use std::time::Instant;

use arbitrary::{Result, Unstructured};
use huntaze_rate_limit::metrics::Metrics;
use huntaze_rate_limit::quota::{
    AnomalyStatus, Decision, Id, Limit, MAX_LIMIT, MAX_WINDOW_MS, Outcome, Verdict, Window,
};
use huntaze_rate_limit::store::redis::cluster::topology::Topology;
use huntaze_rate_limit::store::redis::error_map;
use huntaze_rate_limit::store::redis::protocol::{Reader, ReplyEnd, Token};
use huntaze_rate_limit::store::redis::script::{Tag, check, replay};
use huntaze_rate_limit::store::{Answer, ErrorKind, Op, Request, Source, StoreError};
use libfuzzer_sys::fuzz_target;
use redis::Value;

use self::encoding::encoded;
use self::slots::{check_slots, tables_of_slots};

const NOW: u64 = 1_753_000_000_000;
const WINDOW_MS: u64 = 3_600_000;

/// As many as a batch has at most.
const MAX_REQUESTS: usize = 64;

/// The last moment that a `Date` of JavaScript holds.
const LATEST: u64 = 8_640_000_000_000_000;

/// Most limits are small, and the largest is a corner.
const LIMITS: [u32; 5] = [1, 2, 100, 500, MAX_LIMIT];

fuzz_target!(|input: &[u8]| {
    let Some((form, rest)) = input.split_first() else {
        return;
    };
    let mut u = Unstructured::new(rest);
    // An input may end early.
    let _: Result<()> = match form % 4 {
        0 => over_the_wire(rest),
        1 => of_arbitrary_values(&mut u),
        2 => of_valid_outcomes(&mut u),
        _ => tables_of_slots(&mut u),
    };
});

fn over_the_wire(input: &[u8]) -> Result<()> {
    let [count, tag, bytes @ ..] = input else {
        return Ok(());
    };
    let count = 1 + usize::from(*count) % MAX_REQUESTS;
    // The tag of batch n is the n-th character from `@` on.
    let number = usize::from(tag.wrapping_sub(b'@'));
    let mut rest = bytes;
    let mut topology = Topology::unknown();
    while let Some(length) = check_end(rest) {
        let (reply, after) = rest.split_at(length);
        let _ = check_decisions(reply, number, &requests(count));
        check_replay(reply, number, count);
        let value = redis::parse_redis_value(reply).expect("it is a reply");
        topology = check_slots(&value, topology);
        rest = after;
    }
    // Only complete replies are decoded. Other bytes would do no harm.
    let _ = check_decisions(rest, number, &requests(count));
    check_replay(rest, number, count);
    Ok(())
}

/// The length of the reply at the beginning of `bytes`, which is the same in whatever pieces they arrive.
fn check_end(bytes: &[u8]) -> Option<usize> {
    let whole = ReplyEnd::default().find(bytes);
    let mut end = ReplyEnd::default();
    let bytewise = (0..=bytes.len())
        .map(|arrived| end.find(&bytes[..arrived]))
        .find(|found| *found != Ok(None));
    assert_eq!(bytewise.unwrap_or(Ok(None)), whole);
    let length = whole.ok().flatten()?;
    let mut reader = Reader::new(&bytes[..length]);
    let mut missing = 1;
    while let Some(token) = reader.next() {
        missing -= 1;
        if let Token::Array(count) = token {
            missing += count;
        }
    }
    assert_eq!(missing, 0, "the reader and the end disagree");
    Some(length)
}

fn window() -> Window {
    Window::new(WINDOW_MS).expect("it is a window")
}

/// Requests of all kinds.
fn requests(count: usize) -> Vec<Request> {
    let request = |n: usize| Request {
        op: [
            Op::Limit,
            Op::Check,
            Op::Status,
            Op::CountDenials(3),
            Op::Reset,
        ][n % 5],
        id: Id::new(n.to_string()).expect("it is an id"),
        limit: Limit::new(LIMITS[n % LIMITS.len()]).expect("it is a limit"),
    };
    (0..count).map(request).collect()
}

type Decoded = std::result::Result<Vec<std::result::Result<Outcome, StoreError>>, StoreError>;

fn decode(reply: &[u8], number: usize, requests: &[Request]) -> Decoded {
    let limits = requests.iter().map(|request| request.limit);
    check::decode(reply, Tag::of(number), window(), limits)
}

fn check_decisions(reply: &[u8], number: usize, requests: &[Request]) -> Decoded {
    let decoded = decode(reply, number, requests);
    match &decoded {
        Ok(outcomes) => {
            assert_eq!(outcomes.len(), requests.len());
            let metrics = Metrics::new(window());
            for (outcome, request) in outcomes.iter().zip(requests) {
                match outcome {
                    Ok(outcome) => check_outcome(outcome, request, &metrics),
                    Err(error) => check_error(error),
                }
            }
            // For the batches before and after it, it is the reply of another.
            for other in [number + 1, number + 62] {
                assert!(decode(reply, other, requests).is_err());
            }
            // A batch of another size gets no answers from it.
            assert!(decode(reply, number, &requests[1..]).is_err() || reply.starts_with(b"$"));
        }
        Err(error) => check_error(error),
    }
    decoded
}

fn check_outcome(outcome: &Outcome, request: &Request, metrics: &Metrics) {
    let Outcome {
        decision,
        anomaly_status,
    } = outcome;
    assert!(decision.remaining <= request.limit.get(), "{outcome:?}");
    match decision.verdict {
        Verdict::Allowed => assert_eq!(decision.retry_after_ms(), 0),
        Verdict::Denied { .. } => {
            assert_eq!(decision.remaining, 0, "{outcome:?}");
            assert!(
                (1..=LATEST).contains(&decision.retry_after_ms()),
                "{outcome:?}"
            );
        }
    }
    assert!(decision.reset <= LATEST, "{outcome:?}");
    match anomaly_status {
        AnomalyStatus::None | AnomalyStatus::Anomaly(_) => {}
        AnomalyStatus::Below(_) => assert!(!decision.is_allowed(), "{outcome:?}"),
        AnomalyStatus::Paused(ms) => {
            assert!(!decision.is_allowed(), "{outcome:?}");
            assert!(ms.get() <= MAX_WINDOW_MS, "{outcome:?}");
        }
    }
    // Values computed from it must not overflow.
    let answer = Answer {
        outcome: *outcome,
        source: Source::Redis,
    };
    metrics.on_answer(request, 0, &answer, Instant::now());
}

fn check_error(error: &StoreError) {
    let text = format!("{error} {:?}", error.causes());
    assert!(
        text.is_ascii() && !text.contains(char::is_control),
        "{text}"
    );
}

fn check_replay(reply: &[u8], number: usize, count: usize) {
    let Ok(results) = replay::decode(reply, Tag::of(number), count) else {
        return;
    };
    assert_eq!(results.len(), count);
    results
        .iter()
        .filter_map(|result| result.as_ref().err())
        .for_each(check_error);
    for other in [number + 1, number + 62] {
        assert!(replay::decode(reply, Tag::of(other), count).is_err());
    }
}

fn signed(now: u64, number: usize) -> Value {
    Value::BulkString(format!("{now}{}", Tag::of(number)).into_bytes())
}

fn of_arbitrary_values(u: &mut Unstructured) -> Result<()> {
    let number = u.int_in_range(0..=62usize)?;
    let count = u.int_in_range(1..=MAX_REQUESTS)?;
    let mut values = vec![signed(NOW, number)];
    if u.ratio(1u8, 8u8)? {
        values[0] = any_value(u, number, 2)?;
    }
    while values.len() < 3 + 6 * MAX_REQUESTS && u.ratio(15u8, 16u8)? {
        // Mostly numbers, as in the replies, and mostly as small as an index or a flag.
        values.push(match u.int_in_range(0..=15u8)? {
            0 => any_value(u, number, 2)?,
            1 => Value::Int(u.arbitrary()?),
            2..=4 => Value::Int((NOW + u64::from(u.arbitrary::<u32>()?)) as i64),
            _ => Value::Int(u.int_in_range(-3..=66)?),
        });
    }
    let value = Value::Array(values);
    let reply = encoded(&value);
    assert_eq!(check_end(&reply), Some(reply.len()));
    let _ = check_decisions(&reply, number, &requests(count));
    check_replay(&reply, number, count);
    check_slots(&value, Topology::unknown());
    Ok(())
}

fn any_value(u: &mut Unstructured, number: usize, depth: u8) -> Result<Value> {
    Ok(
        match u.int_in_range(0..=if depth == 0 { 8 } else { 11u8 })? {
            0 => Value::Nil,
            1 => Value::Okay,
            2 => Value::Int(u.arbitrary()?),
            3 => Value::BulkString(u.arbitrary::<&[u8]>()?.to_vec()),
            4 => Value::SimpleString(u.arbitrary::<&str>()?.to_owned()),
            5 => Value::Double(u.arbitrary()?),
            6 => Value::Boolean(u.arbitrary()?),
            7 => signed(u.arbitrary()?, number),
            8 => Value::BulkString(b"WRONGTYPE Operation against a key".to_vec()),
            9 => Value::Set(vec![any_value(u, number, depth - 1)?]),
            10 => Value::Map(vec![(Value::Nil, any_value(u, number, depth - 1)?)]),
            _ => {
                let count = u.int_in_range(0..=4)?;
                let mut one = || any_value(u, number, depth - 1);
                Value::Array((0..count).map(|_| one()).collect::<Result<_>>()?)
            }
        },
    )
}

/// The script's answer to one request.
enum ScriptAnswer {
    Admitted,
    Decided(Outcome),
    Failed(&'static str, ErrorKind),
}

const FAILURES: [(&str, ErrorKind); 4] = [
    (
        "OOM command not allowed when used memory > 'maxmemory'.",
        ErrorKind::Oom,
    ),
    (
        "WRONGTYPE the key holds something else than a log",
        ErrorKind::WrongType,
    ),
    (
        "-READONLY You can't write against a read only replica.",
        ErrorKind::ReadOnly,
    ),
    ("no code at all", ErrorKind::WrongType),
];

fn answer(u: &mut Unstructured, limit: Limit) -> Result<ScriptAnswer> {
    Ok(match u.int_in_range(0..=3u8)? {
        0 => ScriptAnswer::Admitted,
        1 => {
            let &(text, kind) = u.choose(&FAILURES)?;
            ScriptAnswer::Failed(text, kind)
        }
        which => {
            let allowed = which == 2;
            let mut outcome = Outcome::of(Decision {
                verdict: Verdict::Allowed,
                remaining: if allowed {
                    u.int_in_range(0..=limit.get())?
                } else {
                    0
                },
                reset: u.int_in_range(0..=LATEST)?,
                reset_after: 0,
            });
            if !allowed {
                let retry_after = u.int_in_range(1..=LATEST)?.try_into().expect("not 0");
                outcome.decision.verdict = Verdict::Denied { retry_after };
            }
            let some = |n: u32| NonZeroU32::new(n).expect("not 0");
            outcome.anomaly_status = match u.int_in_range(0..=3u8)? {
                1 => AnomalyStatus::Anomaly(some(u.int_in_range(1..=u32::MAX)?)),
                2 if !allowed => AnomalyStatus::Below(some(u.int_in_range(1..=u32::MAX)?)),
                3 if !allowed => {
                    let ms = u.int_in_range(1..=MAX_WINDOW_MS)?;
                    AnomalyStatus::Paused(ms.try_into().expect("not 0"))
                }
                _ => AnomalyStatus::None,
            };
            ScriptAnswer::Decided(outcome)
        }
    })
}

/// The six values of an answer other than a plain admission.
fn fields(index: usize, answer: &ScriptAnswer) -> Option<[Value; 6]> {
    let int = |n: u64| Value::Int(n as i64);
    let index = int(index as u64 + 1);
    match answer {
        ScriptAnswer::Admitted => None,
        ScriptAnswer::Failed(text, _) => {
            let text = Value::BulkString(text.as_bytes().to_vec());
            Some([index, Value::Int(-1), text, int(0), int(0), int(0)])
        }
        ScriptAnswer::Decided(Outcome {
            decision,
            anomaly_status,
        }) => {
            let (second, count) = match *anomaly_status {
                AnomalyStatus::None => (decision.remaining.into(), 0),
                AnomalyStatus::Anomaly(requests) => {
                    (decision.remaining.into(), requests.get().into())
                }
                AnomalyStatus::Below(more) => (0, -i64::from(more.get())),
                AnomalyStatus::Paused(ms) => (ms.get(), 0),
            };
            Some([
                index,
                int(u64::from(decision.is_allowed())),
                int(second),
                int(decision.reset),
                int(decision.retry_after_ms()),
                Value::Int(count),
            ])
        }
    }
}

fn of_valid_outcomes(u: &mut Unstructured) -> Result<()> {
    let number = u.int_in_range(0..=62usize)?;
    let count = u.int_in_range(1..=MAX_REQUESTS)?;
    let now = u.int_in_range(0..=LATEST - WINDOW_MS)?;
    let requests = requests(count);
    let answers = requests
        .iter()
        .map(|request| answer(u, request.limit))
        .collect::<Result<Vec<_>>>()?;
    let mut others: Vec<_> = answers
        .iter()
        .enumerate()
        .filter_map(|(n, answer)| fields(n, answer))
        .collect();
    let plain = count - others.len();
    // The order has no meaning.
    for _ in 0..others.len().min(3) {
        let (a, b) = (u.choose_index(others.len())?, u.choose_index(others.len())?);
        others.swap(a, b);
    }
    let value = |plain: usize, others: &[[Value; 6]]| {
        let head = [signed(now, number), Value::Int(plain as i64)];
        Value::Array(
            head.into_iter()
                .chain(others.iter().flatten().cloned())
                .collect(),
        )
    };
    let reply = if others.is_empty() && u.arbitrary()? {
        signed(now, number)
    } else {
        value(plain, &others)
    };
    let decoded =
        check_decisions(&encoded(&reply), number, &requests).expect("a reply of the script's");
    for (decoded, answer) in decoded.iter().zip(&answers) {
        match answer {
            ScriptAnswer::Admitted => {
                let decision = decoded.as_ref().expect("admitted").decision;
                assert!(decision.is_allowed() && decision.reset == now + WINDOW_MS);
            }
            ScriptAnswer::Decided(outcome) => {
                let mut outcome = *outcome;
                let decision = &mut outcome.decision;
                decision.reset_after = decision.reset.saturating_sub(now);
                assert_eq!(decoded.as_ref().ok(), Some(&outcome));
            }
            ScriptAnswer::Failed(text, kind) => {
                let error = decoded.as_ref().expect_err("failed");
                assert_eq!(error.kind(), *kind);
                assert_eq!(error.to_string(), error_map::from_script(text).to_string());
            }
        }
    }
    let Some(last) = others.pop() else {
        return Ok(());
    };
    let mut faulty = others.clone();
    let (plain, whole) = match u.int_in_range(0..=4u8)? {
        // One request is left out, or answered twice, or does not exist; too many are admitted; a value is missing.
        0 => (plain, true),
        1 => {
            faulty.extend([last.clone(), last]);
            (plain, true)
        }
        2 => {
            let mut last = last;
            last[0] = Value::Int(*u.choose(&[0, -1, i64::MIN, i64::MAX, count as i64 + 1])?);
            faulty.push(last);
            (plain, true)
        }
        3 => {
            faulty.push(last);
            (plain + 1, true)
        }
        _ => {
            let mut last = last;
            last[u.int_in_range(1..=5)?] = Value::Nil;
            faulty.push(last);
            (plain, false)
        }
    };
    let decoded = decode(&encoded(&value(plain, &faulty)), number, &requests);
    if whole {
        assert!(decoded.is_err(), "{faulty:?}");
    } else {
        let failed = decoded
            .expect("the others have their answers")
            .iter()
            .filter(|o| o.is_err())
            .count();
        let before = answers
            .iter()
            .filter(|answer| matches!(answer, ScriptAnswer::Failed(..)))
            .count();
        assert!(failed == before || failed == before + 1);
    }
    Ok(())
}

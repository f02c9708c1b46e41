//! The commands that run check.lua, and its replies.

use std::cell::RefCell;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::LazyLock;

use redis::{Cmd, RedisWrite, Script, ToRedisArgs, Value};

use super::{ScriptRef, Tag, slack};
use crate::quota::{
    AnomalyStatus, Decision, Limit, MAX_WINDOW_MS, Millis, Outcome, Rules, Verdict, Window,
};
use crate::store::redis::error_map;
use crate::store::{ErrorKind, Op, Request, Scope, StoreError};

/// The source of the script.
pub const SOURCE: &str = include_str!("check.lua");

/// The latest moment of a JavaScript `Date` (ECMAScript, "Time Values and Time Range").
const LATEST: Millis = 8_640_000_000_000_000;

/// The values in a reply for each request that is no plain admission.
const FIELDS: usize = 6;

/// Hashed once: hashing copies the text.
static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(SOURCE));

/// The most requests of one call: the kind of a request is one byte of text.
const MAX_REQUESTS: usize = 128;

/// Capacity for the arguments of a call without its keys, in number and bytes, and for the bytes of a key: enough for most calls.
/// The batch of a cluster has a call for each check, all in memory at once, so that unused capacity has a cost.
const ARGUMENTS: usize = 9;
const BYTES: usize = 40;
const BYTES_OF_KEY: usize = 32;

thread_local! {
    /// Buffer for the key being written.
    static KEY: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The command for `requests`.
pub(in crate::store::redis) fn command(
    by: ScriptRef,
    tag: Tag,
    scope: &Scope,
    requests: &[&Request],
) -> Cmd {
    let write_key = |at: usize, key: &mut String| scope.name.write_key(&requests[at].id, key);
    let kinds = requests.iter().map(|request| (request.op, request.limit));
    call(by, tag, scope.rules, write_key, kinds)
}

/// The command for operations under limits: one for each key, which `write_key` appends.
pub(in crate::store::redis) fn call(
    by: ScriptRef,
    tag: Tag,
    rules: Rules,
    mut write_key: impl FnMut(usize, &mut String),
    kinds: impl ExactSizeIterator<Item = (Op, Limit)>,
) -> Cmd {
    let count = kinds.len();
    let capacity = (ARGUMENTS + count, BYTES + BYTES_OF_KEY * count);
    let mut cmd = by.begin(&SCRIPT, SOURCE, capacity);
    cmd.arg(count);
    KEY.with_borrow_mut(|key| {
        for at in 0..count {
            key.clear();
            write_key(at, key);
            cmd.arg(key.as_str());
        }
    });
    arguments(rules, tag, kinds, &mut cmd);
    cmd
}

/// The ARGV of a call: an operation under a limit for each key. Most batches have requests of one kind or of a few. Each kind is
/// written once, and a request is one byte.
///
/// # Panics
/// For more than 128 requests.
pub fn arguments(
    rules: Rules,
    tag: Tag,
    mut requests: impl Iterator<Item = (Op, Limit)>,
    out: &mut impl RedisWrite,
) {
    // The batch of a cluster has a call for each check: a call with one kind allocates nothing.
    let mut of_requests = [0; 1 + MAX_REQUESTS];
    of_requests[0] = tag.0;
    let first = requests.next();
    let mut others = Vec::new();
    let mut end = 1 + usize::from(first.is_some());
    for kind in requests {
        if Some(kind) != first {
            let known = others.iter().position(|&known| known == kind);
            let at = known.unwrap_or_else(|| {
                others.push(kind);
                others.len() - 1
            });
            of_requests[end] = 1 + at as u8;
        }
        end += 1;
    }
    let kinds = first.into_iter().chain(others);
    let anomaly_window = rules.anomaly.map_or(0, |rule| rule.window().ms());
    for moment in [rules.window.ms(), anomaly_window, slack(rules.window)] {
        moment.write_redis_args(out);
    }
    out.write_arg(&of_requests[..end]);
    for (op, limit) in kinds {
        let (name, denials) = match op {
            Op::Check => ("check", 0),
            Op::Limit => ("limit", 0),
            Op::Status => ("status", 0),
            Op::Reset => ("reset", 0),
            Op::CountDenials(denials) => ("denied", denials),
        };
        let threshold = rules.anomaly.map_or(0, |rule| rule.threshold(limit));
        out.write_arg(name.as_bytes());
        for number in [limit.get(), threshold, denials] {
            number.write_redis_args(out);
        }
    }
}

/// The outcomes in the reply to the batch with `tag`, which has a request under each of the `limits`.
///
/// # Errors
/// [`ErrorKind::Protocol`] for a reply that is not the script's: without the tag, with two outcomes for one request, or with
/// none for another.
pub fn outcomes(
    value: &Value,
    tag: Tag,
    window: Window,
    limits: impl ExactSizeIterator<Item = Limit>,
) -> Result<Vec<Result<Outcome, StoreError>>, StoreError> {
    let outcomes = admitted_except(value, tag, window, limits.len()).ok_or_else(unexpected)?;
    Ok(outcomes.into_iter().zip(limits).map(within).collect())
}

/// As [`outcomes`], for a call of one request.
///
/// # Errors
/// As [`outcomes`].
pub fn outcome_of_one(
    value: &Value,
    tag: Tag,
    window: Window,
    limit: Limit,
) -> Result<Result<Outcome, StoreError>, StoreError> {
    match value {
        Value::BulkString(now) => admitted(now, tag, window).map(Ok).ok_or_else(unexpected),
        list => Ok(outcomes(list, tag, window, [limit].into_iter())?.swap_remove(0)),
    }
}

/// Refuses an outcome with more remaining than the limit, or than 0 after a denial.
fn within((outcome, limit): (Result<Outcome, StoreError>, Limit)) -> Result<Outcome, StoreError> {
    let outcome = outcome?;
    let max = u32::from(outcome.decision.is_allowed()) * limit.get();
    let valid = outcome.decision.remaining <= max;
    valid.then_some(outcome).ok_or_else(unexpected)
}

/// An admission at the time `now`, which ends with the tag.
fn admitted(now: &[u8], tag: Tag, window: Window) -> Option<Outcome> {
    let (_, now) = now.split_last().filter(|&(&last, _)| last == tag.0)?;
    let now: Millis = str::from_utf8(now).ok()?.parse().ok()?;
    Some(Outcome::of(Decision {
        verdict: Verdict::Allowed,
        remaining: 0,
        reset: now.checked_add(window.ms()).filter(|&at| at <= LATEST)?,
        reset_after: window.ms(),
    }))
}

/// Every request is admitted, except those with an outcome of their own in the reply.
fn admitted_except(
    value: &Value,
    tag: Tag,
    window: Window,
    count: usize,
) -> Option<Vec<Result<Outcome, StoreError>>> {
    let (now, plain, others) = match value {
        Value::Array(values) => {
            let ([now, plain], others) = values.split_first_chunk()?;
            (now, number(plain).ok()? as usize, others)
        }
        now => (now, count, [].as_slice()),
    };
    let Value::BulkString(now) = now else {
        return None;
    };
    let admitted = admitted(now, tag, window)?;
    if others.is_empty() {
        return (count == plain).then(|| vec![Ok(admitted); count]);
    }
    let decided = admitted.decision;
    let now = decided.reset - decided.reset_after;
    let mut outcomes = vec![None; count];
    for other in others.chunks(FIELDS) {
        let ([of], fields) = other.split_first_chunk()?;
        let slot = outcomes.get_mut(number(of).ok()?.checked_sub(1)? as usize)?;
        if slot.replace(outcome(now, fields)).is_some() {
            return None;
        }
    }
    let unnamed = outcomes.iter().filter(|outcome| outcome.is_none()).count();
    let outcomes = outcomes
        .into_iter()
        .map(|outcome| outcome.unwrap_or(Ok(admitted)));
    (unnamed == plain).then(|| outcomes.collect())
}

fn outcome(now: Millis, fields: &[Value]) -> Result<Outcome, StoreError> {
    let [verdict, second, reset, retry_after, anomaly] = fields else {
        return Err(unexpected());
    };
    if let (Value::Int(-1), Value::BulkString(message)) = (verdict, second) {
        return Err(error_map::from_script(&String::from_utf8_lossy(message)));
    }
    let verdict = match (number(verdict)?, number(retry_after)?.try_into()) {
        (1, _) => Verdict::Allowed,
        (0, Ok(retry_after)) => Verdict::Denied { retry_after },
        _ => return Err(unexpected()),
    };
    let small = |value| u32::try_from(number(value)?).map_err(|_| unexpected());
    let is_allowed = verdict == Verdict::Allowed;
    let (remaining, paused) = match is_allowed {
        true => (small(second)?, 0),
        false => (0, number(second)?),
    };
    let anomaly_status = match (anomaly, NonZeroU64::new(paused)) {
        (Value::Int(n @ ..=-1), None) if !is_allowed => {
            let missing = u32::try_from(n.unsigned_abs())
                .ok()
                .and_then(NonZeroU32::new);
            missing.map(AnomalyStatus::Below).ok_or_else(unexpected)?
        }
        (Value::Int(0), Some(paused)) if paused.get() <= MAX_WINDOW_MS => {
            AnomalyStatus::Paused(paused)
        }
        (anomaly, None) => {
            NonZeroU32::new(small(anomaly)?).map_or(AnomalyStatus::None, AnomalyStatus::Anomaly)
        }
        _ => return Err(unexpected()),
    };
    let reset = number(reset)?;
    Ok(Outcome {
        decision: Decision {
            verdict,
            remaining,
            reset,
            // An admission that counts leaves the window later than `now`.
            reset_after: reset.saturating_sub(now),
        },
        anomaly_status,
    })
}

fn number(value: &Value) -> Result<u64, StoreError> {
    match value {
        Value::Int(n @ 0..) if n.unsigned_abs() <= LATEST => Ok(n.unsigned_abs()),
        _ => Err(unexpected()),
    }
}

fn unexpected() -> StoreError {
    StoreError::new(
        ErrorKind::Protocol,
        "the reply is not one of the limiter's script",
    )
}

#[cfg(test)]
mod tests;

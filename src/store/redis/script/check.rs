//! The commands that run check.lua, and its replies.

use std::cell::RefCell;
use std::iter;
use std::mem;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::LazyLock;

use redis::Script;

use super::{ScriptRef, Tag, slack, unexpected};
use crate::planted::planted;
use crate::quota::{
    AnomalyStatus, Decision, Limit, MAX_WINDOW_MS, Millis, Outcome, Rules, Verdict, Window,
};
use crate::store::redis::error_map;
use crate::store::redis::protocol::{Reader, Token, Writer};
use crate::store::{Op, Request, Scope, StoreError};

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

thread_local! {
    /// Buffer for the key being written, whose length goes first.
    static KEY: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The limit of a reset: any does.
pub(crate) const PROBE_LIMIT: Limit = Limit::literal(1);

/// Appends the command for `requests` to `out`.
///
/// # Panics
/// For more than 128 requests.
pub fn encode<'r>(
    out: &mut Vec<u8>,
    by: ScriptRef,
    tag: Tag,
    scope: &Scope,
    requests: impl ExactSizeIterator<Item = &'r Request> + Clone,
) {
    let kinds = Kinds::of(
        tag,
        requests.clone().map(|request| match request.op {
            Op::Status if planted!(StatusTakesSlot) => (Op::Limit, request.limit),
            op => (op, request.limit),
        }),
    );
    let mut writer = begin(out, by, requests.len(), &kinds);
    KEY.with_borrow_mut(|key| {
        for request in requests {
            key.clear();
            scope.name.write_key(&request.id, key);
            writer.text(&*key);
        }
    });
    write_arguments(&mut writer, scope.rules, &kinds);
}

/// Appends the command for a reset of `key` to `out`: a probe resets a key that no id has.
pub(crate) fn encode_reset(out: &mut Vec<u8>, by: ScriptRef, tag: Tag, rules: Rules, key: &str) {
    let kinds = Kinds::of(tag, iter::once((Op::Reset, PROBE_LIMIT)));
    let mut writer = begin(out, by, 1, &kinds);
    writer.text(key);
    write_arguments(&mut writer, rules, &kinds);
}

/// Begins a command of `count` requests: the keys follow, then the arguments.
fn begin<'a>(out: &'a mut Vec<u8>, by: ScriptRef, count: usize, kinds: &Kinds) -> Writer<'a> {
    let script = by.arguments(&SCRIPT, SOURCE);
    let arguments = script.len() + 1 + count + GENERAL + kinds.iter().count() * OF_KIND;
    let mut writer = Writer::command(out, arguments);
    script.iter().for_each(|argument| writer.text(argument));
    writer.number(count as u64);
    writer
}

/// The arguments of a call that are no keys and of no kind, and those of each kind.
const GENERAL: usize = 4;
const OF_KIND: usize = 4;

/// An operation under a limit.
type Kind = (Op, Limit);

/// The kinds of a call's requests. Most calls have requests of one kind or of a few. Each kind is written once, and a request
/// is one byte.
struct Kinds {
    /// The tag, then the number of each request's kind.
    of_requests: [u8; 1 + MAX_REQUESTS],
    /// The number of bytes in use.
    length: usize,
    first: Option<Kind>,
    /// A batch of a cluster has a call for each check: a call with one kind allocates nothing.
    others: Vec<Kind>,
}

impl Kinds {
    fn of(tag: Tag, mut requests: impl Iterator<Item = Kind>) -> Self {
        let first = requests.next();
        let mut kinds = Self {
            of_requests: [0; 1 + MAX_REQUESTS],
            length: 1 + usize::from(first.is_some()),
            first,
            others: Vec::new(),
        };
        kinds.of_requests[0] = tag.0;
        for kind in requests {
            if Some(kind) != first {
                kinds.of_requests[kinds.length] = 1 + kinds.number_of_other(kind);
            }
            kinds.length += 1;
        }
        kinds
    }

    fn number_of_other(&mut self, kind: Kind) -> u8 {
        let known = self.others.iter().position(|&known| known == kind);
        let number = known.unwrap_or_else(|| {
            self.others.push(kind);
            self.others.len() - 1
        });
        number as u8
    }

    fn iter(&self) -> impl Iterator<Item = Kind> {
        self.first.into_iter().chain(self.others.iter().copied())
    }
}

/// The ARGV of a call.
fn write_arguments(writer: &mut Writer, rules: Rules, kinds: &Kinds) {
    let anomaly_window = rules.anomaly.map_or(0, |rule| rule.window().ms());
    for moment in [rules.window.ms(), anomaly_window, slack(rules.window)] {
        writer.number(moment);
    }
    writer.text(&kinds.of_requests[..kinds.length]);
    for (op, limit) in kinds.iter() {
        let (name, denials) = match op {
            Op::Check => ("check", 0),
            Op::Limit => ("limit", 0),
            Op::Status => ("status", 0),
            Op::Reset => ("reset", 0),
            Op::CountDenials(denials) => ("denied", denials),
        };
        let threshold = rules.anomaly.map_or(0, |rule| rule.threshold(limit));
        writer.text(name);
        for number in [limit.get(), threshold, denials] {
            writer.number(number.into());
        }
    }
}

/// The outcomes in the complete `reply` to the batch with `tag`, which has a request under each of the `limits`.
///
/// # Errors
/// [`ErrorKind::Protocol`](crate::store::ErrorKind::Protocol) for a reply that is not the script's: without the tag, with two outcomes for one request, or with
/// none for another.
pub fn decode(
    reply: &[u8],
    tag: Tag,
    window: Window,
    limits: impl ExactSizeIterator<Item = Limit>,
) -> Result<Vec<Result<Outcome, StoreError>>, StoreError> {
    let mut reader = Reader::new(reply);
    match reader.next() {
        Some(Token::Text(now)) => {
            let admitted = admitted(now, tag, window).ok_or_else(unexpected)?;
            Ok(limits.map(|_| Ok(admitted)).collect())
        }
        Some(Token::Array(length)) => {
            let outcomes = admitted_except(&mut reader, length, tag, window, limits.len());
            let mut outcomes = outcomes.ok_or_else(unexpected)?;
            for (outcome, limit) in outcomes.iter_mut().zip(limits) {
                if !is_within(outcome, limit) {
                    *outcome = Err(unexpected());
                }
            }
            Ok(outcomes)
        }
        _ => Err(unexpected()),
    }
}

/// Whether no more than the limit remains, and nothing after a denial.
fn is_within(outcome: &Result<Outcome, StoreError>, limit: Limit) -> bool {
    let Ok(Outcome { decision, .. }) = outcome else {
        return true;
    };
    decision.remaining <= u32::from(decision.is_allowed()) * limit.get()
}

/// An admission at the time `now`, which ends with the tag.
fn admitted(now: &[u8], tag: Tag, window: Window) -> Option<Outcome> {
    let (_, now) = now
        .split_last()
        .filter(|&(&last, _)| last == tag.0 || planted!(NoTagCheck))?;
    let now: Millis = str::from_utf8(now).ok()?.parse().ok()?;
    Some(Outcome::of(Decision {
        verdict: Verdict::Allowed,
        remaining: 0,
        reset: now.checked_add(window.ms()).filter(|&at| at <= LATEST)?,
        reset_after: window.ms(),
    }))
}

/// Every request is admitted, except those with an outcome of their own in the list of that length.
fn admitted_except(
    reader: &mut Reader,
    length: usize,
    tag: Tag,
    window: Window,
    count: usize,
) -> Option<Vec<Result<Outcome, StoreError>>> {
    let mut others = length.checked_sub(2)?;
    let Token::Text(now) = reader.next_value()? else {
        return None;
    };
    let plain = number(reader.next_value()?).ok()? as usize;
    let admitted = admitted(now, tag, window)?;
    let mut outcomes = vec![Ok(admitted); count];
    let mut named = vec![false; count];
    let mut unnamed = count;
    let decided = admitted.decision;
    let now = decided.reset - decided.reset_after;
    while others > 0 {
        let of = number(reader.next_value()?).ok()?;
        let of = if planted!(ResultsShifted) && of > 1 {
            of - 1
        } else {
            of
        };
        let index = of.checked_sub(1)? as usize;
        if mem::replace(named.get_mut(index)?, true) {
            return None;
        }
        let present = others.min(FIELDS) - 1;
        let mut fields = [Token::Null; FIELDS - 1];
        for field in &mut fields[..present] {
            *field = reader.next_value()?;
        }
        // Only the last outcome can lack fields.
        outcomes[index] = match present == fields.len() {
            true => outcome(now, fields),
            false => Err(unexpected()),
        };
        unnamed -= 1;
        others -= 1 + present;
    }
    (unnamed == plain).then_some(outcomes)
}

fn outcome(now: Millis, fields: [Token; FIELDS - 1]) -> Result<Outcome, StoreError> {
    let [verdict, second, reset, retry_after, anomaly] = fields;
    if let (Token::Integer(-1), Token::Text(message)) = (verdict, second) {
        if planted!(ErrorAdmits) {
            return Ok(Outcome::of(Decision {
                verdict: Verdict::Allowed,
                remaining: 0,
                reset: now + 1,
                reset_after: 1,
            }));
        }
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
        (Token::Integer(n @ ..=-1), None) if !is_allowed => {
            let missing = u32::try_from(n.unsigned_abs())
                .ok()
                .and_then(NonZeroU32::new);
            missing.map(AnomalyStatus::Below).ok_or_else(unexpected)?
        }
        (Token::Integer(0), Some(paused)) if paused.get() <= MAX_WINDOW_MS => {
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

fn number(value: Token) -> Result<u64, StoreError> {
    match value {
        Token::Integer(n @ 0..) if n.unsigned_abs() <= LATEST => Ok(n.unsigned_abs()),
        _ => Err(unexpected()),
    }
}

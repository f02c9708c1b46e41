//! The two scripts, executed on the model of a log.

use super::log::{Entry, Kind, Log, Millis, Op, Replayed, Rules};
use super::resp;
use super::server::KeyId;

/// The common arguments of the requests in a script call.
pub struct Call {
    pub ms: Millis,
    pub rules: Rules,
    pub full_memory: bool,
    pub refusal: Option<&'static str>,
}

pub type Checked = (Kind, Option<Entry>);

/// check.lua. Appends its reply.
pub fn check<'a>(
    data: &mut [Log],
    keys: &[KeyId],
    call: &Call,
    argument: impl Fn(usize) -> &'a [u8],
    out: &mut Vec<u8>,
) -> Vec<Checked> {
    let kinds = argument(4);
    let (tag, kinds) = (kinds[0], &kinds[1..]);
    let mut results = Vec::with_capacity(keys.len());
    // Most replies are plain.
    let mut others: Vec<(usize, Result<Entry, &'static str>)> = Vec::new();
    for (number, (&key, &kind)) in keys.iter().zip(kinds).enumerate() {
        let at = 4 * usize::from(kind) + 5;
        let value = |at| resp::number(argument(at)) as u32;
        let kind = Kind {
            op: match argument(at) {
                b"check" => Op::Check,
                b"limit" => Op::Limit,
                b"status" => Op::Status,
                b"reset" => Op::Reset,
                b"denied" => Op::Denied(value(at + 3)),
                other => panic!("{:?} is no operation", other.escape_ascii().to_string()),
            },
            limit: value(at + 1),
            threshold: value(at + 2),
        };
        let decided = match call.refusal {
            Some(refusal) => Err(refusal),
            None => data[key as usize].decide(call.ms, call.rules, kind, call.full_memory),
        };
        if !decided.is_ok_and(|entry| entry.plain) {
            others.push((number + 1, decided));
        }
        results.push((kind, decided.ok()));
    }
    let mut signed = Vec::with_capacity(14);
    resp::decimal(&mut signed, call.ms as i64);
    signed.push(tag);
    if others.is_empty() {
        resp::bulk(out, &signed);
        return results;
    }
    resp::array(out, 2 + 6 * others.len());
    resp::bulk(out, &signed);
    resp::integer(out, (keys.len() - others.len()) as i64);
    for (number, decided) in others {
        resp::integer(out, number as i64);
        match decided {
            Ok(entry) => {
                resp::integer(out, i64::from(entry.allowed));
                resp::integer(out, entry.second as i64);
                resp::integer(out, entry.reset as i64);
                resp::integer(out, entry.retry as i64);
                resp::integer(out, entry.anomaly);
            }
            Err(error) => {
                resp::integer(out, -1);
                resp::bulk(out, error.as_bytes());
                (0..3).for_each(|_| resp::integer(out, 0));
            }
        }
    }
    results
}

/// replay.lua. Appends its reply.
pub fn replay<'a>(
    data: &mut [Log],
    keys: &[KeyId],
    call: &Call,
    argument: impl Fn(usize) -> &'a [u8],
    out: &mut Vec<u8>,
) -> Vec<Option<Replayed>> {
    let mut at = 5;
    let (mut results, mut failed) = (Vec::with_capacity(keys.len()), Vec::new());
    let age = |text: &[u8]| (!text.is_empty()).then(|| resp::number(text));
    for (number, &key) in keys.iter().enumerate() {
        let count = resp::number(argument(at + 2)) as usize;
        let replayed = Replayed {
            reset: age(argument(at)),
            reported: age(argument(at + 1)),
            ages: (0..count)
                .map(|n| resp::number(argument(at + 3 + n)))
                .collect(),
        };
        at += 3 + count;
        let entered = match call.refusal {
            Some(refusal) => Err(refusal),
            None => data[key as usize].replay(call.ms, call.rules, &replayed, call.full_memory),
        };
        if let Err(error) = entered {
            failed.push((number + 1, error));
        }
        results.push(entered.ok().map(|_| replayed));
    }
    resp::array(out, 1 + 2 * failed.len());
    resp::bulk(out, argument(4));
    for (number, error) in failed {
        resp::integer(out, number as i64);
        resp::bulk(out, error.as_bytes());
    }
    results
}

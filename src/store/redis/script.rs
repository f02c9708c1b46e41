//! The batch script on the wire: its command, and its reply.

use std::sync::LazyLock;

use redis::{Cmd, Script, Value};

use crate::quota::{Decision, Millis, Outcome, Rules, Verdict};
use crate::store::{ErrorKind, Op, Request, Scope, StoreError};

use super::reply;

/// The source of the script.
pub const SOURCE: &str = include_str!("check.lua");

/// The most a log's key outlives its newest admission, so that most admissions need not touch its TTL.
const MAX_SLACK_MS: Millis = 60_000;

/// Values the script returns for each request.
const FIELDS: usize = 5;

/// How the script is named in a command.
#[derive(Debug, Clone, Copy)]
pub(super) enum By {
    /// Its SHA-1: the server has it already, but for the time after a restart or failover.
    Hash,
    /// The text itself, which the server then keeps.
    Source,
}

/// Hashed once: hashing copies the text.
static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(SOURCE));

/// The command that asks `requests`.
pub(super) fn command(by: By, scope: &Scope, requests: &[Request]) -> Cmd {
    let mut cmd = match by {
        By::Hash => redis::cmd("EVALSHA").arg(SCRIPT.get_hash()).to_owned(),
        By::Source => redis::cmd("EVAL").arg(SOURCE).to_owned(),
    };
    cmd.arg(requests.len());
    for request in requests {
        cmd.arg(scope.name.key(&request.id));
    }
    for argument in arguments(scope.rules, requests) {
        cmd.arg(argument);
    }
    cmd
}

/// The script's ARGV.
pub fn arguments(rules: Rules, requests: &[Request]) -> Vec<String> {
    let window = rules.window.ms();
    let anomaly_window = rules.anomaly.map_or(0, |rule| rule.window().ms());
    let slack = (window / 4).clamp(1, MAX_SLACK_MS);
    let mut arguments = vec![
        window.to_string(),
        anomaly_window.to_string(),
        slack.to_string(),
    ];
    for request in requests {
        let op = match request.op {
            Op::Check => "check",
            Op::Limit => "limit",
            Op::Status => "status",
            Op::Reset => "reset",
        };
        let threshold = rules
            .anomaly
            .map_or(0, |rule| rule.threshold(request.limit));
        arguments.push(op.to_owned());
        arguments.push(request.limit.get().to_string());
        arguments.push(threshold.to_string());
    }
    arguments
}

/// The script's reply to `count` requests.
pub fn outcomes(value: Value, count: usize) -> Vec<Result<Outcome, StoreError>> {
    match value {
        Value::Array(values) if values.len() == count * FIELDS => {
            values.chunks_exact(FIELDS).map(outcome).collect()
        }
        _ => vec![Err(unexpected()); count],
    }
}

fn outcome(fields: &[Value]) -> Result<Outcome, StoreError> {
    let [verdict, second, reset, retry_after, anomaly] = fields else {
        return Err(unexpected());
    };
    if let (Value::Int(-1), Value::BulkString(message)) = (verdict, second) {
        return Err(reply::from_script(&String::from_utf8_lossy(message)));
    }
    let verdict = match (number(verdict)?, number(retry_after)?.try_into()) {
        (1, _) => Verdict::Allowed,
        (0, Ok(retry_after)) => Verdict::Denied { retry_after },
        _ => return Err(unexpected()),
    };
    let small = |value| u32::try_from(number(value)?).map_err(|_| unexpected());
    Ok(Outcome {
        decision: Decision {
            verdict,
            remaining: small(second)?,
            reset: number(reset)?,
        },
        anomaly: Some(small(anomaly)?).filter(|&requests| requests > 0),
    })
}

fn number(value: &Value) -> Result<u64, StoreError> {
    match value {
        Value::Int(n) => u64::try_from(*n).map_err(|_| unexpected()),
        _ => Err(unexpected()),
    }
}

fn unexpected() -> StoreError {
    StoreError::new(
        ErrorKind::Protocol,
        "the reply is not one of the limiter's script",
    )
}

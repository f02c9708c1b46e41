//! The scripts, and what their calls share: the reference to a script, and the tag that matches a reply to its call.

pub mod check;
pub mod replay;

use std::fmt;

use redis::Script;

use crate::quota::{Millis, Window};
use crate::store::{ErrorKind, StoreError};

/// The most that the key of a log outlives its newest admission, so that most admissions need not set its TTL.
const MAX_SLACK_MS: Millis = 60_000;

/// How a command refers to its script.
#[derive(Debug, Clone, Copy)]
pub enum ScriptRef {
    /// By its SHA-1 (EVALSHA): the server has the script, except after a restart or a failover.
    Sha,
    /// By its source (EVAL), which the server then keeps.
    Source,
}

impl ScriptRef {
    /// The first two arguments of a command that runs the script.
    fn arguments(self, script: &'static Script, source: &'static str) -> [&'static str; 2] {
        match self {
            ScriptRef::Sha => ["EVALSHA", script.get_hash()],
            ScriptRef::Source => ["EVAL", source],
        }
    }
}

/// The correlation tag of a call and its reply: one printable character. Batches in flight together have different tags, so that
/// replies that are out of step on a connection are noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag(u8);

impl Tag {
    /// The tag of the batch with that number.
    pub fn of(number: usize) -> Self {
        Self(b'@' + (number % 63) as u8)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", char::from(self.0))
    }
}

/// The reply is not one of the limiter's script.
fn unexpected() -> StoreError {
    StoreError::new(
        ErrorKind::Protocol,
        "the reply is not one of the limiter's script",
    )
}

/// How much longer than `window` the key of a log may live.
fn slack(window: Window) -> Millis {
    (window.ms() / 4).clamp(1, MAX_SLACK_MS)
}

// For the callers that use the redis crate's commands and values. To be deleted with them.

/// The command of the crate for an encoded one.
fn as_command(encoded: &[u8]) -> redis::Cmd {
    let mut reader = super::protocol::Reader::new(encoded);
    let mut command = redis::Cmd::new();
    while let Some(token) = reader.next() {
        if let super::protocol::Token::Text(argument) = token {
            command.arg(argument);
        }
    }
    command
}

/// The reply of which `value` was parsed.
fn as_reply(value: &redis::Value, out: &mut Vec<u8>) {
    use redis::Value;
    let length = |kind: char, length: usize| format!("{kind}{length}\r\n").into_bytes();
    match value {
        Value::Int(number) => out.extend(format!(":{number}\r\n").into_bytes()),
        Value::BulkString(text) => {
            out.extend(length('$', text.len()));
            out.extend(text);
            out.extend(b"\r\n");
        }
        Value::Array(values) => {
            out.extend(length('*', values.len()));
            values.iter().for_each(|value| as_reply(value, out));
        }
        Value::Nil => out.extend(b"$-1\r\n"),
        // No reply of a script has another value.
        _ => out.extend(b"+OK\r\n"),
    }
}

/// Replies for tests.
#[cfg(test)]
mod encoded {
    pub(super) fn text(text: impl AsRef<[u8]>) -> Vec<u8> {
        let text = text.as_ref();
        let length = format!("${}\r\n", text.len()).into_bytes();
        [&length, text, b"\r\n"].concat()
    }

    pub(super) fn integer(number: i64) -> Vec<u8> {
        format!(":{number}\r\n").into_bytes()
    }

    pub(super) fn array(values: &[Vec<u8>]) -> Vec<u8> {
        let length = format!("*{}\r\n", values.len()).into_bytes();
        [length, values.concat()].concat()
    }
}

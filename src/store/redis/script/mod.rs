//! The scripts, and what their calls share: the reference to a script, and the tag that matches a reply to its call.

pub mod check;
pub mod replay;

use std::fmt;

use redis::Script;

use super::protocol::{Reader, Token};
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

/// Whether a reply may be that to the call with this tag: an error, or a text with the tag at its end, alone or as the first value of a
/// list.
pub(crate) fn is_reply_of(reply: &[u8], tag: Tag) -> bool {
    let mut reader = Reader::new(reply);
    let text = match reader.next() {
        Some(Token::Error(_)) => return true,
        Some(Token::Array(_)) => reader.next(),
        first => first,
    };
    matches!(text, Some(Token::Text(text)) if text.last() == Some(&tag.0))
}

/// How much longer than `window` the key of a log may live.
fn slack(window: Window) -> Millis {
    (window.ms() / 4).clamp(1, MAX_SLACK_MS)
}

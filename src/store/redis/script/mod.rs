//! The scripts, and what their calls share: the reference to a script, and the tag that matches a reply to its call.

pub mod check;
pub mod replay;

use std::fmt;

use redis::{Cmd, Script};

use crate::quota::{Millis, Window};

/// The most that the key of a log outlives its newest admission, so that most admissions need not set its TTL.
const MAX_SLACK_MS: Millis = 60_000;

/// How a command refers to its script.
#[derive(Debug, Clone, Copy)]
pub(super) enum ScriptRef {
    /// By its SHA-1 (EVALSHA): the server has the script, except after a restart or a failover.
    Sha,
    /// By its source (EVAL), which the server then keeps.
    Source,
}

impl ScriptRef {
    /// The beginning of a command that runs the script, with capacity for more arguments: their number and bytes.
    pub(super) fn begin(
        self,
        script: &Script,
        source: &str,
        (arguments, bytes): (usize, usize),
    ) -> Cmd {
        let (name, script) = match self {
            ScriptRef::Sha => ("EVALSHA", script.get_hash()),
            ScriptRef::Source => ("EVAL", source),
        };
        let mut cmd = Cmd::with_capacity(2 + arguments, name.len() + script.len() + bytes);
        cmd.arg(name).arg(script);
        cmd
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

/// How much longer than `window` the key of a log may live.
pub(super) fn slack(window: Window) -> Millis {
    (window.ms() / 4).clamp(1, MAX_SLACK_MS)
}

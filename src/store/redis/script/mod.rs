//! The scripts, and what their calls have in common: how one names its script, and how its reply is known to be its own.

pub mod check;
pub mod replay;

use std::fmt;

use redis::{Cmd, Script};

use crate::quota::{Millis, Window};

/// The most a log's key outlives its newest admission, so that most admissions need not touch its TTL.
const MAX_SLACK_MS: Millis = 60_000;

/// How the script is named in a command.
#[derive(Debug, Clone, Copy)]
pub(super) enum ScriptRef {
    /// Its SHA-1: the server has it already, but for the time after a restart or failover.
    Sha,
    /// The text itself, which the server then keeps.
    Source,
}

impl ScriptRef {
    /// The beginning of a command that runs the script, with room for so many arguments more, and so many bytes of them.
    pub(super) fn script(
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

/// What a batch is known by in its reply: one printable character, so that replies that are out of step on a connection are
/// not taken for one another's. Batches that are under way together differ in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag(u8);

impl Tag {
    /// The tag of the batch of that number.
    pub fn of(number: usize) -> Self {
        Self(b'@' + (number % 63) as u8)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", char::from(self.0))
    }
}

/// How much longer than its window a log's key of that window may live.
pub(super) fn slack(window: Window) -> Millis {
    (window.ms() / 4).clamp(1, MAX_SLACK_MS)
}

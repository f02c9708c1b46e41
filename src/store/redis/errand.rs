//! What a script is sent for: some keys, a command, and what its reply means.

use redis::{Cmd, Value};

use super::script::{ScriptRef, Tag, check, replay};
use crate::quota::{Limit, Outcome};
use crate::store::{Replay, Request, Scope, StoreError};

/// One reply, an answer each.
pub(super) type Answers<T> = Result<Vec<Result<T, StoreError>>, StoreError>;

/// The reply to a call for one item.
pub(super) type Answer<T> = Result<Result<T, StoreError>, StoreError>;

/// A script's call for some of a kind of things, each with a key of its own.
pub(super) trait Errand: Sync {
    /// What there is one of for each key.
    type Item: Sync;
    /// What is said of it.
    type Answer: Send;

    /// Appends the key of `item`.
    fn write_key(&self, item: &Self::Item, out: &mut String);

    /// The command for `items`.
    fn command(&self, by: ScriptRef, tag: Tag, items: &[&Self::Item]) -> Cmd;

    /// The answers in the reply to the command of `tag` for `items`.
    fn read(&self, value: &Value, tag: Tag, items: &[&Self::Item]) -> Answers<Self::Answer>;

    /// The same for one item, without a list.
    fn read_one(&self, value: &Value, tag: Tag, item: &Self::Item) -> Answer<Self::Answer> {
        let mut answers = self.read(value, tag, &[item])?;
        Ok(answers.swap_remove(0))
    }
}

/// Asks for decisions.
pub(super) struct Ask<'a>(pub(super) &'a Scope);

impl Errand for Ask<'_> {
    type Item = Request;
    type Answer = Outcome;

    fn write_key(&self, request: &Request, out: &mut String) {
        self.0.name.write_key(&request.id, out);
    }

    fn command(&self, by: ScriptRef, tag: Tag, requests: &[&Request]) -> Cmd {
        check::command(by, tag, self.0, requests)
    }

    fn read(&self, value: &Value, tag: Tag, requests: &[&Request]) -> Answers<Outcome> {
        let limits = requests.iter().map(|request| request.limit);
        check::outcomes(value, tag, self.0.rules.window, limits)
    }

    fn read_one(&self, value: &Value, tag: Tag, request: &Request) -> Answer<Outcome> {
        check::outcome_of_one(value, tag, self.0.rules.window, request.limit)
    }
}

/// Tells of decisions made without the store.
pub(super) struct Tell<'a>(pub(super) &'a Scope);

impl Errand for Tell<'_> {
    type Item = Replay;
    type Answer = ();

    fn write_key(&self, replay: &Replay, out: &mut String) {
        self.0.name.write_key(&replay.id, out);
    }

    fn command(&self, by: ScriptRef, tag: Tag, replays: &[&Replay]) -> Cmd {
        replay::command(by, tag, self.0, replays)
    }

    fn read(&self, value: &Value, tag: Tag, replays: &[&Replay]) -> Answers<()> {
        replay::results(value, tag, replays.len())
    }
}

/// What a probe asks under; any limit does.
const LIMIT: Limit = Limit::literal(1);

/// Asks whether the server decides: resets a key that is nobody's, which one refuses that takes no writes.
pub(super) struct Probe<'a> {
    scope: &'a Scope,
    pub(super) key: String,
}

impl<'a> Probe<'a> {
    /// The probe of that number: each has a key of its own, and most another slot. No id has such a key: in theirs, what
    /// follows the name holds no `#`.
    pub(super) fn new(scope: &'a Scope, number: u32) -> Self {
        let key = format!("{{{}:#{number}}}", scope.name.as_str());
        Self { scope, key }
    }
}

impl Errand for Probe<'_> {
    type Item = ();
    type Answer = Outcome;

    fn write_key(&self, (): &(), out: &mut String) {
        out.push_str(&self.key);
    }

    fn command(&self, by: ScriptRef, tag: Tag, _: &[&()]) -> Cmd {
        check::reset_command(by, tag, self.scope.rules, &self.key)
    }

    fn read(&self, value: &Value, tag: Tag, probes: &[&()]) -> Answers<Outcome> {
        let limits = probes.iter().map(|()| LIMIT);
        check::outcomes(value, tag, self.scope.rules.window, limits)
    }
}

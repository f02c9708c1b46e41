//! The batch that was launched in a caller's thread. It has no task of its own that would see its deadline pass, so the
//! lane's task watches it.

use std::sync::{Arc, Weak};

use tokio::time::Instant;

use super::launch::Launch;

/// What can be settled without an answer.
pub(super) trait Expire: Send + Sync {
    /// Settles all whose deadline has passed.
    fn expire(&self, now: Instant);
}

/// A batch under way without a task.
pub(super) struct Launched {
    pub(super) deadline: Instant,
    pub(super) flight: Weak<dyn Expire>,
    pub(super) launch: Arc<Launch>,
}

impl Launched {
    /// Settles it as late.
    pub(super) fn expire(self, now: Instant) {
        if let Some(flight) = self.flight.upgrade() {
            flight.expire(now);
        }
        self.launch.give_up();
    }
}

/// Watches one at a time: the next is launched only when the one before has landed.
#[derive(Default)]
pub(super) struct Watch {
    launched: Option<Launched>,
    /// Whether the task sleeps until a deadline no later than that of what is launched next.
    set: bool,
}

impl Watch {
    /// Watches `launched` from now on. Returns whether the task has to be told.
    pub(super) fn begin(&mut self, launched: Launched) -> bool {
        self.launched = Some(launched);
        !std::mem::replace(&mut self.set, true)
    }

    /// When the task, which is about to sleep, has to look again.
    pub(super) fn due(&mut self) -> Option<Instant> {
        let deadline = self.deadline();
        self.set = deadline.is_some();
        deadline
    }

    /// Stops watching what has landed, or has to be settled because its deadline has passed, and hands it out.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Launched> {
        match self.deadline() {
            Some(deadline) if deadline > now => None,
            _ => self.launched.take(),
        }
    }

    /// Stops watching.
    pub(super) fn take(&mut self) -> Option<Launched> {
        self.launched.take()
    }

    /// The deadline of what was launched, while it is under way.
    fn deadline(&self) -> Option<Instant> {
        let launched = self.launched.as_ref()?;
        (launched.flight.strong_count() > 0).then_some(launched.deadline)
    }
}

//! Whose turn it is: a request that waits, where one goes, and what the task does next.

use tokio::time::Instant;

use crate::store::{Request, StoreError};

/// A request on its way.
pub(in crate::old_limiter) struct Pending<T> {
    pub(in crate::old_limiter) request: Request,
    pub(in crate::old_limiter) ticket: T,
    pub(in crate::old_limiter) deadline: Instant,
}

/// What a batch is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// So many requests.
    Requests(usize),
    /// Denials that are to be counted, for which nobody waits.
    Counts,
}

/// What the task does next.
pub(super) enum Next<T, F> {
    Send(Load, Vec<Pending<T>>),
    /// To be settled without asking: their deadlines have passed.
    Late(Vec<Pending<T>>),
    /// All has been counted, or it has taken too long: who waits is told by dropping this.
    Tell(F),
    /// The store is to be found again, or told what was decided without it.
    Recover,
    /// Waits for a change; until something is due, if there is.
    Wait(Option<Instant>),
    End,
}

/// Where a request goes.
pub(super) enum Place<T> {
    /// It waits for the task.
    Queued,
    /// Nothing is waiting and nothing under way: it may leave at once. It counts as under way.
    Free(Pending<T>),
    /// The store is not asked, for this reason.
    Refused(Pending<T>, StoreError),
}

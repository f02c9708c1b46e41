//! Completions: the answers of a limiter, on their way to the caller.

use super::availability::StoreChange;
use crate::metrics::Label;
use crate::store::{Answer, Request, StoreError};

/// Takes completions. Called on the runtime's threads; must not block.
pub trait CompletionSink: Send + Sync + 'static {
    /// Identifies a request of the caller.
    type RequestId: Clone + Send + 'static;

    /// The caller's label of a request, with which metrics list its id.
    fn label(request: &Self::RequestId) -> Label {
        let _ = request;
        Label::default()
    }

    /// Takes the answers of one batch.
    fn complete(&self, answers: Vec<Completion<'_, Self::RequestId>>);

    /// A flush has ended.
    fn flushed(&self, request: Self::RequestId);

    /// The store is away for the limiter, or back.
    fn store_changed(&self, change: StoreChange) {
        let _ = change;
    }
}

/// One request with its answer, or the error it failed with.
pub type Completion<'a, T> = (&'a Request, T, Result<Answer, StoreError>);

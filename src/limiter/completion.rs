//! What a limiter answers, and where the answers go.

use super::availability::StoreChange;
use crate::metrics::Label;
use crate::store::{Answer, Request, StoreError};

/// Where the answers of a batch go. Called on the runtime's threads; must not block.
pub trait CompletionSink: Send + Sync + 'static {
    /// What tells the caller's requests apart.
    type RequestId: Clone + Send + 'static;

    /// The caller's label of a request, under which metrics list its id.
    fn label(request: &Self::RequestId) -> Label {
        let _ = request;
        Label::default()
    }

    /// Takes the answers of one batch.
    fn complete(&self, answers: Vec<Completion<'_, Self::RequestId>>);

    /// A flush is over.
    fn flushed(&self, ticket: Self::RequestId);

    /// The store has gone away for the limiter, or is back.
    fn store_changed(&self, change: StoreChange) {
        let _ = change;
    }
}

/// One request with its answer, or the reason there is none.
pub type Completion<'a, T> = (&'a Request, T, Result<Answer, StoreError>);

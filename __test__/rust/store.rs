//! A store as the tests use it: all stores have to decide alike.

use std::future::Future;

use huntaze_rate_limit::quota::{Clock, Outcome};
use huntaze_rate_limit::store::{MemoryStore, Request, Scope, StoreError};

/// Where logs live. Every implementation decides as `History` does: one contract suite tests them all.
pub trait Store: Send + Sync + 'static {
    /// Decides `requests` in order. One result each: the error of one does not affect the others.
    fn run(
        &self,
        scope: &Scope,
        requests: &[Request],
    ) -> impl Future<Output = Vec<Result<Outcome, StoreError>>> + Send;
}

impl<C: Clock + 'static> Store for MemoryStore<C> {
    async fn run(&self, scope: &Scope, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        requests
            .iter()
            .map(|request| Ok(self.answer(scope.rules, request)))
            .collect()
    }
}

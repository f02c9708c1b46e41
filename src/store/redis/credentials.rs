//! The password of a source: requested for each login, and once more after the server has rejected it.

use super::config::{PasswordAnswer, PasswordSource, Secret};
use crate::store::async_budget::AsyncBudget as Budget;
use crate::store::{ErrorKind, StoreError};

/// Tries the password that `source` returns now. It may have been rotated before AUTH, or come from a cache: if the server
/// rejects it, the next password of the source is tried as well, and no third one. The same password is not tried again: the
/// server would reject it again, and servers and operators count rejections.
///
/// `budget` is shared with `attempt`.
pub(super) async fn retry_with_fresh<T, F>(
    source: &dyn PasswordSource,
    budget: &Budget,
    attempt: impl Fn(Secret) -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let password = within(source.password(), budget).await?;
    let rejection = match attempt(password.clone()).await {
        Err(error) if error.kind() == ErrorKind::WrongPass => error,
        other => return other,
    };
    let next = within(source.after_rejection(), budget).await?;
    if next == password {
        return Err(rejection);
    }
    attempt(next).await
}

async fn within(answer: PasswordAnswer, budget: &Budget) -> Result<Secret, StoreError> {
    // If the budget ends, this error names the reason: the innermost future sees the end first.
    let answer = budget.within(answer).await;
    answer.unwrap_or_else(|| {
        let message = "the password function has not answered within the budget of a connect";
        Err(StoreError::new(ErrorKind::Timeout, message))
    })
}

//! The password of a source: asked for when it is needed, and once more when the server refuses it.

use super::config::{PasswordAnswer, PasswordSource, Secret};
use crate::store::budget::Budget;
use crate::store::{ErrorKind, StoreError};

/// Tries the password that `source` has now. It may have been rotated between the asking and the AUTH, or come out of a
/// cache: if the server refuses it, what the source says then is tried as well, and that is all. The same password again is
/// not: it would be refused again, and servers and their operators count refusals.
///
/// `budget` is that of `attempt`, too.
pub(super) async fn retry_with_fresh<T, F>(
    source: &dyn PasswordSource,
    budget: &Budget,
    attempt: impl Fn(Secret) -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let password = answered(source.password(), budget).await?;
    let refusal = match attempt(password.clone()).await {
        Err(error) if error.kind() == ErrorKind::WrongPass => error,
        other => return other,
    };
    let another = answered(source.after_rejection(), budget).await?;
    if another == password {
        return Err(refusal);
    }
    attempt(another).await
}

async fn answered(answer: PasswordAnswer, budget: &Budget) -> Result<Secret, StoreError> {
    // Where the budget is over, this says why: it is looked at before the budget itself.
    let answer = budget.within(answer).await;
    answer.unwrap_or_else(|| {
        let message = "the password function has not answered within the budget of a connect";
        Err(StoreError::new(ErrorKind::Timeout, message))
    })
}

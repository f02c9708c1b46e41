//! Passwords from a JavaScript function.

use std::sync::Arc;

use super::completion_queue::CompletionQueue;
use crate::store::redis::{PasswordAnswer, PasswordSource, Secret};
use crate::store::{ErrorKind, StoreError};

/// The password that the function returned, or the reason why it failed, if that may be disclosed.
pub(super) type PasswordResult = std::result::Result<Secret, Option<String>>;

/// Requests passwords from the limiter's JavaScript function.
pub(super) struct JsPasswordSource {
    pub(super) completions: Arc<CompletionQueue>,
    pub(super) limiter: u32,
}

impl PasswordSource for JsPasswordSource {
    fn password(&self) -> PasswordAnswer {
        self.request(false)
    }

    fn after_rejection(&self) -> PasswordAnswer {
        self.request(true)
    }
}

impl JsPasswordSource {
    fn request(&self, refused: bool) -> PasswordAnswer {
        let response = self.completions.request_password(self.limiter, refused);
        Box::pin(async move {
            response.await.unwrap_or(Err(None)).map_err(|reason| {
                let message = "the password function gave no password";
                match reason {
                    Some(reason) => {
                        StoreError::new(ErrorKind::NoAuth, format!("{message}: {reason}"))
                    }
                    None => StoreError::new(ErrorKind::NoAuth, message),
                }
            })
        })
    }
}

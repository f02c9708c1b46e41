//! The parts of the product that the simulator drives.

pub use huntaze_rate_limit::engine::{
    ConnectionId, Engine, LimiterId, Moment, PasswordRequestId, ServerId, TestId, Wish,
};
pub use huntaze_rate_limit::limiter::{Completion, RequestId};
use huntaze_rate_limit::store::redis::{PasswordAnswer, PasswordSource};

/// Stands for a password function: the engine wishes for passwords, and the world grants them.
pub struct Source;

impl PasswordSource for Source {
    fn password(&self) -> PasswordAnswer {
        unreachable!("the engine asks its driver")
    }
}

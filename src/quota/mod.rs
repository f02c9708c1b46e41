//! The decision, as pure functions over plain data: no I/O, no clock, no JavaScript, no Redis.

mod anomaly;
mod clock;
mod decision;
mod history;
mod key;
mod log;
#[allow(clippy::module_inception)]
mod quota;

pub(crate) use anomaly::Tally;
pub use anomaly::{AnomalyRule, AnomalyStatus};
pub use clock::{Clock, ManualClock, Millis, StoreClock};
pub use decision::{Decision, Verdict};
pub use history::{History, Outcome};
pub use key::{Id, InvalidId, InvalidName, MAX_ID_BYTES, Namespace, escape};
pub use log::Log;
pub use quota::{Limit, MAX_LIMIT, MAX_WINDOW_MS, OutOfRange, Quota, Rules, Window};

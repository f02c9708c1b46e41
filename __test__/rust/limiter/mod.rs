//! One check's way: batches, deadlines, and what decides when the store is away.

mod batches;
mod breaker;
mod changes;
mod counting;
mod deadline;
mod denied;
pub mod doubles;
mod doubting;
mod fallback;
mod flaky;
mod journal;
mod launch;
mod metering;
mod outage;
mod parts;
mod remembering;
mod settling;
mod strays;
mod telling;
mod top;
mod waiting;

//! The deterministic simulator: several engines in virtual time, with a modelled network and modelled servers.
//!
//! | module | content |
//! |---|---|
//! | `plan` | the plan of a run: deployment, processes, users' steps, faults; `generate`: from a seed; `shrink`: simpler plans |
//! | `world` | virtual time and the queue of events |
//! | `process` | the processes, whose engines share the logs and the journal of `local`; `product`: the imports from the product |
//! | `driver` | the engines' timers, wishes and completions |
//! | `users` | requests of users, and their answers |
//! | `network`, `transport` | connections as streams of bytes; links that are slow or cut |
//! | `server` | servers that speak RESP2 (`resp`) and execute the `scripts`, on the model in `log`; `sha1` |
//! | `cluster` | shard maps as the nodes know them |
//! | `faults` | F1 to F26 of docs/failure-modes.md, but for those of the kernel, of files and of TLS |
//! | `checker` | the invariants; `matching`: of answers and executions; `claim`: of the admissions in a window |
//! | `runs` | many runs |
//! | `scenarios` | each fault by itself |
//! | `defects` | defects planted in the product, each of which is found (feature `planted-defects`) |
//!
//! A seed is a run: `npm run simulate -- --seed=N` prints its events.

#![allow(clippy::unwrap_used)]

mod checker;
mod claim;
mod cluster;
#[cfg(feature = "planted-defects")]
mod defects;
mod driver;
mod faults;
mod generate;
mod log;
mod matching;
mod network;
mod plan;
mod process;
mod product;
mod resp;
mod runs;
mod scenarios;
mod scripts;
mod server;
mod sha1;
mod shrink;
mod transport;
mod users;
mod world;

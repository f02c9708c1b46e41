//! The deterministic simulator: several engines in virtual time, with a modelled network and modelled servers.
//!
//! | module | what it holds |
//! |---|---|
//! | `plan` | what happens in a run; `generate`: from a seed; `shrink`: simpler ones |
//! | `world` | virtual time and the queue of events |
//! | `process` | the processes, whose engines share the logs and the journal of `local`; `product`: what of the product is driven |
//! | `driver` | the engines' timers, wishes and completions |
//! | `users` | what users ask, and what they are told |
//! | `network`, `transport` | connections as streams of bytes; links that are slow or cut |
//! | `server` | servers that speak RESP2 (`resp`) and execute the `scripts`, on the model in `log`; `sha1` |
//! | `cluster` | who serves which slot |
//! | `faults` | F1 to F26 of docs/failure-modes.md, but for those of the kernel, of files and of TLS |
//! | `checker` | the invariants; `matching`: of answers and executions; `claim`: of the admissions in a window |
//! | `runs` | many runs |
//! | `scenarios` | each fault by itself |
//! | `defects` | defects planted in the product, each of which is found (feature `planted-defects`) |
//!
//! A seed is a run: `npm run simulate -- --seed=N` prints what happens in it.

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

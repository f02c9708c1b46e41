//! Defects that are planted in the product, one at a time, for this test: each has to be found within [`RUNS`] runs. A checker that
//! finds none of them would check nothing.

use std::time::Instant;

use huntaze_rate_limit::planted::{Defect, plant};

use super::checker::Failure;
use super::plan::Plan;
use super::runs::outcome;

const RUNS: u64 = 10_000;

/// The seed that finds `defect`, and the rule that it breaks.
fn search(defect: Defect) -> Option<(u64, Failure)> {
    (1..=RUNS).find_map(|seed| {
        plant(Some(defect));
        let failure = outcome(&Plan::of(seed)).err();
        plant(None);
        // Not a failure of the product as it is.
        failure
            .filter(|_| outcome(&Plan::of(seed)).is_ok())
            .map(|failure| (seed, failure))
    })
}

#[test]
fn every_planted_defect_is_found() {
    let started = Instant::now();
    let mut missed = Vec::new();
    println!("{:24} {:>6}  {:10} message", "defect", "runs", "rule");
    for &defect in Defect::ALL {
        match search(defect) {
            Some((runs, failure)) => {
                let message: String = failure.message.chars().take(120).collect();
                println!(
                    "{:24} {runs:>6}  {:10} {message}",
                    format!("{defect:?}"),
                    failure.rule
                );
            }
            None => {
                println!("{:24}      -", format!("{defect:?}"));
                missed.push(format!("{defect:?}"));
            }
        }
    }
    println!(
        "{} defects in {:.0} s",
        Defect::ALL.len(),
        started.elapsed().as_secs_f64()
    );
    assert!(
        missed.is_empty(),
        "not found within {RUNS} runs: {missed:?}"
    );
}

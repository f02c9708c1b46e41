//! Batches: which requests leave together.

use std::sync::Arc;
use std::time::Duration;

use huntaze_rate_limit::old_limiter::{Limiter, MAX_BATCH, Source};
use huntaze_rate_limit::store::{MemoryStore, Op};

use super::test_doubles::{Collector, hour, metrics, recorded};
use crate::requests::request;

const DEADLINE: Duration = Duration::from_secs(60);

/// Requests that have gathered before the worker runs leave in batches of the largest size, in order, each once.
#[tokio::test]
async fn a_batch_has_at_most_the_largest_size() {
    let (store, limiter, mut answers) = recorded(DEADLINE);
    for request_id in 0..1000 {
        limiter.submit(request(Op::Check, &request_id.to_string(), 5), request_id);
    }
    for _ in 0..1000 {
        let (request_id, answer) = answers.recv().await.unwrap();
        let answer = answer.unwrap();
        assert_eq!(
            (answer.source, answer.outcome.decision.reset),
            (Source::Redis, u64::from(request_id))
        );
    }
    let batches = store.0.lock().unwrap();
    let sizes: Vec<usize> = batches.iter().map(Vec::len).collect();
    assert_eq!(
        sizes,
        [vec![MAX_BATCH; 15], vec![1000 - 15 * MAX_BATCH]].concat()
    );
    let ids: Vec<u32> = batches
        .iter()
        .flatten()
        .map(|r| r.id.as_str().parse().unwrap())
        .collect();
    assert_eq!(ids, (0..1000).collect::<Vec<_>>());
}

/// An idle limiter waits for no further requests: the clock stands still, and the answer comes.
#[tokio::test(start_paused = true)]
async fn a_lone_request_leaves_at_once() {
    let (store, limiter, mut answers) = recorded(DEADLINE);
    for request_id in 0..3 {
        let begun = tokio::time::Instant::now();
        limiter.submit(request(Op::Check, "1", 5), request_id);
        assert_eq!(answers.recv().await.unwrap().0, request_id);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
    assert_eq!(store.0.lock().unwrap().len(), 3);
}

#[test]
fn a_limiter_in_memory_answers_in_the_call() {
    let limiter = Limiter::<Collector>::memory(hour(), Arc::new(MemoryStore::new()), metrics());
    for allowed in [true, true, false] {
        let asked = request(Op::Check, "a", 2);
        let (request, answer) = limiter.submit(asked.clone(), 1).unwrap();
        assert_eq!((request, answer.source), (asked, Source::Memory));
        assert_eq!(answer.outcome.decision.is_allowed(), allowed);
    }
}

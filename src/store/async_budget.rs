//! A [`Budget`](super::budget::Budget) that futures share.
//!
//! A process that was stopped (SIGSTOP, a frozen Lambda, a paused container) finds its timers expired when it continues, before
//! it has read the replies that arrived meanwhile. A plain timeout would then blame a server that replied long ago.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Poll, ready};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep};

/// Time is counted in steps of a fifth of the whole, of 50 ms at most. A step that took more than twice its length counts
/// twice: a busy machine delays a timer by some 10 ms.
const STEPS: u32 = 5;
const LONGEST_STEP: Duration = Duration::from_millis(50);
const SHORTEST_STEP: Duration = Duration::from_millis(1);

/// A busy machine, or a used-up CPU quota, delays a process by some 100 ms. A longer gap means that the process was stopped.
const STOP: Duration = Duration::from_millis(250);

/// A time limit, which several futures may share.
pub(crate) struct AsyncBudget {
    whole: Duration,
    step: Duration,
    state: Mutex<State>,
}

struct State {
    left: Duration,
    counted_at: Instant,
    was_stopped: bool,
}

impl AsyncBudget {
    /// A budget that begins now.
    pub(crate) fn new(whole: Duration) -> Self {
        Self {
            whole,
            step: (whole / STEPS).clamp(SHORTEST_STEP, LONGEST_STEP),
            state: Mutex::new(State {
                left: whole,
                counted_at: Instant::now(),
                was_stopped: false,
            }),
        }
    }

    /// The whole budget.
    pub(crate) fn whole(&self) -> Duration {
        self.whole
    }

    /// The output of `future`, or `None` if the budget ends first.
    pub(crate) async fn within<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = self.end() => None,
        }
    }

    /// Whether the process was stopped since the beginning.
    pub(crate) fn was_stopped(&self) -> bool {
        self.count().was_stopped
    }

    async fn end(&self) {
        let mut step = pin!(sleep(self.step.min(self.count().left)));
        poll_fn(|context| {
            loop {
                // At each poll: of several nested futures the innermost is polled first, and must be the first to see the end.
                let left = self.count().left;
                if left.is_zero() {
                    return Poll::Ready(());
                }
                ready!(step.as_mut().poll(context));
                step.as_mut().reset(Instant::now() + self.step.min(left));
            }
        })
        .await;
    }

    /// Counts the time since the last call.
    fn count(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        let now = Instant::now();
        let most = self.step * 2;
        let passed = now.saturating_duration_since(state.counted_at);
        state.counted_at = now;
        state.left = state.left.saturating_sub(passed.min(most));
        state.was_stopped |= passed > most.max(STOP);
        state
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::advance;

    use super::*;

    const WHOLE: Duration = Duration::from_millis(800);

    #[tokio::test(start_paused = true)]
    async fn a_budget_ends_when_its_time_has_passed() {
        let (budget, begun) = (AsyncBudget::new(WHOLE), Instant::now());
        assert_eq!(budget.within(pending::<()>()).await, None);
        assert_eq!(begun.elapsed(), WHOLE);
        assert!(!budget.was_stopped());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_costs_two_steps_at_most() {
        let budget = AsyncBudget::new(WHOLE);
        advance(Duration::from_secs(3600)).await;
        let begun = Instant::now();
        assert_eq!(budget.within(pending::<()>()).await, None);
        assert_eq!(begun.elapsed(), WHOLE - 2 * LONGEST_STEP);
        assert!(budget.was_stopped());
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_budget_survives_a_stop_too() {
        let budget = AsyncBudget::new(Duration::from_millis(50));
        advance(Duration::from_secs(2)).await;
        let answer = budget.within(sleep(Duration::from_millis(20))).await;
        assert_eq!(answer, Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_innermost_future_sees_the_end_first() {
        let budget = AsyncBudget::new(WHOLE);
        sleep(Duration::from_millis(7)).await;
        let inner = async {
            sleep(Duration::from_millis(13)).await;
            budget.within(pending::<()>()).await
        };
        assert_eq!(budget.within(inner).await, Some(None));
    }

    #[tokio::test(start_paused = true)]
    async fn an_output_that_is_ready_at_the_end_counts() {
        let budget = AsyncBudget::new(Duration::ZERO);
        assert_eq!(budget.within(ready(7)).await, Some(7));
    }
}

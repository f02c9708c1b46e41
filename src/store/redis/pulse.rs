//! Whether a connection is alive, as far as can be told without asking.

use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

/// After so long without an answer a connection is asked for a sign of life before it is used: the server, or a firewall on
/// the way, may have closed it while this process was frozen and could not see it. A PING takes a fraction of a millisecond,
/// and who checks less often than once a second can spare that.
const IDLE: Duration = Duration::from_secs(1);

/// A request given up after so long, with nothing heard meanwhile, casts doubt on the connection: packets go nowhere, or the
/// server hangs. Far more than a busy Redis takes for anything, and less than the usual deadline of 250 ms.
const SILENCE: Duration = Duration::from_millis(200);

/// How long a quiet connection has for a sign of life: four of its round trips, since the last may have been quick, and at least
/// this long, since a server may be busy. Well below the usual deadline of a check, so that there is time to connect anew.
const SIGN_OF_LIFE: Duration = Duration::from_millis(50);
const LONGEST_SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// When a connection was last heard, and since when an answer is due.
pub(super) struct Pulse(Mutex<State>);

struct State {
    heard: Instant,
    /// The same moment on the machine's clock, which goes on while a virtual machine is suspended.
    heard_at: SystemTime,
    unanswered: Option<Instant>,
    in_doubt: bool,
    /// How long an answer took.
    trip: Duration,
}

impl Pulse {
    /// Of a connection that has just been heard, for the first time after `trip`.
    pub(super) fn new(trip: Duration) -> Self {
        Self(Mutex::new(State {
            heard: Instant::now(),
            heard_at: SystemTime::now(),
            unanswered: None,
            in_doubt: false,
            trip,
        }))
    }

    /// Something was sent.
    pub(super) fn sent(&self) {
        self.0.lock().unanswered.get_or_insert_with(Instant::now);
    }

    /// Something was heard.
    pub(super) fn heard(&self) {
        let mut state = self.0.lock();
        let heard = Instant::now();
        let trip = state.unanswered.map_or(state.trip, |since| heard - since);
        *state = State {
            heard,
            heard_at: SystemTime::now(),
            unanswered: None,
            in_doubt: false,
            trip,
        };
    }

    /// How long it has for a sign of life.
    pub(super) fn patience(&self) -> Duration {
        let patience = self.0.lock().trip * 4;
        patience.clamp(SIGN_OF_LIFE, LONGEST_SIGN_OF_LIFE)
    }

    /// Somebody waits no longer.
    pub(super) fn given_up(&self) {
        let mut state = self.0.lock();
        let silent = state
            .unanswered
            .is_some_and(|since| since.elapsed() >= SILENCE);
        state.in_doubt |= silent;
    }

    /// Whether it has been quiet for so long that it may have died unseen, or owes an answer for longer than a live one would.
    pub(super) fn is_stale(&self) -> bool {
        let state = self.0.lock();
        // A machine's clock that was set back says nothing.
        let elapsed = state.heard_at.elapsed().unwrap_or_default();
        state.in_doubt || state.heard.elapsed().max(elapsed) >= IDLE
    }
}

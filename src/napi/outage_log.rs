//! Limits the log lines for outages of a store: one line when it begins and one when it ends, for all limiters of a name in
//! this process, on all threads. The log is a static, which all copies of the JavaScript module share.
//!
//! Time is passed in.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::abi::Event;
use super::completion_queue::JsSink;
use super::io_thread::IoThread;
use crate::quota::Namespace;

/// An outage that begins within this time after the last pair of lines is logged when the time is over, if it still lasts. A
/// store that fails and recovers every second thus gives two lines in this time.
pub(super) const QUIET_PERIOD: Duration = Duration::from_secs(10);

/// A limiter's name and the endpoint of its store.
pub(super) type Key = (Namespace, Box<str>);

/// Why a store is away, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Away {
    /// The code of the error.
    pub(super) code: String,
    /// Host and port of the primary; empty: not known.
    pub(super) shard: String,
}

/// When the first line of an outage is logged.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Now.
    Now,
    /// Then, if the store is still away.
    At(Instant),
    /// Another limiter of the name has logged or scheduled it.
    AlreadyLogged,
}

/// The outages by name and endpoint. A limiter logs through a `W`.
pub(super) struct OutageLog<W> {
    stores: Option<HashMap<Key, StoreState<W>>>,
}

struct StoreState<W> {
    /// The limiters for which the store is away.
    limiters: HashMap<u64, W>,
    outage: Option<Outage>,
    /// When the last pair of lines was complete.
    last: Option<Instant>,
}

struct Outage {
    began: Instant,
    away: Away,
    logged: bool,
    /// Checks decided without the store by the limiters for which it is back.
    decided: u64,
    /// The longest time that the store was away for one limiter.
    longest: Duration,
    /// Whether it was away for more than one limiter.
    several: bool,
}

impl<W> Default for StoreState<W> {
    fn default() -> Self {
        Self {
            limiters: HashMap::new(),
            outage: None,
            last: None,
        }
    }
}

impl<W: Clone> OutageLog<W> {
    pub(super) const fn new() -> Self {
        Self { stores: None }
    }

    /// The store has become unavailable for `limiter`, which has no listener.
    pub(super) fn away(
        &mut self,
        key: &Key,
        limiter: u64,
        writer: W,
        away: Away,
        now: Instant,
    ) -> Line {
        let stores = self.stores.get_or_insert_default();
        // An application may use ever new names.
        stores.retain(|_, store| store.outage.is_some() || store.quiet_until(now).is_some());
        let store = stores.entry(key.clone()).or_default();
        let first = store.limiters.is_empty();
        store.limiters.insert(limiter, writer);
        if !first {
            if let Some(outage) = &mut store.outage {
                outage.several = true;
            }
            return Line::AlreadyLogged;
        }
        let quiet = store.quiet_until(now);
        store.outage = Some(Outage {
            began: now,
            away,
            logged: quiet.is_none(),
            decided: 0,
            longest: Duration::ZERO,
            several: false,
        });
        quiet.map_or(Line::Now, Line::At)
    }

    /// The delayed outage, and the writer of a limiter for which it lasts, if its time has come.
    pub(super) fn due(&mut self, key: &Key, now: Instant) -> Option<(W, Away)> {
        let store = self.stores.as_mut()?.get_mut(key)?;
        if store.quiet_until(now).is_some() {
            return None;
        }
        let outage = store.outage.as_mut().filter(|outage| !outage.logged)?;
        let writer = store.limiters.values().next()?.clone();
        outage.logged = true;
        Some((writer, outage.away.clone()))
    }

    /// The store is available again for `limiter`, after `lasted`, in which the policy decided `decided` checks. If a line is
    /// due, returns how long the store was away for any limiter of the name, and how many checks of all of them were decided.
    pub(super) fn back(
        &mut self,
        key: &Key,
        limiter: u64,
        lasted: Duration,
        decided: u64,
        now: Instant,
    ) -> Option<(Duration, u64)> {
        let stores = self.stores.get_or_insert_default();
        let store = stores.entry(key.clone()).or_default();
        if store.limiters.remove(&limiter).is_none() {
            // A listener was called when the outage began, and was removed before its end.
            let unlogged = store.outage.is_none() && store.quiet_until(now).is_none();
            return unlogged.then(|| {
                store.last = Some(now);
                (lasted, decided)
            });
        }
        let outage = store.outage.as_mut()?;
        outage.decided += decided;
        outage.longest = outage.longest.max(lasted);
        if !store.limiters.is_empty() {
            return None;
        }
        let outage = store.outage.take().filter(|outage| outage.logged)?;
        store.last = Some(now);
        // `began` and `now` are read in an event loop, which may have been busy; `lasted` is the breaker's.
        let lasted = match outage.several {
            false => outage.longest,
            true => outage
                .longest
                .max(now.saturating_duration_since(outage.began)),
        };
        Some((lasted, outage.decided))
    }

    /// `limiter` is closed, or has a listener now: it logs nothing more of this outage.
    pub(super) fn leave(&mut self, key: &Key, limiter: u64, now: Instant) {
        let store = self.stores.as_mut().and_then(|stores| stores.get_mut(key));
        let Some(store) = store else { return };
        if store.limiters.remove(&limiter).is_some()
            && store.limiters.is_empty()
            && store.outage.take().is_some_and(|outage| outage.logged)
        {
            // Limiters that are created for one check each would otherwise log a line each.
            store.last = Some(now);
        }
    }
}

impl<W> StoreState<W> {
    /// The end of the quiet period, if it is in the future.
    fn quiet_until(&self, now: Instant) -> Option<Instant> {
        self.last
            .map(|last| last + QUIET_PERIOD)
            .filter(|&until| until > now)
    }
}

static OUTAGES: Mutex<OutageLog<Arc<JsSink>>> = Mutex::new(OutageLog::new());

static NEXT_WRITER: AtomicU64 = AtomicU64::new(0);

/// Logs the outages of one open limiter, until it is dropped.
pub(super) struct OutageWriter {
    key: Key,
    limiter: u64,
    sink: Arc<JsSink>,
    io: Arc<IoThread>,
}

impl OutageWriter {
    pub(super) fn new(key: Key, sink: Arc<JsSink>, io: Arc<IoThread>) -> Self {
        let limiter = NEXT_WRITER.fetch_add(1, Ordering::Relaxed);
        Self {
            key,
            limiter,
            sink,
            io,
        }
    }

    /// The store has become unavailable. Returns whether to log that now.
    pub(super) fn away(&self, away: Away) -> bool {
        let sink = Arc::clone(&self.sink);
        let line = OUTAGES
            .lock()
            .away(&self.key, self.limiter, sink, away, Instant::now());
        if let Line::At(due) = line {
            let key = self.key.clone();
            // A timer of the I/O thread, which ends with the last limiter: it does not keep the process alive.
            self.io.handle().spawn(async move {
                tokio::time::sleep_until(due.into()).await;
                log_if_due(&key);
            });
        }
        line == Line::Now
    }

    /// The store is available again. See [`OutageLog::back`].
    pub(super) fn back(&self, lasted: Duration, decided: u64) -> Option<(Duration, u64)> {
        OUTAGES
            .lock()
            .back(&self.key, self.limiter, lasted, decided, Instant::now())
    }

    /// This limiter logs nothing more of the outage: a listener was called, or the limiter is gone.
    pub(super) fn leave(&self) {
        OUTAGES
            .lock()
            .leave(&self.key, self.limiter, Instant::now());
    }
}

impl Drop for OutageWriter {
    fn drop(&mut self) {
        self.leave();
    }
}

fn log_if_due(key: &Key) {
    let due = OUTAGES.lock().due(key, Instant::now());
    if let Some((sink, away)) = due {
        sink.completions.push([Event::StillAway {
            limiter: sink.limiter,
            text: [away.code, away.shard],
        }]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(name: &str) -> Key {
        (
            Namespace::new(name.to_owned()).expect("a name"),
            "127.0.0.1:6379/0".into(),
        )
    }

    fn refused() -> Away {
        Away {
            code: "ECONNREFUSED".into(),
            shard: "127.0.0.1:6379".into(),
        }
    }

    struct Test {
        log: OutageLog<u64>,
        began: Instant,
    }

    impl Test {
        fn new() -> Self {
            Self {
                log: OutageLog::new(),
                began: Instant::now(),
            }
        }

        fn at(&self, seconds: u32) -> Instant {
            self.began + seconds * SECOND
        }

        fn away(&mut self, limiter: u64, seconds: u32) -> Line {
            let now = self.at(seconds);
            self.log.away(&key("a"), limiter, limiter, refused(), now)
        }

        fn back(&mut self, limiter: u64, decided: u64, seconds: u32) -> Option<(Duration, u64)> {
            let now = self.at(seconds);
            self.log.back(&key("a"), limiter, SECOND, decided, now)
        }

        fn due(&mut self, seconds: u32) -> Option<u64> {
            let now = self.at(seconds);
            self.log.due(&key("a"), now).map(|(writer, _)| writer)
        }
    }

    #[test]
    fn limiters_of_one_name_give_one_pair_of_lines() {
        let mut test = Test::new();
        assert_eq!(test.away(1, 0), Line::Now);
        assert_eq!(test.away(2, 1), Line::AlreadyLogged);
        assert_eq!(test.back(1, 5, 2), None);
        assert_eq!(test.away(1, 3), Line::AlreadyLogged);
        assert_eq!(test.back(2, 7, 4), None);
        assert_eq!(test.back(1, 1, 9), Some((9 * SECOND, 13)));
    }

    #[test]
    fn names_and_endpoints_are_apart() {
        let mut test = Test::new();
        assert_eq!(test.away(1, 0), Line::Now);
        let now = test.at(0);
        let mut away = |key: &Key, limiter| test.log.away(key, limiter, 0, refused(), now);
        assert_eq!(away(&key("b"), 2), Line::Now);
        let other_endpoint = (key("a").0, "127.0.0.1:6380/0".into());
        assert_eq!(away(&other_endpoint, 3), Line::Now);
    }

    #[test]
    fn soon_after_a_pair_an_outage_is_delayed_and_logged_if_it_lasts() {
        let mut test = Test::new();
        assert_eq!(test.away(1, 0), Line::Now);
        assert_eq!(
            test.back(1, 0, 5),
            Some((SECOND, 0)),
            "as its breaker saw it"
        );
        // A second outage, shorter than the quiet period.
        assert_eq!(test.away(1, 6), Line::At(test.at(15)));
        assert_eq!(test.back(1, 3, 7), None);
        assert_eq!(test.due(15), None);
        assert_eq!(test.away(1, 14), Line::At(test.at(15)));
        assert_eq!(test.due(14), None, "not yet");
        assert_eq!(test.due(15), Some(1));
        assert_eq!(test.due(15), None, "once");
        assert_eq!(test.back(1, 4, 16), Some((SECOND, 4)));
        assert_eq!(test.away(1, 25), Line::At(test.at(26)));
        assert_eq!(test.back(1, 4, 26), None);
        assert_eq!(test.away(1, 27), Line::Now);
    }

    #[test]
    fn another_limiter_of_the_name_logs_a_delayed_outage() {
        let mut test = Test::new();
        test.away(1, 0);
        test.back(1, 0, 1);
        assert_eq!(test.away(1, 2), Line::At(test.at(11)));
        assert_eq!(test.away(2, 3), Line::AlreadyLogged);
        let now = test.at(4);
        test.log.leave(&key("a"), 1, now);
        assert_eq!(test.due(11), Some(2));
        assert_eq!(test.back(2, 1, 12), Some((10 * SECOND, 1)));
    }

    #[test]
    fn a_limiter_that_is_closed_while_the_store_is_away_logs_nothing_more() {
        let mut test = Test::new();
        assert_eq!(test.away(1, 0), Line::Now);
        let now = test.at(1);
        test.log.leave(&key("a"), 1, now);
        // One for each check: a line each ten seconds, at most.
        for second in 2..11 {
            let limiter = u64::from(second);
            assert_eq!(test.away(limiter, second), Line::At(test.at(11)));
            let now = test.at(second);
            test.log.leave(&key("a"), limiter, now);
        }
        assert_eq!(test.due(11), None);
        assert_eq!(test.away(99, 11), Line::Now);
    }

    #[test]
    fn back_is_logged_where_a_listener_was_called_for_its_beginning() {
        let mut test = Test::new();
        assert_eq!(test.back(1, 8, 3), Some((SECOND, 8)));
        assert_eq!(test.back(1, 8, 4), None, "soon after that");
    }

    #[test]
    fn names_without_an_outage_are_forgotten() {
        let mut test = Test::new();
        for name in 0..1000_u32 {
            let key = key(&format!("n{name}"));
            let now = test.at(name);
            test.log.away(&key, 1, 1, refused(), now);
            test.log.back(&key, 1, SECOND, 0, now);
        }
        let names = test.log.stores.as_ref().map_or(0, HashMap::len);
        assert!(names <= 11, "{names} are kept");
    }
}

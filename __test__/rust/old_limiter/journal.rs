//! The journal of local decisions while the store is away, and how often they are replayed.

use std::thread::sleep;
use std::time::Duration;

use huntaze_rate_limit::old_limiter::Journal;
use huntaze_rate_limit::quota::Millis;
use huntaze_rate_limit::store::{ErrorKind, MAX_MEMORY_IDS, MemoryStore, Op, StoreError};

use super::test_doubles::hour;
use crate::requests::{anomaly_rules, request};

#[derive(Default)]
struct Fixture {
    journal: Journal,
    logs: MemoryStore,
}

impl Fixture {
    fn ask(&self, op: Op, who: &str) {
        let request = request(op, who, 1000);
        self.journal.answer(&self.logs, hour(), 0, &request);
    }

    /// Replays the journal, which fails with `error`. How many admissions of each id were sent, and how long ago a reset was.
    fn fail(&self, error: ErrorKind) -> Vec<(String, usize, Option<Millis>)> {
        let replaying = self.journal.replay(0).unwrap();
        let mut call = replaying.take(&self.logs);
        let sent = call.replays().iter();
        let sent = sent.map(|r| (r.id.as_str().to_owned(), r.ages.len(), r.reset));
        let sent = sent.collect();
        let results =
            vec![Err(StoreError::new(error, "as the test wants it")); call.replays().len()];
        call.retain_unconfirmed(&results);
        sent
    }

    fn counts(&self, error: ErrorKind) -> Vec<usize> {
        self.fail(error)
            .iter()
            .map(|&(_, count, _)| count)
            .collect()
    }
}

/// One report an id, however often the store does not take it. A reset makes it void.
#[test]
fn a_report_is_replayed_until_the_store_takes_it() {
    let fixture = Fixture::default();
    let ask = |op| {
        let request = request(op, "a", 2);
        let rules = anomaly_rules(3_600_000, 1.0, 300_000);
        fixture.journal.answer(&fixture.logs, rules, 0, &request)
    };
    let replay = |error| {
        let replaying = fixture.journal.replay(0).unwrap();
        let mut call = replaying.take(&fixture.logs);
        let replays = call.replays().to_vec();
        call.retain_unconfirmed(&vec![error; replays.len()]);
        replays
    };
    let busy = || Err(StoreError::new(ErrorKind::Busy, "as the test wants it"));
    let reports = (0..20).filter_map(|_| ask(Op::Check).anomaly_status.anomaly());
    assert_eq!(reports.collect::<Vec<_>>(), [3]);
    for _ in 0..2 {
        let replays = replay(busy());
        assert_eq!(replays.len(), 1);
        assert!(replays[0].reported.is_some());
    }
    assert!(replay(Ok(()))[0].reported.is_some());
    assert!(replay(Ok(())).is_empty());
    // Another report, and no admission.
    ask(Op::Reset);
    for _ in 0..20 {
        ask(Op::Check);
    }
    let replays = replay(Ok(()));
    assert!(replays[0].reset.is_some() && replays[0].reported.is_some());
    for _ in 0..20 {
        ask(Op::Check);
    }
    ask(Op::Reset);
    assert_eq!(replay(Ok(()))[0].reported, None);
}

/// Admissions by other processes after the reset must not be deleted with the log before it.
#[test]
fn a_reset_keeps_its_moment() {
    let fixture = Fixture::default();
    fixture.ask(Op::Reset, "a");
    let ages = [0, 1, 2].map(|_| {
        sleep(Duration::from_millis(10));
        fixture.fail(ErrorKind::Busy)[0].2.unwrap()
    });
    assert!(
        ages[1] >= ages[0] + 10 && ages[2] >= ages[1] + 10,
        "{ages:?}"
    );
}

#[test]
fn admissions_that_may_have_been_entered_are_sent_twice_each() {
    let fixture = Fixture::default();
    fixture.ask(Op::Check, "a");
    assert_eq!(fixture.counts(ErrorKind::Timeout), [1]);
    for _ in 0..4 {
        fixture.ask(Op::Check, "a");
    }
    // One of them for the second time, the others for the first.
    assert_eq!(fixture.counts(ErrorKind::Timeout), [5]);
    assert_eq!(fixture.counts(ErrorKind::Timeout), [4]);
    assert!(fixture.journal.is_empty(0));
}

#[test]
fn refused_admissions_are_sent_until_they_are_taken() {
    let fixture = Fixture::default();
    fixture.ask(Op::Check, "a");
    for kind in [
        ErrorKind::Oom,
        ErrorKind::ReadOnly,
        ErrorKind::Busy,
        ErrorKind::Oom,
    ] {
        assert_eq!(fixture.counts(kind), [1]);
    }
    // A key of another type never takes it.
    assert_eq!(fixture.counts(ErrorKind::WrongType), [1]);
    assert!(fixture.journal.is_empty(0));
}

/// A replay has 500 admissions and 64 ids at most: first the oldest of the least recently used id.
#[test]
fn a_replay_is_bounded() {
    let fixture = Fixture::default();
    for _ in 0..700 {
        fixture.ask(Op::Check, "much");
    }
    for n in 0..100 {
        fixture.ask(Op::Check, &n.to_string());
    }
    let replaying = fixture.journal.replay(0).unwrap();
    let sizes = [0, 1, 2].map(|_| {
        let mut call = replaying.take(&fixture.logs);
        let admissions: usize = call.replays().iter().map(|r| r.ages.len()).sum();
        let ids = call.replays().len();
        call.retain_unconfirmed(&vec![Ok(()); ids]);
        (ids, admissions)
    });
    assert_eq!(sizes, [(1, 500), (64, 263), (37, 37)]);
    drop(replaying);
    assert!(fixture.journal.is_empty(0));
}

/// Cleared entries do not come back with a replay in flight.
#[test]
fn a_cleared_journal_stays_empty() {
    let fixture = Fixture::default();
    fixture.ask(Op::Check, "a");
    let replaying = fixture.journal.replay(0).unwrap();
    let call = replaying.take(&fixture.logs);
    assert!(!fixture.journal.is_empty(0));
    fixture.journal.clear(&fixture.logs);
    drop(call);
    drop(replaying);
    assert!(fixture.journal.is_empty(0));
}

/// A client that was admitted locally up to its limit is not admitted again by the store, however many others have come since.
#[test]
fn the_admissions_of_a_denied_id_are_replayed_however_many_ids_come() {
    let fixture = Fixture::default();
    let ask = |who: &str, limit| {
        let request = request(Op::Check, who, limit);
        fixture.journal.answer(&fixture.logs, hour(), 0, &request)
    };
    while ask("denied", 5).decision.is_allowed() {}
    for i in 0..=MAX_MEMORY_IDS {
        ask(&i.to_string(), 5);
    }
    let replaying = fixture.journal.replay(0).unwrap();
    let mut admissions = Vec::new();
    loop {
        let mut call = replaying.take(&fixture.logs);
        let replays = call.replays().to_vec();
        call.retain_unconfirmed(&vec![Ok(()); replays.len()]);
        if replays.is_empty() {
            break;
        }
        let of_denied = replays
            .iter()
            .filter(|replay| replay.id.as_str() == "denied");
        admissions.extend(of_denied.map(|replay| replay.ages.len()));
    }
    assert_eq!(admissions, [5]);
}

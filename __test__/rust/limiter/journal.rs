//! The journal of local decisions while the store is away, and how often they are replayed.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use huntaze_rate_limit::limiter::{Claim, Journal};
use huntaze_rate_limit::quota::Millis;
use huntaze_rate_limit::store::{ErrorKind, MAX_MEMORY_IDS, MemoryStore, Op, StoreError};

use super::simulation::hour;
use crate::requests::{anomaly_rules, request};

#[derive(Default)]
struct Fixture {
    journal: Arc<Journal>,
    logs: MemoryStore,
}

impl Fixture {
    fn ask(&self, op: Op, who: &str) {
        let request = request(op, who, 1000);
        self.journal.answer(&self.logs, hour(), 0, &request);
    }

    /// Replays the journal, which fails with `error`. How many admissions of each id were sent, and how long ago a reset was.
    fn fail(&self, error: ErrorKind) -> Vec<(String, usize, Option<Millis>)> {
        let mut call = self.claim().unwrap();
        let sent = call.replays().iter();
        let sent = sent.map(|r| (r.id.as_str().to_owned(), r.ages.len(), r.reset));
        let sent = sent.collect();
        let results =
            vec![Err(StoreError::new(error, "as the test wants it")); call.replays().len()];
        call.retain_unconfirmed(&results);
        sent
    }

    fn claim(&self) -> Option<Claim> {
        self.journal.claim(&self.logs, |_| true)
    }

    fn is_empty(&self) -> bool {
        self.journal.is_empty(|_| true)
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
        let Some(mut call) = fixture.claim() else {
            return Vec::new();
        };
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
    assert!(fixture.is_empty());
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
    assert!(fixture.is_empty());
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
    let sizes = [0, 1, 2].map(|_| {
        let mut call = fixture.claim().unwrap();
        let admissions: usize = call.replays().iter().map(|r| r.ages.len()).sum();
        let ids = call.replays().len();
        call.retain_unconfirmed(&vec![Ok(()); ids]);
        (ids, admissions)
    });
    assert_eq!(sizes, [(1, 500), (64, 263), (37, 37)]);
    assert!(fixture.is_empty());
}

/// Cleared entries do not come back with a replay in flight.
#[test]
fn a_cleared_journal_stays_empty() {
    let fixture = Fixture::default();
    fixture.ask(Op::Check, "a");
    let call = fixture.claim().unwrap();
    assert!(!fixture.is_empty());
    fixture.journal.clear(&fixture.logs);
    drop(call);
    assert!(fixture.is_empty());
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
    let mut admissions = Vec::new();
    while let Some(mut call) = fixture.claim() {
        let replays = call.replays().to_vec();
        call.retain_unconfirmed(&vec![Ok(()); replays.len()]);
        let of_denied = replays
            .iter()
            .filter(|replay| replay.id.as_str() == "denied");
        admissions.extend(of_denied.map(|replay| replay.ages.len()));
    }
    assert_eq!(admissions, [5]);
}

/// Two limiters of a name may have different shard maps: they must not both replay its admissions.
#[test]
fn an_id_is_in_one_claim_at_a_time() {
    let fixture = Fixture::default();
    let ask = |slot, who| {
        let request = request(Op::Check, who, 5);
        fixture
            .journal
            .answer(&fixture.logs, hour(), slot, &request)
    };
    ask(2, "7");
    ask(2, "7");
    assert!(
        fixture.journal.is_empty(|slot| slot != 2) && !fixture.journal.is_empty(|slot| slot == 2)
    );
    let call = fixture
        .journal
        .claim(&fixture.logs, |slot| slot < 5)
        .unwrap();
    assert_eq!(call.replays()[0].ages.len(), 2);
    // Also during a replay. Nor is another id of its slots claimed.
    ask(2, "7");
    ask(3, "8");
    assert!(
        fixture
            .journal
            .claim(&fixture.logs, |slot| slot < 4)
            .is_none()
    );
    let other = fixture
        .journal
        .claim(&fixture.logs, |slot| slot > 2)
        .unwrap();
    assert_eq!(other.replays()[0].id.as_str(), "8");
    // The store did not take it.
    drop(call);
    let call = fixture
        .journal
        .claim(&fixture.logs, |slot| slot == 2)
        .unwrap();
    assert_eq!(call.replays()[0].ages.len(), 3);
}

/// Nothing is left of the slots, and of the ids, that were replayed.
#[test]
fn a_claim_leaves_other_slots_alone() {
    let fixture = Fixture::default();
    for n in 0..100_u16 {
        let request = request(Op::Check, &n.to_string(), 5);
        fixture
            .journal
            .answer(&fixture.logs, hour(), n % 3, &request);
    }
    for (slot, count) in [(1, 33), (0, 34), (2, 33)] {
        let owns = |other| other == slot;
        let mut call = fixture.journal.claim(&fixture.logs, owns).unwrap();
        assert_eq!(call.replays().len(), count);
        call.retain_unconfirmed(&vec![Ok(()); count]);
        drop(call);
        assert!(fixture.journal.is_empty(owns));
        assert!(fixture.journal.claim(&fixture.logs, owns).is_none());
    }
    assert!(fixture.is_empty());
}

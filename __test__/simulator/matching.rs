//! Answers and executions: each answer is that of one execution of this very request, and each execution that of one request.

use huntaze_rate_limit::store::Answer;

use super::checker::{Asked, Checker};
use super::log::{Kind, Op};
use super::plan::{MS, UserOp};
use super::server::{Done, Micros, Record};

impl Checker {
    /// Whether `record` may be the execution of `request`, and its answer the one that the user has had.
    pub(super) fn fits(&self, request: usize, record: usize) -> bool {
        let (asked, owner) = (&self.asked[request], &self.owners[record]);
        let record = &self.records[record];
        let Done::Decided(kind, _) = record.done else {
            return false;
        };
        // I18: a request that was made while the breaker was open must not be sent.
        if owner.engine != asked.engine
            || record.sent < asked.at
            || !is_kind(kind, asked)
            || asked.open
        {
            return false;
        }
        let in_time = asked
            .settled
            .is_some_and(|settled| record.at <= settled + MS);
        asked
            .answer
            .is_none_or(|answer| in_time && is_answer(record, asked, &answer))
    }

    /// Matches a request with one of `records`, and others anew if need be. (Kuhn's algorithm.)
    pub(super) fn match_request(
        &mut self,
        request: usize,
        records: &[usize],
        seen: &mut Vec<usize>,
    ) -> bool {
        let free = |checker: &Self, record: usize| checker.owners[record].request.is_none();
        for only_free in [true, false] {
            for &record in records {
                if free(self, record) != only_free
                    || seen.contains(&record)
                    || !self.fits(request, record)
                {
                    continue;
                }
                seen.push(record);
                let other = self.owners[record].request;
                if other.is_none_or(|other| self.match_request(other, records, seen)) {
                    self.owners[record].request = Some(request);
                    self.asked[request].record = Some(record);
                    return true;
                }
            }
        }
        false
    }

    /// The same from the other side: each execution is that of a request of its own.
    pub(super) fn match_record(
        &mut self,
        record: usize,
        requests: &[usize],
        seen: &mut Vec<usize>,
    ) -> bool {
        for only_free in [true, false] {
            for &request in requests {
                let other = self.asked[request].record;
                if other.is_none() != only_free
                    || seen.contains(&request)
                    || !self.fits(request, record)
                {
                    continue;
                }
                seen.push(request);
                if other.is_none_or(|other| self.match_record(other, requests, seen)) {
                    self.owners[record].request = Some(request);
                    self.asked[request].record = Some(record);
                    return true;
                }
            }
        }
        false
    }

    /// Both matchings together are one of every execution and of every answer. (Mendelsohn and Dulmage, 1958.)
    pub(super) fn executed_once(&mut self, key: usize, now: Micros) {
        let (requests, records) = (
            self.keys[key].asked.clone(),
            self.keys[key].executed.clone(),
        );
        for record in records {
            if self.owners[record].request.is_none()
                && !self.match_record(record, &requests, &mut Vec::new())
            {
                let message = format!(
                    "executed without a request, or more than once: {:?}",
                    self.records[record]
                );
                return self.fail("twice", now, || message);
            }
        }
    }
}

fn is_kind(kind: Kind, asked: &Asked) -> bool {
    let same = match asked.op {
        // The deny cache asks for the status, too.
        UserOp::Check => matches!(kind.op, Op::Check | Op::Limit),
        UserOp::Limit => kind.op == Op::Limit,
        UserOp::Status => kind.op == Op::Status,
        UserOp::Reset => kind.op == Op::Reset,
        UserOp::Flush | UserOp::Test | UserOp::Close | UserOp::End => false,
    };
    same && kind.limit == asked.limit
}

fn is_answer(record: &Record, asked: &Asked, answer: &Answer) -> bool {
    let Done::Decided(kind, entry) = record.done else {
        return false;
    };
    if !is_kind(kind, asked) {
        return false;
    }
    let decision = &answer.outcome.decision;
    let anomaly = answer.outcome.anomaly_status.anomaly().map_or(0, i64::from);
    match asked.op {
        UserOp::Check | UserOp::Limit => {
            let takes =
                entry.allowed == decision.is_allowed() && entry.retry == decision.retry_after_ms();
            let status = asked.op == UserOp::Check && entry.allowed
                || entry.reset == decision.reset
                    && (!entry.allowed || entry.second == u64::from(decision.remaining));
            takes && status && anomaly == entry.anomaly.max(0)
        }
        _ => entry.second == u64::from(decision.remaining) && entry.reset == decision.reset,
    }
}

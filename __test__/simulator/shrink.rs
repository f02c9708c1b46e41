//! Simpler plans than a failing one, and the simplest that fails in the same way.

use super::checker::Failure;
use super::plan::{FaultKind, Login, Plan};
use super::runs::outcome;

/// Attempts to find a simpler plan.
const MAX_ATTEMPTS: usize = 3000;

/// The simplest plan found that breaks the same rule.
pub fn shrink(plan: &Plan, failure: &Failure) -> (Plan, Failure) {
    let (mut best, mut last) = (plan.clone(), failure.clone());
    let mut attempts = 0;
    'simpler: loop {
        for simpler in best.simpler() {
            attempts += 1;
            if attempts > MAX_ATTEMPTS {
                break 'simpler;
            }
            if let Err(found) = outcome(&simpler)
                && found.rule == failure.rule
            {
                (best, last) = (simpler, found);
                continue 'simpler;
            }
        }
        break;
    }
    (best, last)
}

impl Plan {
    /// Plans that are simpler than this one, the simplest first.
    pub fn simpler(&self) -> Vec<Self> {
        let mut plans = Vec::new();
        let mut vary = |change: &dyn Fn(&mut Self)| {
            let mut plan = self.clone();
            change(&mut plan);
            plans.push(plan);
        };
        let count = self.steps.len();
        let mut size = count / 2;
        while size > 0 {
            for begin in (0..count).step_by(size) {
                vary(&|plan| drop(plan.steps.drain(begin..(begin + size).min(count))));
            }
            size /= 2;
        }
        for at in 0..self.faults.len() {
            vary(&|plan| {
                plan.faults.remove(at);
            });
        }
        if self.processes.len() > 1 {
            vary(&|plan| plan.processes.truncate(plan.processes.len() - 1));
        }
        for at in 0..self.processes.len() {
            if self.processes[at] > 1 {
                vary(&|plan| plan.processes[at] -= 1);
            }
        }
        if self.limiters.len() > 1 {
            vary(&|plan| plan.limiters.truncate(plan.limiters.len() - 1));
        }
        if self.clustered && self.shards > 2 {
            vary(&|plan| plan.shards -= 1);
        }
        if self.ids > 1 {
            vary(&|plan| plan.ids -= 1);
        }
        if self.slicing {
            vary(&|plan| plan.slicing = false);
        }
        if self.connections > 1 {
            vary(&|plan| plan.connections = 1);
        }
        if self.passwords != Login::None {
            vary(&|plan| plan.passwords = Login::None);
        }
        if self.timer_delay > 0 {
            vary(&|plan| plan.timer_delay = 0);
        }
        for at in 0..count {
            if self.steps[at].burst > 0 {
                vary(&|plan| plan.steps[at].burst = 0);
            }
            if self.steps[at].retries > 0 {
                vary(&|plan| plan.steps[at].retries = 0);
            }
        }
        plans.iter_mut().for_each(Self::fit);
        plans
    }

    /// Replaces references to things that are no longer part of the plan.
    fn fit(&mut self) {
        let (engines, limiters, ids) = (self.engines(), self.limiters.len(), self.ids);
        for step in &mut self.steps {
            step.engine %= engines;
            step.limiter %= limiters;
            step.id %= ids;
        }
        let (shards, processes) = (self.shards, self.processes.len());
        for fault in &mut self.faults {
            fault.node %= shards;
            fault.process %= processes;
            match &mut fault.kind {
                FaultKind::Migrate { limiter, id, to } => {
                    (*limiter, *id, *to) = (*limiter % limiters, *id % ids, *to % shards);
                }
                FaultKind::Foreign { limiter, id } | FaultKind::Disagree { limiter, id } => {
                    (*limiter, *id) = (*limiter % limiters, *id % ids)
                }
                _ => {}
            }
        }
        if self.passwords == Login::None {
            self.faults.retain(|fault| fault.kind != FaultKind::Rotate);
        }
    }
}

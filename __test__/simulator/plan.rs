//! The plan of a run: the deployment, the processes with their limiters, the users' steps and the faults. A seed gives a plan;
//! a plan gives a run. A scenario is a plan that was written by hand.

use huntaze_rate_limit::limiter::OnStoreError;

use super::log::Millis;
use super::server::{Micros, Tamper};

pub const MS: Micros = 1000;
pub const SECOND: Micros = 1_000_000;

#[derive(Debug, Clone)]
pub struct Plan {
    /// Of the network, the engines and the users' retries.
    pub seed: u64,
    pub clustered: bool,
    pub shards: usize,
    /// Of each shard.
    pub replicas: usize,
    /// The engines of each process, one a worker thread.
    pub processes: Vec<usize>,
    pub limiters: Vec<LimiterPlan>,
    pub ids: usize,
    pub steps: Vec<Step>,
    pub faults: Vec<Fault>,
    /// One way, in us.
    pub latency: (Micros, Micros),
    /// Bytes arrive in pieces.
    pub slicing: bool,
    /// Timers fire up to this much late.
    pub timer_delay: Micros,
    pub passwords: Login,
    /// A server ends a connection this long after the last login on it. With a password function only.
    pub login_life: Option<Micros>,
    /// Connections to a server.
    pub connections: u8,
    /// How long after the last fault all decisions have to come from Redis again.
    pub recovery: Micros,
}

/// How the engines log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    None,
    /// The passwords of the configuration: the next one, the current one.
    Passwords,
    /// A function gives the current one.
    Source,
}

#[derive(Debug, Clone)]
pub struct LimiterPlan {
    /// Limiters of one name share their logs.
    pub name: usize,
    pub window: Millis,
    /// Factor and window of the anomaly rule.
    pub anomaly: Option<(f64, Millis)>,
    pub policy: OnStoreError,
    pub deadline: Millis,
    pub deny_cache: Millis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserOp {
    Check,
    Limit,
    Status,
    Reset,
    Flush,
    /// A connection test.
    Test,
    /// The limiter is closed, after all that was submitted to it.
    Close,
    /// The worker thread ends, with checks in flight.
    End,
}

#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub at: Micros,
    pub engine: usize,
    pub limiter: usize,
    pub id: usize,
    pub op: UserOp,
    pub limit: u32,
    /// The same at once this many times more; `spread`: of one id after the other.
    pub burst: u32,
    pub spread: bool,
    /// After a denial the user returns at the promised moment, or about it, this many times.
    pub retries: u8,
}

#[derive(Debug, Clone, Copy)]
pub struct Fault {
    pub at: Micros,
    pub lasts: Micros,
    pub process: usize,
    pub node: usize,
    pub kind: FaultKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// F1: the server is gone, and comes back without its scripts. `silent`: so is its machine, and nothing is refused.
    Kill { silent: bool },
    /// F2, F3, F26: a replica that lacks the writes of the last `lag` takes over the node's shard. The former primary stays
    /// primary for its clients as long as the fault lasts, or is gone at once.
    Failover { lag: Micros, gone: bool },
    /// F4: the node that serves the slot of an id's key says that another one does, which says that this one does.
    Disagree { limiter: usize, id: usize },
    /// F5: the slot of an id's key moves to another shard.
    Migrate {
        limiter: usize,
        id: usize,
        to: usize,
    },
    /// F6.
    ClusterDown,
    /// F7.
    Loading,
    /// F8.
    MasterDown,
    /// F9: its connections are reset after this many more bytes of the server's.
    Cut { after: usize },
    /// F10: nothing passes between process and server, in one direction or both.
    BlackHole { up: bool, down: bool },
    /// F10: nothing passes on the connections that exist now, for ever.
    Dead,
    /// F11.
    Slow { extra: Micros },
    /// F12.
    Pause,
    /// F13.
    Busy,
    /// F14: after this many more script calls.
    ScriptFlush { after: u32 },
    /// F15.
    FullMemory,
    /// F15: its disk is full.
    Unwritable,
    /// F16.
    MaxClients,
    /// F18.
    Forbidden,
    /// F18: the server takes the next password besides the current one, and in the end only that.
    Rotate,
    /// F19.
    NameFails,
    /// F19.
    NameSlow,
    /// F20: no event reaches the process meanwhile. `suspends`: its steady clock stands still, too.
    Freeze { suspends: bool },
    /// F23.
    ServerClock { ms: i64 },
    /// F23.
    ProcessClock { ms: i64 },
    /// F24, F25.
    Tamper(Tamper),
    /// Another program writes the key.
    Foreign { limiter: usize, id: usize },
    /// F20: the server closes its connections.
    CloseIdle,
}

impl Fault {
    /// When it is over.
    pub fn until(&self) -> Micros {
        match self.kind {
            // It needs traffic.
            FaultKind::Cut { .. } | FaultKind::Tamper(_) => self.at + self.lasts.max(300 * MS),
            // The other password takes effect while both are valid.
            FaultKind::Rotate => self.at + self.lasts.max(SECOND),
            FaultKind::Failover { lag, .. } => self.at + lag + self.lasts,
            _ => self.at + self.lasts,
        }
    }
}

impl FaultKind {
    /// The limiter and the id that it concerns.
    pub(super) fn key(self) -> Option<(usize, usize)> {
        match self {
            Self::Migrate { limiter, id, .. }
            | Self::Disagree { limiter, id }
            | Self::Foreign { limiter, id } => Some((limiter, id)),
            _ => None,
        }
    }

    /// Whether every request is decided by Redis all the same.
    pub fn is_benign(self) -> bool {
        match self {
            Self::Migrate { .. }
            | Self::ScriptFlush { .. }
            | Self::Rotate
            | Self::ProcessClock { .. }
            | Self::ServerClock { .. } => true,
            Self::Slow { extra } => extra <= 3 * MS,
            _ => false,
        }
    }
}

impl Plan {
    pub fn engines(&self) -> usize {
        self.processes.iter().sum()
    }

    pub fn nodes(&self) -> usize {
        self.shards * (1 + self.replicas)
    }

    /// When the last fault is over.
    pub fn quiet_at(&self) -> Micros {
        self.faults.iter().map(Fault::until).max().unwrap_or(0)
    }

    /// No fault but those, and benign ones; and every deadline is long enough for new connections.
    pub fn has_only(&self, allowed: impl Fn(FaultKind) -> bool) -> bool {
        let waits = self.limiters.iter().map(|limiter| limiter.deadline).min();
        let mut kinds = self.faults.iter().map(|fault| fault.kind);
        kinds.all(|kind| kind.is_benign() || allowed(kind))
            && waits.is_some_and(|deadline| deadline * MS > 16 * self.latency.1 + 120 * MS)
    }

    /// No faults but processes that stand still: long enough that it is noticed, or so shortly that it does not matter.
    pub fn has_only_long_freezes(&self) -> bool {
        let deadlines = self.limiters.iter().map(|limiter| limiter.deadline * MS);
        let (shortest, longest) = (deadlines.clone().min(), deadlines.max());
        let noticed = |fault: &Fault| {
            let lasts = Some(fault.lasts);
            lasts < shortest.map(|shortest| shortest / 4)
                || lasts > longest.map(|longest| longest + 600 * MS)
        };
        let freezes = |kind| matches!(kind, FaultKind::Freeze { .. });
        let mut freezing = self.faults.iter().filter(|fault| freezes(fault.kind));
        self.has_only(freezes) && freezing.all(noticed)
    }

    /// Whether the server behind the name may have been demoted, which each of several connections has to find out by itself.
    pub fn has_failover_by_name(&self) -> bool {
        let fails_over = |fault: &Fault| matches!(fault.kind, FaultKind::Failover { .. });
        !self.clustered && self.faults.iter().any(fails_over)
    }

    pub fn is_benign(&self) -> bool {
        let ends = |step: &Step| matches!(step.op, UserOp::End | UserOp::Close);
        self.has_only(|_| false) && !self.steps.iter().any(ends)
    }
}

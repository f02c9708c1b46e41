//! Defects planted in the product, to see that the simulator finds each of them: with the feature `planted-defects` only, and for
//! the thread that has planted one. Without the feature `planted!` is `false`.

#[cfg(feature = "planted-defects")]
use std::cell::Cell;

/// Whether the defect of this name is planted.
#[cfg(not(feature = "planted-defects"))]
macro_rules! planted {
    ($defect:ident) => {
        false
    };
}

/// Whether the defect of this name is planted.
#[cfg(feature = "planted-defects")]
macro_rules! planted {
    ($defect:ident) => {
        $crate::planted::is_planted($crate::planted::Defect::$defect)
    };
}

pub(crate) use planted;

#[cfg(feature = "planted-defects")]
macro_rules! defects {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// A defect.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Defect {
            $($(#[$doc])* $name,)+
        }

        impl Defect {
            /// Every defect.
            pub const ALL: &[Self] = &[$(Self::$name),+];
        }
    };
}

#[cfg(feature = "planted-defects")]
defects! {
    /// A call in flight is sent again when its connection has ended.
    ResendAfterLoss,
    /// A call is sent again when its deadline has passed.
    ResendAfterTimeout,
    /// A replay that was entered is sent once more.
    ReplayTwice,
    /// A replay that may have been entered is sent as often as that is so.
    ReplayDoubtForever,
    /// Admissions are entered at the moment at which they arrive.
    ReplayAtArrival,
    /// A replay that the store has refused is dropped.
    ReplayDropped,
    /// The breaker closes before the replay.
    CloseBeforeReplay,
    /// A claim on pending replays outlives its limiter.
    ClaimNotReleased,
    /// The local log grants one more than the limit.
    LocalOverLimit,
    /// A redirect does not lead to a new shard map.
    TrustStaleMap,
    /// The slot is that of the whole key.
    SlotOfWholeKey,
    /// ASK is followed without ASKING.
    SkipAsking,
    /// TRYAGAIN is an error.
    TryAgainFails,
    /// A redirected group of requests is forgotten.
    RedirectForgotten,
    /// The tag of a reply is not compared.
    NoTagCheck,
    /// A reply after the deadline completes the request again.
    CountLateReply,
    /// An error for one key is taken for an admission.
    ErrorAdmits,
    /// An outcome is given to the request before its own.
    ResultsShifted,
    /// A question for the status takes a slot.
    StatusTakesSlot,
    /// A server that lacks the script fails the requests.
    NoscriptFails,
    /// If a server lacked the script for one group, all are sent again.
    NoscriptResendsAll,
    /// A denial is repeated for two milliseconds too long.
    DenyCacheLong,
    /// A denial is repeated as if it had been decided when it arrived.
    DenyFromReceipt,
    /// A denial under one limit is repeated under a larger one.
    DenyLargerLimit,
    /// A denial is repeated after a reset.
    DenyAfterReset,
    /// Some checks are sent while the breaker is open.
    OpenBreakerSends,
    /// Probes follow each other without a delay.
    ProbeStorm,
    /// A process that stood still blames the store.
    FreezeIsFailure,
    /// The deadline of a request that waits sets no timer.
    DeadlineNotArmed,
    /// Calls in flight are forgotten with their connection.
    LostWithConnection,
    /// A connection that was idle is used without a PING.
    NoHealthCheck,
    /// The connection to a replica is kept.
    KeepReadOnly,
    /// A name is looked up once.
    OneAddress,
    /// Only the first password is tried.
    OnePassword,
    /// Attempts to connect follow each other without a delay.
    NoReconnectDelay,
    /// A replay that was never sent is taken for one that may be entered.
    UnsentInDoubt,
    /// The answer to a reset concerns the deny cache of its own shard only.
    ResetOfOneShard,
    /// Replies that are out of step are not noticed where nobody waits for them.
    OutOfStepUnnoticed,
    /// Calls for several slots and the next call share tags, and a connection is kept after a wrong one.
    TagsOverlap,
    /// An anomaly is not reported.
    AnomalyDropped,
    /// Every denial after an anomaly is one, too.
    AnomalyEveryDenial,
    /// A batch holds up to 100 requests.
    BatchTooLarge,
}

#[cfg(feature = "planted-defects")]
thread_local! {
    static PLANTED: Cell<Option<Defect>> = const { Cell::new(None) };
}

/// Plants a defect for this thread, or none.
#[cfg(feature = "planted-defects")]
pub fn plant(defect: Option<Defect>) {
    PLANTED.set(defect);
}

#[cfg(feature = "planted-defects")]
pub(crate) fn is_planted(defect: Defect) -> bool {
    PLANTED.get() == Some(defect)
}

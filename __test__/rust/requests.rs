//! Short constructors of the requests, rules and scopes that tests use.

use huntaze_rate_limit::quota::{
    AnomalyRule, Id, Limit, Millis, Namespace, Outcome, Rules, Window,
};
use huntaze_rate_limit::store::{Op, Request, Scope, StoreError};

use crate::store::Store;

pub fn limit(n: u32) -> Limit {
    Limit::new(n).unwrap()
}

pub fn window(ms: Millis) -> Window {
    Window::new(ms).unwrap()
}

pub fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

/// Rules over a window of `ms` that never report an anomaly.
pub fn plain_rules(ms: Millis) -> Rules {
    Rules {
        window: window(ms),
        anomaly: None,
    }
}

/// Rules that report an anomaly: more than `factor` times the limit within `anomaly_ms`.
pub fn anomaly_rules(ms: Millis, factor: f64, anomaly_ms: Millis) -> Rules {
    let rule = AnomalyRule::new(factor, window(anomaly_ms), window(ms)).unwrap();
    Rules {
        window: window(ms),
        anomaly: Some(rule),
    }
}

pub fn scope(name: &str, rules: Rules) -> Scope {
    Scope {
        name: Namespace::new(name).unwrap(),
        rules,
    }
}

pub fn request(op: Op, who: &str, n: u32) -> Request {
    Request {
        op,
        id: id(who),
        limit: limit(n),
    }
}

/// One request, alone in its batch.
pub async fn ask<S: Store>(
    store: &S,
    scope: &Scope,
    op: Op,
    who: &str,
    n: u32,
) -> Result<Outcome, StoreError> {
    let mut results = store.run(scope, &[request(op, who, n)]).await;
    assert_eq!(results.len(), 1, "one result a request");
    results.remove(0)
}

//! The names and bounds that the face shares with the limiter: said once, in Rust.

use napi_derive::napi;

use super::record::RECORD_FIELDS;
use crate::limiter::OnStoreError;
use crate::quota::{AnomalyRule, MAX_ID_BYTES, MAX_LIMIT, MAX_WINDOW_MS, Plan, escape};
use crate::store::Source;
use crate::store::redis::{MAX_CONNECTIONS, config_env};

/// What the face has to know of this binary.
#[napi(object)]
pub struct Constants {
    /// The version of the package it was built for.
    pub version: String,
    pub plans: Vec<String>,
    pub plan_limits: Vec<u32>,
    pub sources: Vec<String>,
    pub store_error_policies: Vec<String>,
    /// The environment variables that are read.
    pub variables: Vec<String>,
    pub max_limit: u32,
    pub max_window_ms: f64,
    pub max_id_bytes: u32,
    pub max_connections: u32,
    pub min_anomaly_factor: f64,
    pub max_anomaly_factor: f64,
    /// Numbers in a record of the mailbox.
    pub record_fields: u32,
}

/// The names and bounds of this binary.
#[napi]
pub fn constants() -> Constants {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Constants {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        plans: owned(&Plan::ALL.map(Plan::name)),
        plan_limits: Plan::ALL.map(|p| p.default_limit().get()).to_vec(),
        sources: owned(&Source::ALL.map(Source::name)),
        store_error_policies: owned(&OnStoreError::ALL.map(OnStoreError::name)),
        variables: config_env::variables().map(str::to_owned).collect(),
        max_limit: MAX_LIMIT,
        max_window_ms: MAX_WINDOW_MS as f64,
        max_id_bytes: MAX_ID_BYTES as u32,
        max_connections: u32::from(MAX_CONNECTIONS),
        min_anomaly_factor: AnomalyRule::MIN_FACTOR,
        max_anomaly_factor: AnomalyRule::MAX_FACTOR,
        record_fields: RECORD_FIELDS as u32,
    }
}

/// `id` as it may stand in a log line: every byte that could be misread as `%XX`, as in its key.
#[napi]
pub fn escape_id(id: String) -> String {
    escape(&id)
}

//! From the options of JavaScript to the values a limiter is built from. JavaScript has checked types and ranges. URLs,
//! certificates and environment variables are checked here.

use std::sync::Arc;
use std::time::Duration;

use napi_derive::napi;

use crate::limiter::{OnStoreError, Times};
use crate::quota::{AnomalyRule, Namespace, Rules, Window};
use crate::store::Scope;
use crate::store::redis::config_env::{
    ConfigError, Environment, at_host, from_environment, from_url,
};
use crate::store::redis::{Credentials, PasswordSource, RedisConfig, Secret};

/// A limiter's options.
#[napi(object)]
pub struct LimiterOptions {
    pub name: String,
    pub window_ms: f64,
    /// Absent: no anomalies.
    pub anomaly: Option<AnomalyOptions>,
    /// The index of the policy in [`OnStoreError::ALL`].
    pub on_store_error: u32,
    pub timeout_ms: u32,
    pub deny_cache_ms: u32,
}

/// The anomaly rule.
#[napi(object)]
pub struct AnomalyOptions {
    pub factor: f64,
    pub window_ms: f64,
}

/// The options of a Redis.
#[napi(object)]
pub struct RedisOptions {
    pub url: Option<String>,
    pub host: Option<String>,
    pub port: Option<u32>,
    pub username: Option<String>,
    pub passwords: Option<Vec<String>>,
    /// Whether a password function is called at each connect.
    pub password_source: bool,
    pub database: Option<u32>,
    /// Absent: the URL or the host decides.
    pub tls: Option<bool>,
    pub ca: Option<String>,
    pub servername: Option<String>,
    pub cluster: Option<bool>,
    pub connections: Option<u32>,
    pub connect_timeout_ms: Option<u32>,
    /// Absent: that of ElastiCache. No option of the package; tests set it.
    pub login_life_ms: Option<u32>,
}

/// The values a limiter is built from.
pub(super) struct Settings {
    pub(super) scope: Scope,
    pub(super) policy: OnStoreError,
    pub(super) times: Times,
}

/// # Errors
/// A text that names the option, if JavaScript has let a wrong value through.
pub(super) fn settings(options: LimiterOptions) -> Result<Settings, String> {
    let window = window(options.window_ms)?;
    let anomaly = match options.anomaly {
        None => None,
        Some(anomaly) => {
            let counted = self::window(anomaly.window_ms)?;
            Some(AnomalyRule::new(anomaly.factor, counted, window).map_err(|e| e.to_string())?)
        }
    };
    let policy = OnStoreError::ALL.get(options.on_store_error as usize);
    Ok(Settings {
        scope: Scope {
            name: Namespace::new(options.name).map_err(|e| e.to_string())?,
            rules: Rules { window, anomaly },
        },
        policy: *policy.ok_or("no such policy")?,
        times: Times {
            deadline: Duration::from_millis(u64::from(options.timeout_ms)),
            deny_cache: Duration::from_millis(u64::from(options.deny_cache_ms)),
        },
    })
}

fn window(ms: f64) -> Result<Window, String> {
    // A float outside the range saturates, and is then refused as out of range.
    Window::new(ms as u64).map_err(|e| e.to_string())
}

/// The configuration of the Redis from `options`, or else from `variables`; `None`: the embedded store.
///
/// # Errors
/// [`ConfigError`] that names the option or the variable.
pub(super) fn redis_config(
    options: Option<RedisOptions>,
    variables: Vec<Vec<String>>,
    source: impl FnOnce() -> Arc<dyn PasswordSource>,
) -> Result<Option<RedisConfig>, ConfigError> {
    // Pairs, not an object: napi would also read inherited properties.
    let pair = |pair: Vec<String>| {
        <[String; 2]>::try_from(pair)
            .ok()
            .map(<(String, String)>::from)
    };
    let env = Environment::new(variables.into_iter().filter_map(pair));
    match options {
        None => from_environment(&env),
        Some(options) => from_options(options, &env, source).map(Some),
    }
}

fn from_options(
    options: RedisOptions,
    env: &Environment,
    source: impl FnOnce() -> Arc<dyn PasswordSource>,
) -> Result<RedisConfig, ConfigError> {
    // Numbers that do not fit have been refused in JavaScript.
    let database = options.database.map(|number| number as u16);
    let (name, server) = match (&options.url, &options.host) {
        (Some(url), _) => {
            let database = database.map(|number| ("redis.database", number));
            ("redis.url", from_url("redis.url", url, database)?)
        }
        (None, host) => {
            let host = host.as_deref().unwrap_or("localhost");
            ("redis.host", at_host("redis.host", host)?)
        }
    };
    let credentials = match (options.password_source, options.passwords) {
        (true, _) => Some(Credentials::Source(source())),
        (false, passwords) => passwords
            .map(|list| Credentials::Passwords(list.into_iter().map(Secret::new).collect())),
    };
    let time = |ms: Option<u32>| ms.map(|ms| Duration::from_millis(u64::from(ms)));
    RedisConfig::builder(name, server)
        .port(options.port.map(|port| port as u16))
        .database(database)
        .username("redis.username", options.username)
        .credentials(credentials)
        .tls("redis.tls", options.tls)
        .verification(options.ca, options.servername)
        .extra_ca_file(env.extra_ca_file())
        .cluster("redis.cluster", options.cluster)
        .connections(options.connections.map(|count| count as u8))
        .connect_timeout(time(options.connect_timeout_ms))
        .login_life(time(options.login_life_ms))
        .build()
}

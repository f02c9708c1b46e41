//! Redis 7.0 or later as a store: its configuration, the scripts that decide atomically, the protocol, and the slots of a cluster. The
//! engine uses them; nothing here does I/O but the TLS client, which reads the file of an authority.

mod address_health;
pub(crate) mod backoff;
pub mod cluster;
mod config;
mod config_builder;
pub mod config_env;
mod config_url;
mod connection_stats;
pub mod error_map;
mod host;
pub mod protocol;
pub mod script;
pub(crate) mod tls;

pub(crate) use address_health::AddressHealth;
pub use cluster::redirect::Redirect;
pub use config::{
    Credentials, LOGIN_LIFE, MAX_CONNECTIONS, PasswordAnswer, PasswordSource, RedisConfig, Secret,
    TlsConfig,
};
pub use connection_stats::ConnectionStats;
pub use tls::certificates;

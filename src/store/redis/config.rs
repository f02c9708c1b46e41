//! The Redis to use and how to connect to it: values that are already validated.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::store::StoreError;

/// The port of Redis where none is given.
const DEFAULT_PORT: u16 = 6379;

/// How long one connect may take, from the look-up of the name to the reply to AUTH. Connecting continues in the background
/// after the deadline of a check, so this is longer: a cold TLS handshake across zones takes some 10 ms, a slow resolver
/// hundreds.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_millis(1000);

/// How long ElastiCache accepts a login with an IAM token. (Amazon ElastiCache User Guide, "Authenticating with IAM",
/// Limitations.)
pub const LOGIN_LIFE: Duration = Duration::from_secs(12 * 60 * 60);

/// The most connections an engine may hold to one Redis, or to one node of a cluster.
pub const MAX_CONNECTIONS: u8 = 16;

/// Whether `name` can be that of a user: Redis allows no space and no NUL in it (acl.c, `ACLStringHasSpaces`).
pub(super) fn is_user(name: &str) -> bool {
    !name.contains(|c: char| c == '\0' || (c.is_ascii() && c.is_whitespace()))
}

/// A configuration that cannot work. The message names the variable or option and a remedy, never the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} {problem}")]
pub struct ConfigError {
    name: String,
    problem: String,
}

impl ConfigError {
    pub(super) fn new(name: &str, problem: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            problem: problem.into(),
        }
    }
}

/// A text that must never be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself, which only the server may see.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The answer of a [`PasswordSource`].
pub type PasswordAnswer = Pin<Box<dyn Future<Output = Result<Secret, StoreError>> + Send>>;

/// A function of the application that returns the password for each connect.
pub trait PasswordSource: Send + Sync {
    /// The password to use now.
    fn password(&self) -> PasswordAnswer;

    /// The password to use after the server has rejected the last one: a source that caches passwords gets a new one.
    fn after_rejection(&self) -> PasswordAnswer {
        self.password()
    }
}

/// How to authenticate.
#[derive(Clone)]
pub enum Credentials {
    /// Passwords to try in order, so that a token can be rotated. Without one there is no AUTH.
    Passwords(Vec<Secret>),
    /// A source that is asked at each connect, and before a login expires.
    Source(Arc<dyn PasswordSource>),
}

impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Passwords(a), Self::Passwords(b)) => a == b,
            (Self::Source(a), Self::Source(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passwords(list) => write!(f, "{} password(s)", list.len()),
            Self::Source(_) => f.write_str("a password source"),
        }
    }
}

/// How to verify the server's certificate. It is always verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// PEM certificates to trust instead of the public ones.
    pub ca: Option<String>,
    /// A PEM file with more certificates to trust (`NODE_EXTRA_CA_CERTS`).
    pub extra_ca_file: Option<String>,
    /// The name in the server's certificate, if it is not the host.
    pub server_name: Option<String>,
}

/// The configuration of a Redis.
#[derive(Debug, Clone, PartialEq)]
pub struct RedisConfig {
    /// A name or an address, without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The ACL user; `None`: the default user.
    pub username: Option<String>,
    /// How to authenticate.
    pub credentials: Credentials,
    /// The database to select.
    pub database: u16,
    /// `None`: plain TCP.
    pub tls: Option<TlsConfig>,
    /// Whether the server is a Redis Cluster; `None`: the server is asked.
    pub cluster: Option<bool>,
    /// The connections of an engine, to each primary of a cluster: 1 to [`MAX_CONNECTIONS`].
    pub connections: u8,
    /// How long one connect may take.
    pub connect_timeout: Duration,
    /// How long a login with a password of a [`PasswordSource`] is valid. ElastiCache defines it. No option of the package, but set
    /// by tests.
    pub login_life: Duration,
}

impl RedisConfig {
    /// Host, port and database, which identify the logs.
    pub fn endpoint(&self) -> String {
        format!("{}:{}/{}", self.host, self.port, self.database)
    }

    /// Host and port as text.
    pub(crate) fn address(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// The configuration for another node of the cluster.
    pub(crate) fn at(&self, host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
            ..self.clone()
        }
    }
}

/// The default configuration for a Redis at `host`.
pub fn with_defaults(host: &str) -> RedisConfig {
    RedisConfig {
        host: host.to_owned(),
        port: DEFAULT_PORT,
        username: None,
        credentials: Credentials::Passwords(Vec::new()),
        database: 0,
        tls: None,
        cluster: None,
        connections: 1,
        connect_timeout: DEFAULT_CONNECT_TIMEOUT,
        login_life: LOGIN_LIFE,
    }
}

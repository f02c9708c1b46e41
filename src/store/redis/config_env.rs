//! From options and environment variables to a [`RedisConfig`], or to an error that names the mend.

use std::collections::HashMap;
use std::fmt;

use super::config::{
    Credentials, DEFAULT_CONNECT_TIMEOUT, DEFAULT_PORT, RedisConfig, Secret, is_user,
};
pub use super::config_url::from_url;
pub use super::host::{at_host, without_brackets};
use super::login::LOGIN_LIFE;
use super::tls::is_server_name;

const URL: [&str; 2] = ["ELASTICACHE_REDIS_URL", "REDIS_URL"];
const HOST: [&str; 2] = ["ELASTICACHE_REDIS_HOST", "REDIS_HOST"];
const PORT: [&str; 2] = ["ELASTICACHE_REDIS_PORT", "REDIS_PORT"];
const USERNAME: [&str; 2] = ["ELASTICACHE_REDIS_USERNAME", "REDIS_USERNAME"];
const PASSWORD: [&str; 4] = [
    "ELASTICACHE_REDIS_AUTH_TOKEN",
    "ELASTICACHE_REDIS_PASSWORD",
    "REDIS_AUTH_TOKEN",
    "REDIS_PASSWORD",
];
const TLS: [&str; 3] = ["ELASTICACHE_REDIS_TLS", "REDIS_TLS", "REDIS_SSL_ENABLED"];
const EXTRA_CA: [&str; 1] = ["NODE_EXTRA_CA_CERTS"];
const CLUSTER: [&str; 2] = ["ELASTICACHE_REDIS_CLUSTER", "REDIS_CLUSTER_MODE"];
const DATABASE: [&str; 2] = ["REDIS_DATABASE", "REDIS_DB"];

/// Every variable that is read, in the order in which the first set one wins.
pub fn variables() -> impl Iterator<Item = &'static str> {
    let groups: [&[&str]; 9] = [
        &URL, &HOST, &PORT, &USERNAME, &PASSWORD, &TLS, &EXTRA_CA, &CLUSTER, &DATABASE,
    ];
    groups.into_iter().flatten().copied()
}

/// A configuration that cannot work. The message names the variable or option and the mend, never the secret.
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

/// The environment as the application sees it; a variable set to an empty text counts as not set.
#[derive(Clone, Default)]
pub struct Environment(HashMap<String, String>);

impl fmt::Debug for Environment {
    /// The names alone: the values hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// Keeps what is set.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(
            variables
                .into_iter()
                .filter(|(_, v)| !v.is_empty())
                .collect(),
        )
    }

    /// As it is, blanks and all.
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The first that is set, without the blanks around it: files of variables and templates leave some there.
    fn first<'a>(&'a self, names: &[&'a str]) -> Result<Option<(&'a str, &'a str)>, ConfigError> {
        let set = |&name: &&'a str| self.get(name).map(|value| (name, value));
        let Some((name, value)) = names.iter().find_map(set) else {
            return Ok(None);
        };
        not_blank(name, value)?;
        Ok(Some((name, value.trim())))
    }

    fn username(&self) -> Result<Option<String>, ConfigError> {
        match self.first(&USERNAME)? {
            Some((name, user)) if !is_user(user) => Err(ConfigError::new(
                name,
                "must be the name of a user of Redis, which has no space in it",
            )),
            found => Ok(found.map(|(_, user)| user.to_owned())),
        }
    }

    fn flag<'a>(&'a self, names: &[&'a str]) -> Result<Option<(&'a str, bool)>, ConfigError> {
        let Some((name, value)) = self.first(names)? else {
            return Ok(None);
        };
        match value.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => Ok(Some((name, true))),
            "false" | "0" | "no" => Ok(Some((name, false))),
            _ => Err(ConfigError::new(
                name,
                "must be true, 1 or yes, or false, 0 or no",
            )),
        }
    }

    fn number<'a>(
        &'a self,
        names: &[&'a str],
        least: u16,
    ) -> Result<Option<(&'a str, u16)>, ConfigError> {
        let Some((name, value)) = self.first(names)? else {
            return Ok(None);
        };
        match value.parse::<u16>() {
            Ok(number) if number >= least => Ok(Some((name, number))),
            _ => Err(ConfigError::new(
                name,
                format!("must be a whole number from {least} to 65535"),
            )),
        }
    }
}

/// Where the Redis is, from the environment; `None` when neither a URL nor a host is set.
///
/// # Errors
/// [`ConfigError`] for a variable that is set to something unusable.
pub fn from_environment(env: &Environment) -> Result<Option<RedisConfig>, ConfigError> {
    let (name, mut config) = if let Some((name, url)) = env.first(&URL)? {
        let mut config = from_url(name, url, env.number(&DATABASE, 0)?)?;
        if config.username.is_none() {
            config.username = env.username()?;
        }
        (name, config)
    } else if let Some((name, host)) = env.first(&HOST)? {
        let mut config = at_host(name, host_alone(name, host)?)?;
        config.port = env.number(&PORT, 1)?.map_or(DEFAULT_PORT, |(_, port)| port);
        config.username = env.username()?;
        config.database = env.number(&DATABASE, 0)?.map_or(0, |(_, number)| number);
        (name, config)
    } else {
        return Ok(None);
    };
    let Credentials::Passwords(passwords) = &mut config.credentials else {
        unreachable!("a URL and a host carry passwords, never a source")
    };
    for name in PASSWORD {
        // A blank may be part of one.
        let Some(text) = env.get(name) else { continue };
        not_blank(name, text)?;
        let password = Secret::new(text);
        if !passwords.contains(&password) {
            passwords.push(password);
        }
    }
    match env.flag(&TLS)? {
        Some((_, true)) => {
            config.tls.get_or_insert_default();
        }
        Some((name, false)) if config.tls.is_some() => {
            return Err(tls_conflict(name));
        }
        Some((_, false)) => {}
        None => protect_password(&mut config),
    }
    trust_extra_ca(&mut config, env);
    check_server_name(name, &config)?;
    if let Some((name, cluster)) = env.flag(&CLUSTER)? {
        config.cluster = Some(cluster);
        check_cluster(name, &config)?;
    }
    Ok(Some(config))
}

/// # Errors
/// [`ConfigError`] for a URL, or a host with its port.
fn host_alone<'a>(name: &str, host: &'a str) -> Result<&'a str, ConfigError> {
    let problem = if host.contains('/') || host.contains('@') {
        "must be a host name alone; put a redis:// or rediss:// URL in REDIS_URL"
    } else if host.matches(':').count() == 1 {
        // Two colons and more are an IPv6 address.
        "must be a host name alone; put the port in REDIS_PORT"
    } else {
        return Ok(host);
    };
    Err(ConfigError::new(name, problem))
}

/// Turns TLS on where a password would travel to ElastiCache, which takes one over TLS only.
pub fn protect_password(config: &mut RedisConfig) {
    let has_password = match &config.credentials {
        Credentials::Passwords(passwords) => !passwords.is_empty(),
        Credentials::Source(_) => true,
    };
    let host = config.host.to_ascii_lowercase();
    if has_password && host.trim_end_matches('.').ends_with(".cache.amazonaws.com") {
        config.tls.get_or_insert_default();
    }
}

/// Adds the certificates that Node.js itself trusts besides the public ones.
pub fn trust_extra_ca(config: &mut RedisConfig, env: &Environment) {
    if let Some(tls) = &mut config.tls {
        tls.extra_ca_file = env.get(EXTRA_CA[0]).map(str::to_owned);
    }
}

/// The error for a URL that asks for TLS where `name` turns it off.
pub fn tls_conflict(name: &str) -> ConfigError {
    ConfigError::new(
        name,
        "turns TLS off, but the URL is rediss://; remove the one or use redis://",
    )
}

/// The error for a URL with a user where `name` says another.
pub fn other_user(name: &str) -> ConfigError {
    ConfigError::new(
        name,
        "is another user than that of the URL; remove one of the two",
    )
}

/// The error for a text with no certificate in it, or with one that cannot be read.
pub fn unreadable_ca(name: &str) -> ConfigError {
    let problem = "must hold at least one certificate in PEM form, and whole ones only: the text of the file, not its path";
    ConfigError::new(name, problem)
}

/// Refuses a server of TLS by a name that no certificate can hold. `name` is the variable or option of the host.
///
/// # Errors
/// [`ConfigError`] for such a host, or server name.
pub fn check_server_name(name: &str, config: &RedisConfig) -> Result<(), ConfigError> {
    let Some(tls) = &config.tls else {
        return Ok(());
    };
    match &tls.server_name {
        Some(server_name) if !is_server_name(server_name) => Err(ConfigError::new(
            "redis.tls.servername",
            "must be a DNS name or an address, as the certificate has it: redis.example.com, say",
        )),
        None if !is_server_name(&config.host) => Err(ConfigError::new(
            name,
            "must have a host that a certificate can name, a DNS name or an address, since TLS is on; or set redis.tls.servername",
        )),
        _ => Ok(()),
    }
}

fn not_blank(name: &str, value: &str) -> Result<(), ConfigError> {
    if value.trim().is_empty() {
        let problem = "holds nothing but blanks; give it a value, or remove it";
        return Err(ConfigError::new(name, problem));
    }
    Ok(())
}

/// Refuses what a Redis Cluster cannot do. `name` is the variable or option that asks for one.
///
/// # Errors
/// [`ConfigError`] for a database number.
pub fn check_cluster(name: &str, config: &RedisConfig) -> Result<(), ConfigError> {
    if config.cluster != Some(true) || config.database == 0 {
        return Ok(());
    }
    let problem =
        "asks for a Redis Cluster, which has database 0 only; remove the database or the cluster";
    Err(ConfigError::new(name, problem))
}

/// A Redis at `host` with everything else as by default.
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

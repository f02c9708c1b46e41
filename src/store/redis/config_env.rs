//! From environment variables to a [`RedisConfig`], or to an error that names a remedy.

use std::collections::HashMap;
use std::fmt;

pub use super::config::{ConfigError, with_defaults};
use super::config::{Credentials, RedisConfig, Secret, is_user};
pub use super::config_url::from_url;
pub(crate) use super::host::at_host;

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

/// Every variable that is read. In each group the first one that is set wins.
pub fn variables() -> impl Iterator<Item = &'static str> {
    let groups: [&[&str]; 9] = [
        &URL, &HOST, &PORT, &USERNAME, &PASSWORD, &TLS, &EXTRA_CA, &CLUSTER, &DATABASE,
    ];
    groups.into_iter().flatten().copied()
}

/// The environment variables of the application. A variable with an empty value counts as not set.
#[derive(Clone, Default)]
pub struct Environment(HashMap<String, String>);

impl fmt::Debug for Environment {
    /// Prints the names only: the values hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// Keeps the variables that are not empty.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(
            variables
                .into_iter()
                .filter(|(_, v)| !v.is_empty())
                .collect(),
        )
    }

    /// The value with its blanks.
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The first variable that is set and its value, trimmed: files of variables and templates leave blanks there.
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

    /// The password of the URL, if it has one, and then those of the variables.
    fn passwords(&self, of_url: &Credentials) -> Result<Credentials, ConfigError> {
        let Credentials::Passwords(passwords) = of_url else {
            unreachable!("a URL and a host carry passwords, never a source")
        };
        let mut passwords = passwords.clone();
        for name in PASSWORD {
            // Blanks may be part of a password.
            let Some(text) = self.get(name) else { continue };
            not_blank(name, text)?;
            let password = Secret::new(text);
            if !passwords.contains(&password) {
                passwords.push(password);
            }
        }
        Ok(Credentials::Passwords(passwords))
    }

    /// The file with the certificates that Node.js trusts in addition to the public ones.
    pub(crate) fn extra_ca_file(&self) -> Option<String> {
        self.get(EXTRA_CA[0]).map(str::to_owned)
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
        min: u16,
    ) -> Result<Option<(&'a str, u16)>, ConfigError> {
        let Some((name, value)) = self.first(names)? else {
            return Ok(None);
        };
        match value.parse::<u16>() {
            Ok(number) if number >= min => Ok(Some((name, number))),
            _ => Err(ConfigError::new(
                name,
                format!("must be a whole number from {min} to 65535"),
            )),
        }
    }
}

/// The configuration from the environment; `None` if neither a URL nor a host is set.
///
/// # Errors
/// [`ConfigError`] for a variable with an unusable value.
pub fn from_environment(env: &Environment) -> Result<Option<RedisConfig>, ConfigError> {
    let (name, server) = if let Some((name, url)) = env.first(&URL)? {
        let mut server = from_url(name, url, env.number(&DATABASE, 0)?)?;
        // The user of the URL wins.
        if server.username.is_none() {
            server.username = env.username()?;
        }
        (name, server)
    } else if let Some((name, host)) = env.first(&HOST)? {
        let mut server = at_host(name, host_alone(name, host)?)?;
        server.port = env.number(&PORT, 1)?.map_or(server.port, |(_, port)| port);
        server.username = env.username()?;
        server.database = env.number(&DATABASE, 0)?.map_or(0, |(_, number)| number);
        (name, server)
    } else {
        return Ok(None);
    };
    let passwords = env.passwords(&server.credentials)?;
    let mut builder = RedisConfig::builder(name, server)
        .credentials(Some(passwords))
        .extra_ca_file(env.extra_ca_file());
    if let Some((name, tls)) = env.flag(&TLS)? {
        builder = builder.tls(name, Some(tls));
    }
    if let Some((name, cluster)) = env.flag(&CLUSTER)? {
        builder = builder.cluster(name, Some(cluster));
    }
    builder.build().map(Some)
}

/// # Errors
/// [`ConfigError`] for a URL, or a host with its port.
fn host_alone<'a>(name: &str, host: &'a str) -> Result<&'a str, ConfigError> {
    let problem = if host.contains('/') || host.contains('@') {
        "must be a host name alone; put a redis:// or rediss:// URL in REDIS_URL"
    } else if host.matches(':').count() == 1 {
        // Two or more colons are an IPv6 address.
        "must be a host name alone; put the port in REDIS_PORT"
    } else {
        return Ok(host);
    };
    Err(ConfigError::new(name, problem))
}

fn not_blank(name: &str, value: &str) -> Result<(), ConfigError> {
    if value.trim().is_empty() {
        let problem = "holds nothing but blanks; give it a value, or remove it";
        return Err(ConfigError::new(name, problem));
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests;

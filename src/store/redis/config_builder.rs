//! From options or environment variables, each valid by itself, to a [`RedisConfig`]: the rules that concern several of them.
//! Both sources obey the same rules.

use std::time::Duration;

use super::config::{ConfigError, Credentials, RedisConfig, TlsConfig};
use super::host::without_brackets;
use super::tls::{authorities, is_server_name};

/// Collects values and [checks](Self::build) them together. `None` changes nothing. `name` is the variable or option of a
/// value, for the error message.
pub(crate) struct RedisConfigBuilder<'a> {
    config: RedisConfig,
    server: &'a str,
    username: Option<(&'a str, String)>,
    tls: Option<(&'a str, bool)>,
    trust: TlsConfig,
    cluster: &'a str,
}

impl RedisConfig {
    /// Begins with the configuration of a URL or a host, which the variable or option `name` holds.
    pub(crate) fn builder(name: &str, server: RedisConfig) -> RedisConfigBuilder<'_> {
        RedisConfigBuilder {
            config: server,
            server: name,
            username: None,
            tls: None,
            trust: TlsConfig::default(),
            cluster: "",
        }
    }
}

impl<'a> RedisConfigBuilder<'a> {
    pub(crate) fn port(mut self, port: Option<u16>) -> Self {
        self.config.port = port.unwrap_or(self.config.port);
        self
    }

    pub(crate) fn database(mut self, database: Option<u16>) -> Self {
        self.config.database = database.unwrap_or(self.config.database);
        self
    }

    /// A user other than that of the URL is an error.
    pub(crate) fn username(mut self, name: &'a str, username: Option<String>) -> Self {
        self.username = username.map(|username| (name, username));
        self
    }

    /// Replaces those of the URL.
    pub(crate) fn credentials(mut self, credentials: Option<Credentials>) -> Self {
        self.config.credentials = credentials.unwrap_or(self.config.credentials);
        self
    }

    /// Off is an error where the URL turns TLS on.
    pub(crate) fn tls(mut self, name: &'a str, on: Option<bool>) -> Self {
        self.tls = on.map(|on| (name, on));
        self
    }

    /// The certificates to trust instead of the public ones (PEM), and the name in the server's certificate. Without effect if TLS
    /// is off.
    pub(crate) fn verification(mut self, ca: Option<String>, server_name: Option<String>) -> Self {
        self.trust.ca = ca;
        // An address in a certificate has no brackets.
        self.trust.server_name = server_name.map(|name| without_brackets(&name).to_owned());
        self
    }

    /// The file with the additional certificates that Node.js trusts. Without effect if TLS is off.
    pub(crate) fn extra_ca_file(mut self, path: Option<String>) -> Self {
        self.trust.extra_ca_file = path;
        self
    }

    /// Whether the server is a Redis Cluster, which has database 0 only.
    pub(crate) fn cluster(mut self, name: &'a str, cluster: Option<bool>) -> Self {
        self.cluster = name;
        self.config.cluster = cluster;
        self
    }

    pub(crate) fn connections(mut self, connections: Option<u8>) -> Self {
        self.config.connections = connections.unwrap_or(self.config.connections);
        self
    }

    pub(crate) fn connect_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.config.connect_timeout = timeout.unwrap_or(self.config.connect_timeout);
        self
    }

    pub(crate) fn login_life(mut self, life: Option<Duration>) -> Self {
        self.config.login_life = life.unwrap_or(self.config.login_life);
        self
    }

    /// Applies the rules.
    ///
    /// # Errors
    /// [`ConfigError`] for values that contradict each other, and for certificates and server names that no handshake
    /// could use.
    pub(crate) fn build(self) -> Result<RedisConfig, ConfigError> {
        let mut config = self.config;
        if let Some((name, username)) = self.username {
            if config.username.is_some_and(|other| other != username) {
                let problem = "is another user than that of the URL; remove one of the two";
                return Err(ConfigError::new(name, problem));
            }
            config.username = Some(username);
        }
        let encrypted = match self.tls {
            // Neither wins silently: one would send a password in the clear, the other would not connect.
            Some((name, false)) if config.tls.is_some() => {
                let problem =
                    "turns TLS off, but the URL is rediss://; remove the one or use redis://";
                return Err(ConfigError::new(name, problem));
            }
            Some((_, on)) => on,
            None => config.tls.is_some() || sends_password_to_elasticache(&config),
        };
        if encrypted {
            check_tls(&self.trust, &config.host, self.server)?;
            config.tls = Some(self.trust);
        }
        if config.cluster == Some(true) && config.database != 0 {
            let problem = "asks for a Redis Cluster, which has database 0 only; remove the database or the cluster";
            return Err(ConfigError::new(self.cluster, problem));
        }
        Ok(config)
    }
}

/// ElastiCache accepts a password over TLS only.
fn sends_password_to_elasticache(config: &RedisConfig) -> bool {
    let has_password = match &config.credentials {
        Credentials::Passwords(passwords) => !passwords.is_empty(),
        Credentials::Source(_) => true,
    };
    let host = config.host.to_ascii_lowercase();
    has_password && host.trim_end_matches('.').ends_with(".cache.amazonaws.com")
}

/// # Errors
/// [`ConfigError`] for certificates that cannot be read, and for a name that no certificate can hold. `server` is the
/// variable or option of the host.
fn check_tls(tls: &TlsConfig, host: &str, server: &str) -> Result<(), ConfigError> {
    if tls.ca.as_ref().is_some_and(|ca| authorities(ca).is_err()) {
        let problem = "must hold at least one certificate in PEM form, and whole ones only: the text of the file, not its path";
        return Err(ConfigError::new("redis.tls.ca", problem));
    }
    match &tls.server_name {
        Some(server_name) if !is_server_name(server_name) => Err(ConfigError::new(
            "redis.tls.servername",
            "must be a DNS name or an address, as the certificate has it: redis.example.com, say",
        )),
        None if !is_server_name(host) => Err(ConfigError::new(
            server,
            "must have a host that a certificate can name, a DNS name or an address, since TLS is on; or set redis.tls.servername",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::redis::Secret;
    use crate::store::redis::config::with_defaults;
    use crate::store::redis::config_url::from_url;

    fn at(host: &str) -> RedisConfigBuilder<'static> {
        RedisConfig::builder("redis.host", with_defaults(host))
    }

    fn from(url: &str) -> RedisConfigBuilder<'static> {
        let server = from_url("redis.url", url, None).expect("a URL");
        RedisConfig::builder("redis.url", server)
    }

    fn refused(builder: RedisConfigBuilder<'_>) -> String {
        builder.build().expect_err("a contradiction").to_string()
    }

    fn built(builder: RedisConfigBuilder<'_>) -> RedisConfig {
        builder.build().expect("a configuration")
    }

    #[test]
    fn a_value_that_is_not_given_changes_nothing() {
        let config = built(from("rediss://user:pw@there:7000/3"));
        let none = from("rediss://user:pw@there:7000/3")
            .port(None)
            .database(None)
            .username("redis.username", None)
            .credentials(None)
            .tls("redis.tls", None)
            .verification(None, None)
            .extra_ca_file(None)
            .cluster("redis.cluster", None)
            .connections(None)
            .connect_timeout(None)
            .login_life(None);
        assert_eq!(built(none), config);
        assert_eq!(config.endpoint(), "there:7000/3");
    }

    #[test]
    fn the_user_of_the_url_is_the_only_one() {
        let named = |user: &str| {
            from("redis://user@there").username("redis.username", Some(user.to_owned()))
        };
        assert_eq!(built(named("user")).username.as_deref(), Some("user"));
        let message = "redis.username is another user than that of the URL; remove one of the two";
        assert_eq!(refused(named("other")), message);
        let alone = at("there").username("redis.username", Some("other".to_owned()));
        assert_eq!(built(alone).username.as_deref(), Some("other"));
    }

    #[test]
    fn tls_is_what_the_option_and_the_url_agree_on() {
        let off = |builder: RedisConfigBuilder<'static>| builder.tls("redis.tls", Some(false));
        let message = refused(off(from("rediss://there")));
        assert!(message.starts_with("redis.tls turns TLS off"), "{message}");
        assert!(built(off(from("redis://there"))).tls.is_none());
        let on = from("redis://there").tls("redis.tls", Some(true));
        assert!(built(on).tls.is_some());
    }

    #[test]
    fn a_password_turns_tls_on_for_elasticache_alone() {
        let password = || Some(Credentials::Passwords(vec![Secret::new("pw")]));
        let host = "x.abc.euw1.cache.amazonaws.com";
        assert!(built(at(host).credentials(password())).tls.is_some());
        assert!(built(at(host)).tls.is_none());
        assert!(built(at("there").credentials(password())).tls.is_none());
        let off = at(host)
            .credentials(password())
            .tls("redis.tls", Some(false));
        assert!(built(off).tls.is_none());
    }

    #[test]
    fn what_to_trust_is_checked_where_tls_is_on() {
        let trusting =
            |ca: &str| at("there").verification(Some(ca.to_owned()), Some("[::1]".to_owned()));
        assert_eq!(built(trusting("no certificate")).tls, None);
        let message = refused(trusting("no certificate").tls("redis.tls", Some(true)));
        assert!(message.starts_with("redis.tls.ca must hold"), "{message}");
        let named = |name: &str| {
            let builder = at("127.1").verification(None, Some(name.to_owned()));
            builder.tls("redis.tls", Some(true))
        };
        let tls = built(named("[::1]")).tls.expect("TLS");
        assert_eq!(tls.server_name.as_deref(), Some("::1"));
        let message = refused(named("a b"));
        assert!(message.starts_with("redis.tls.servername "), "{message}");
        let message = refused(at("127.1").tls("redis.tls", Some(true)));
        assert!(message.starts_with("redis.host must have"), "{message}");
    }

    #[test]
    fn a_cluster_has_no_database() {
        let cluster = |database| {
            let builder = at("there").database(Some(database));
            builder.cluster("redis.cluster", Some(true))
        };
        assert_eq!(built(cluster(0)).cluster, Some(true));
        let message = refused(cluster(1));
        assert!(
            message.starts_with("redis.cluster asks for a Redis Cluster"),
            "{message}"
        );
        let alone = at("there").database(Some(1)).cluster("redis.cluster", None);
        assert_eq!(built(alone).database, 1);
    }
}

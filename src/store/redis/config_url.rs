//! From a `redis://` or `rediss://` URL to a [`RedisConfig`].

use url::{Host, Url};

use super::config::{
    ConfigError, Credentials, RedisConfig, Secret, TlsConfig, is_user, with_defaults,
};
use super::host::is_host;

/// Reads `redis://[user[:password]@]host[:port][/database]`, or `rediss://` for TLS. `name` is the variable or option of the
/// URL, `database` another one that gives the database, and its value.
///
/// # Errors
/// [`ConfigError`] for any other URL, in particular one that would turn verification off.
pub fn from_url(
    name: &str,
    text: &str,
    database: Option<(&str, u16)>,
) -> Result<RedisConfig, ConfigError> {
    let fail = |problem: &str| Err(ConfigError::new(name, problem));
    // The parser drops such characters silently, also from a password.
    let blank = |c: char| c.is_control() || c.is_whitespace();
    if text.starts_with(blank) || text.ends_with(blank) || text.contains(['\t', '\n', '\r']) {
        return fail("must be a URL without blanks around it, and without tabs and line breaks");
    }
    let Ok(url) = Url::parse(text) else {
        return fail("must be a URL such as redis://host:6379 or rediss://user:password@host:6379");
    };
    let tls = match url.scheme() {
        "redis" => false,
        "rediss" => true,
        "http" | "https" => {
            return fail(
                "is an http(s) URL, as Upstash's REST API uses; \
                 set the redis:// or rediss:// URL of your Redis or ElastiCache",
            );
        }
        _ => return fail("must begin with redis:// or rediss://"),
    };
    if url.fragment().is_some() {
        return fail("must have no #fragment; the server's certificate is always verified");
    }
    if url.query().is_some() {
        return fail("must have no ?query; use the other options or variables instead");
    }
    let host = match url.host() {
        Some(Host::Domain(domain)) if !domain.is_empty() => match decode(domain) {
            Some(domain) => domain,
            None => return fail("has a host that is not UTF-8"),
        },
        Some(Host::Ipv4(ip)) => ip.to_string(),
        Some(Host::Ipv6(ip)) => ip.to_string(),
        _ => return fail("must name a host, as in redis://host:6379"),
    };
    if !is_host(&host) {
        return fail(
            "must name a host or an address, as in redis://host:6379 or redis://[::1]:6379",
        );
    }
    let mut config = with_defaults(&host);
    match url.port() {
        Some(0) => return fail("must have a port from 1 to 65535"),
        Some(port) => config.port = port,
        None => {}
    }
    let path = url.path().trim_start_matches('/');
    if !path.is_empty() {
        match path.parse() {
            Ok(database) => config.database = database,
            Err(_) => {
                return fail("must end in the number of a database (0 to 65535), or in nothing");
            }
        }
    }
    match database {
        Some((other, number)) if !path.is_empty() && number != config.database => {
            let problem = format!("is another database than that of {name}; remove one of the two");
            return Err(ConfigError::new(other, problem));
        }
        Some((_, number)) => config.database = number,
        None => {}
    }
    let (Some(username), Some(password)) = (
        decode(url.username()),
        decode(url.password().unwrap_or_default()),
    ) else {
        return fail("has a user or password that is not UTF-8 once percent-decoded");
    };
    if !is_user(&username) {
        return fail("has a user with a space in its name, and Redis has none such");
    }
    config.username = Some(username).filter(|name| !name.is_empty());
    if !password.is_empty() {
        config.credentials = Credentials::Passwords(vec![Secret::new(password)]);
    }
    config.tls = tls.then(TlsConfig::default);
    Ok(config)
}

fn decode(text: &str) -> Option<String> {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    decoded.ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests;

//! URLs and environment variables: an accepted configuration can be used, and no error or log line contains a password.
//!
//! The first byte of an input picks its form (by its remainder, so that a digit does):
//! 0  a URL
//! 1  lines of `NAME=value`
//! 2  fields of a configuration, once in a URL and once in variables

#![no_main]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use arbitrary::{Result, Unstructured};
use huntaze_rate_limit::store::redis::config_env::{
    Environment, from_environment, from_url, variables,
};
use huntaze_rate_limit::store::redis::{Credentials, MAX_CONNECTIONS, RedisConfig, Secret};
use libfuzzer_sys::fuzz_target;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

const PASSWORD: &str = "hunter2-hunter2";

/// The longest name of the domain name system.
const MAX_HOST_BYTES: usize = 253;

fuzz_target!(|input: &[u8]| {
    let Some((form, rest)) = input.split_first() else {
        return;
    };
    match form % 3 {
        0 => url(&String::from_utf8_lossy(rest)),
        1 => lines(&String::from_utf8_lossy(rest)),
        // An input may end early.
        _ => drop(fields(&mut Unstructured::new(rest))),
    }
});

type Read = std::result::Result<Option<RedisConfig>, String>;

/// Reads the configuration from the variables, also in the reverse order.
fn read(variables: &BTreeMap<String, String>) -> Read {
    let owned = || {
        variables
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
    };
    let environment = Environment::new(owned());
    assert!(!format!("{environment:?}").contains(PASSWORD));
    let read = from_environment(&environment);
    assert_eq!(read, from_environment(&Environment::new(owned().rev())));
    match &read {
        Ok(config) => config.iter().for_each(check_config),
        Err(error) => check_error(&error.to_string()),
    }
    read.map_err(|error| error.to_string())
}

fn url(text: &str) {
    check_url(text);
    // With a password before the host, if the URL can have one.
    if let Some((scheme, rest)) = text.split_once("://") {
        check_url(&format!("{scheme}://:{PASSWORD}@{rest}"));
        check_url(&format!("{scheme}://{PASSWORD}{rest}"));
    }
}

fn check_url(text: &str) {
    let config = match from_url("REDIS_URL", text, None) {
        Ok(config) => config,
        Err(error) => return check_error(&error.to_string()),
    };
    check_config(&config);
    assert!(passwords(&config).len() <= 1);
    // Written again, it means the same.
    assert_eq!(
        from_url("REDIS_URL", &written(&config), None),
        Ok(config.clone()),
        "{text:?}"
    );
    // In the environment, too.
    let variables = BTreeMap::from([("REDIS_URL".to_owned(), text.to_owned())]);
    let read = read(&variables);
    // An IP address with a zone, or with fewer than four numbers: no certificate can name it.
    if let Err(error) = &read
        && config.tls.is_some()
        && error.to_string().contains("a certificate can name")
    {
        return check_error(&error.to_string());
    }
    let mut read = read.expect("it is a URL").expect("it is set");
    if config.tls.is_none() && read.tls.is_some() {
        assert!(
            read.host
                .to_ascii_lowercase()
                .trim_end_matches('.')
                .ends_with(".cache.amazonaws.com")
        );
        assert!(!passwords(&config).is_empty());
        read.tls = None;
    }
    assert_eq!(read, config);
}

fn lines(text: &str) {
    let set: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        // Names are no secrets.
        .filter(|(name, _)| !name.contains(PASSWORD))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let config = read(&set);
    // A variable that is empty counts as not set, and one that is not read changes nothing.
    let mut blank = set.clone();
    for name in variables() {
        blank.entry(name.to_owned()).or_default();
    }
    blank.insert("REDIS".to_owned(), PASSWORD.to_owned());
    assert_eq!(read(&blank), config);
    // An additional password is the last that is tried, and never printed.
    let mut secret = set;
    let last = secret.entry("REDIS_PASSWORD".to_owned()).or_default();
    if last.is_empty() {
        last.push_str(PASSWORD);
        match (read(&secret), config) {
            (Ok(None), before) => assert_eq!(before, Ok(None)),
            (Ok(Some(config)), Ok(Some(_))) => assert!(passwords(&config).contains(&PASSWORD)),
            (Err(error), Err(before)) => assert_eq!(error, before),
            (after, before) => panic!("a password makes {after:?} of {before:?}"),
        }
    }
}

fn passwords(config: &RedisConfig) -> Vec<&str> {
    match &config.credentials {
        Credentials::Passwords(list) => list.iter().map(Secret::expose).collect(),
        Credentials::Source(_) => panic!("nothing that is text has a password function"),
    }
}

fn check_config(config: &RedisConfig) {
    let odd = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '/' | '@' | '[' | ']');
    let host = &config.host;
    assert!(
        !host.is_empty() && host.len() <= MAX_HOST_BYTES && !host.contains(odd),
        "{host:?}"
    );
    assert_ne!(config.port, 0);
    assert!((1..=MAX_CONNECTIONS).contains(&config.connections));
    assert!(!config.connect_timeout.is_zero() && !config.login_life.is_zero());
    assert_ne!(config.username.as_deref(), Some(""));
    let passwords = passwords(config);
    for (index, password) in passwords.iter().enumerate() {
        assert!(!password.is_empty() && !passwords[..index].contains(password));
    }
    assert!(config.cluster != Some(true) || config.database == 0);
    if let Some(tls) = &config.tls {
        assert_eq!((&tls.ca, &tls.server_name), (&None, &None));
    }
    // The endpoint is printed with the name of its store, on one line.
    assert!(!config.endpoint().contains(char::is_control));
    let shown = format!("{:?}", config.credentials);
    assert_eq!(shown, format!("{} password(s)", passwords.len()));
}

/// An error is the name of a variable and text of the package's own.
fn check_error(text: &str) {
    assert!(!text.contains(PASSWORD), "{text}");
    assert!(
        text.is_ascii() && !text.contains(char::is_control),
        "{text}"
    );
    assert!(
        variables().any(|name| text.starts_with(&format!("{name} "))),
        "{text}"
    );
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The URL of `config`. An IP address with a zone may not be in brackets, and is encoded as a name is.
fn written(config: &RedisConfig) -> String {
    let scheme = if config.tls.is_some() {
        "rediss"
    } else {
        "redis"
    };
    let user = config.username.as_deref().map(encoded).unwrap_or_default();
    let password = passwords(config)
        .first()
        .map(|text| encoded(text))
        .unwrap_or_default();
    let host = match config.host.parse::<Ipv6Addr>().is_ok() {
        true => format!("[{}]", config.host),
        false => encoded(&config.host),
    };
    let RedisConfig { port, database, .. } = config;
    format!("{scheme}://{user}:{password}@{host}:{port}/{database}")
}

fn fields(u: &mut Unstructured) -> Result<()> {
    let host = match u.int_in_range(0..=4u8)? {
        0 => Ipv4Addr::from(u.arbitrary::<u32>()?).to_string(),
        1 => Ipv6Addr::from(u.arbitrary::<u128>()?).to_string(),
        2 => "x.cache.amazonaws.com".to_owned(),
        3 => "redis".to_owned(),
        _ => u.arbitrary::<&str>()?.to_owned(),
    };
    let port: u16 = u.int_in_range(1..=u16::MAX)?;
    let database: u16 = u.arbitrary()?;
    let tls: bool = u.arbitrary()?;
    let username: &str = u.arbitrary()?;
    let password = match u.int_in_range(0..=2u8)? {
        0 => String::new(),
        1 => format!("{PASSWORD}{}", u.arbitrary::<&str>()?),
        _ => u.arbitrary::<&str>()?.to_owned(),
    };
    let text = |text: &str| text.to_owned();
    let by_variables = read(&BTreeMap::from([
        (text("REDIS_HOST"), host.clone()),
        (text("REDIS_PORT"), port.to_string()),
        (text("REDIS_DB"), database.to_string()),
        (text("REDIS_USERNAME"), text(username)),
        (text("REDIS_PASSWORD"), password.clone()),
        (text("REDIS_TLS"), tls.to_string()),
    ]));
    let Ok(Some(mut config)) = by_variables else {
        return Ok(());
    };
    assert_eq!(
        (config.port, config.database, config.tls.is_some()),
        (port, database, tls)
    );
    // Blanks around a variable are dropped, except around a password.
    assert_eq!(
        config.username.as_deref().unwrap_or_default(),
        username.trim()
    );
    assert_eq!(
        passwords(&config).first().copied().unwrap_or_default(),
        password
    );
    let url = written(&config);
    // A URL has one form of an IP address.
    if let Ok(address) = config.host.parse::<Ipv6Addr>() {
        config.host = address.to_string();
    }
    let switch = (text("REDIS_TLS"), tls.to_string());
    let by_url = read(&BTreeMap::from([(text("REDIS_URL"), url), switch]));
    assert_eq!(by_url, Ok(Some(config)), "{host:?}");
    Ok(())
}

//! Hosts: names and addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::config::{ConfigError, RedisConfig, with_defaults};

const HOST_PROBLEM: &str = "must be a host name of at most 253 bytes or an address, as in redis.example.com or [::1], \
     without blanks: a name is 1 to 63 letters, digits, '-' or '_' between dots";

/// The longest domain name, in bytes of text (RFC 1035, 2.3.4).
const MAX_HOST_BYTES: usize = 253;

/// The longest label of a domain name.
const MAX_LABEL_BYTES: usize = 63;

/// Whether `text` can be a host: an IPv6 address, with or without a zone, an IPv4 address, or a name. Hosts are printed: a line
/// break would forge a log line.
pub(super) fn is_host(text: &str) -> bool {
    if text.contains(':') {
        return is_ipv6(text);
    }
    is_name(text)
}

/// The zone is the name of a network interface (RFC 6874), which may hold almost any character.
pub(super) fn is_ipv6(text: &str) -> bool {
    let excluded = |c: char| {
        c.is_control()
            || c.is_whitespace()
            || matches!(c, '/' | '\\' | '?' | '#' | ',' | '@' | '[' | ']')
    };
    let (address, zone) = text.split_once('%').unwrap_or((text, "none"));
    address.parse::<Ipv6Addr>().is_ok()
        && (1..=MAX_LABEL_BYTES).contains(&zone.len())
        && !zone.contains(excluded)
}

/// By RFC 1123, 2.1, and with underscores, since many containers have them in their names. A final dot is the root.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=MAX_LABEL_BYTES).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    let labels: Vec<_> = name.split('.').collect();
    // Fewer than four numbers may be an address for the system's resolver (`127.1`), or the name of a container.
    let is_number = |label: &&str| label.bytes().all(|b| b.is_ascii_digit());
    let is_address = labels.len() >= 4 && labels.iter().all(is_number);
    text.len() <= MAX_HOST_BYTES
        && labels.iter().all(|label| is_label(label))
        && (!is_address || name.parse::<Ipv4Addr>().is_ok())
}

/// The default configuration for a Redis at `host`, which may be an IPv6 address in brackets. `name` is the variable or option.
///
/// # Errors
/// [`ConfigError`] for a text that is no host.
pub(crate) fn at_host(name: &str, host: &str) -> Result<RedisConfig, ConfigError> {
    let host = without_brackets(host);
    if !is_host(host) {
        return Err(ConfigError::new(name, HOST_PROBLEM));
    }
    Ok(with_defaults(host))
}

/// `host` without its brackets, if it is an IPv6 address in brackets.
pub(crate) fn without_brackets(host: &str) -> &str {
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    bracketed.filter(|inner| is_ipv6(inner)).unwrap_or(host)
}

#[cfg(test)]
mod tests;

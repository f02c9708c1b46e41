//! What can be a host: a name, or an address.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::config::{ConfigError, RedisConfig, with_defaults};

const HOST_PROBLEM: &str = "must be a host name of at most 253 bytes or an address, as in redis.example.com or [::1], \
     without blanks: a name is 1 to 63 letters, digits, '-' or '_' between dots";

/// The longest name of the domain name system, in bytes (RFC 1035, 2.3.4, less what is not text).
const MAX_HOST_BYTES: usize = 253;

/// The longest part of one between two dots.
const MAX_LABEL_BYTES: usize = 63;

/// Whether `text` can be a host: an address of IPv6, with a zone or without, one of IPv4, or a name. It is printed, too:
/// a line break would forge a line of the log.
pub(super) fn is_host(text: &str) -> bool {
    if text.contains(':') {
        return is_ipv6(text);
    }
    is_name(text)
}

/// The zone is the name of an interface (RFC 6874), which may be almost anything.
pub(super) fn is_ipv6(text: &str) -> bool {
    let beside = |c: char| {
        c.is_control()
            || c.is_whitespace()
            || matches!(c, '/' | '\\' | '?' | '#' | ',' | '@' | '[' | ']')
    };
    let (address, zone) = text.split_once('%').unwrap_or((text, "none"));
    address.parse::<Ipv6Addr>().is_ok()
        && (1..=MAX_LABEL_BYTES).contains(&zone.len())
        && !zone.contains(beside)
}

/// By RFC 1123, 2.1. The underscore is none of it, and in the names of many a container. A dot may end it: it is the root.
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
    // Fewer numbers are addresses to the resolvers of most systems (`127.1`), or the name of a container.
    let is_number = |label: &&str| label.bytes().all(|b| b.is_ascii_digit());
    let is_address = labels.len() >= 4 && labels.iter().all(is_number);
    text.len() <= MAX_HOST_BYTES
        && labels.iter().all(|label| is_label(label))
        && (!is_address || name.parse::<Ipv4Addr>().is_ok())
}

/// The same as [`with_defaults`], of a host that may be an address of IPv6 in brackets. `name` is the variable or option.
///
/// # Errors
/// [`ConfigError`] for what is no host.
pub(crate) fn at_host(name: &str, host: &str) -> Result<RedisConfig, ConfigError> {
    let host = without_brackets(host);
    if !is_host(host) {
        return Err(ConfigError::new(name, HOST_PROBLEM));
    }
    Ok(with_defaults(host))
}

/// The address of IPv6 in `host`, where it is one in brackets.
pub(crate) fn without_brackets(host: &str) -> &str {
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    bracketed.filter(|inner| is_ipv6(inner)).unwrap_or(host)
}

#[cfg(test)]
mod tests;

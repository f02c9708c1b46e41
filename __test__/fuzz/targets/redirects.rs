//! Errors of a server: the node that a redirect names, and the kind of an error. No text of the server's is passed on.
//!
//! The first byte of an input picks its form (by its remainder, so that a digit does):
//! 0  an error as it came over the wire, less the `-` before it
//! 1  `code slot host port`, each behind a byte that picks one of the usual values

#![no_main]

use arbitrary::Unstructured;
use huntaze_rate_limit::store::redis::cluster::topology::Address;
use huntaze_rate_limit::store::redis::config_env::with_defaults;
use huntaze_rate_limit::store::redis::{Redirect, RedisConfig, error_map};
use huntaze_rate_limit::store::{ErrorKind, StoreError};
use libfuzzer_sys::fuzz_target;
use redis::{RedisError, Value, parse_redis_value};

const QUERIED: &str = "queried.example";

/// Stands where a server may quote a command.
const PASSWORD: &str = "hunter2-hunter2";

/// The longest name of the domain name system.
const MAX_HOST_BYTES: usize = 253;

/// The longest label of one, between two dots.
const MAX_LABEL_BYTES: usize = 63;

fuzz_target!(|input: &[u8]| {
    let Some((form, rest)) = input.split_first() else {
        return;
    };
    let queried = with_defaults(QUERIED);
    match form % 2 {
        0 => {
            // The next line is another reply.
            let line = String::from_utf8_lossy(rest);
            let line = line.split("\r\n").next().unwrap_or_default();
            check(line, &queried);
            check(&quoting(line), &queried);
        }
        _ => {
            let _ = built(&mut Unstructured::new(rest), &queried);
        }
    }
});

/// The line, with the password of a command at its end.
fn quoting(line: &str) -> String {
    format!("{line} {PASSWORD}")
}

/// The error of a reply with this line.
fn error(line: &str) -> Option<RedisError> {
    match parse_redis_value(format!("-{line}\r\n").as_bytes()) {
        Ok(Value::ServerError(error)) => Some(error.into()),
        Ok(other) => panic!("{line:?} is {other:?}"),
        Err(_) => None,
    }
}

fn check(line: &str, queried: &RedisConfig) -> Option<Redirect> {
    let error = error(line)?;
    let code = error.code().expect("a server's error has one").to_owned();
    let replied = error_map::command_error(&error);
    let set_up = error_map::handshake_error(&error);
    let caught = error_map::from_script(line);
    for known in [&replied, &set_up, &caught] {
        check_error(known);
    }
    assert_eq!(text(&replied), text(&error_map::command_error(&error)));
    // An error that the script has caught for one key has the kind that a separate command would have got.
    let expected = match replied.kind() {
        ErrorKind::Protocol => ErrorKind::WrongType,
        kind => kind,
    };
    if !line.starts_with('-') {
        assert_eq!(caught.kind(), expected, "{line:?}");
    }
    let redirect = Redirect::of(&error, queried);
    assert_eq!(redirect, Redirect::of(&error, queried));
    match &redirect {
        Some(Redirect::Moved(address)) => {
            assert_eq!(code, "MOVED");
            check_address(address, line);
        }
        Some(Redirect::Ask(address)) => {
            assert_eq!(code, "ASK");
            check_address(address, line);
        }
        Some(Redirect::TryAgain) => assert_eq!(code, "TRYAGAIN"),
        None => assert_ne!(code, "TRYAGAIN"),
    }
    if redirect.is_some() {
        // A redirect that cannot be followed is an error of the cluster.
        assert_eq!(replied.kind(), ErrorKind::Cluster);
    }
    redirect
}

/// A name that can be resolved, logged and compared.
fn check_address(address: &Address, line: &str) {
    let Address { host, port } = address;
    assert_ne!(*port, 0, "{line:?}");
    assert!(!host.is_empty() && host.len() <= MAX_HOST_BYTES, "{line:?}");
    let odd = |c: char| c.is_control() || c.is_whitespace();
    assert!(!host.contains(odd), "{line:?}: {host:?}");
    assert!(host == QUERIED || line.contains(host.as_str()), "{line:?}");
}

fn check_error(error: &StoreError) {
    let text = text(error);
    assert!(!text.contains(PASSWORD) && !text.contains(char::is_control));
    assert!(error.to_string().is_ascii(), "{text}");
    assert!(ErrorKind::ALL.contains(&error.kind()));
    // An answer says that the request has not run.
    assert!(!error.came_from_server() || !error.may_have_run(), "{text}");
}

/// All text of an error that is ever printed.
fn text(error: &StoreError) -> String {
    format!("{error} {error:?} {:?} {}", error.causes(), error.code())
}

const CODES: [&str; 20] = [
    "MOVED",
    "ASK",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "CROSSSLOT",
    "ERR",
    "NOAUTH",
    "WRONGPASS",
    "NOPERM",
    "READONLY",
    "NOREPLICAS",
    "MISCONF",
    "LOADING",
    "MASTERDOWN",
    "OOM",
    "BUSY",
    "WRONGTYPE",
    "NOSCRIPT",
    "EXECABORT",
    "UNKNOWN",
];

const DETAILS: [&str; 6] = [
    "max number of clients reached",
    "Protocol error: unauthenticated bulk length",
    "The user executing the script can't run this command or subcommand",
    "AUTH hunter2-hunter2 called without any password configured for the default user",
    "SELECT is not allowed in cluster mode",
    "unknown command 'EVALSHA', with args beginning with: 'hunter2-hunter2'",
];

fn built(u: &mut Unstructured, queried: &RedisConfig) -> arbitrary::Result<()> {
    let code = *u.choose(&CODES)?;
    if u.ratio(1u8, 3u8)? {
        check(&format!("{code} {}", u.choose(&DETAILS)?), queried);
        return Ok(());
    }
    let slot: u16 = u.int_in_range(0..=16_383)?;
    let port: u16 = u.arbitrary()?;
    let host = match u.int_in_range(0..=4)? {
        0 => String::new(),
        1 => "?".to_owned(),
        2 => std::net::Ipv4Addr::from(u.arbitrary::<u32>()?).to_string(),
        3 => std::net::Ipv6Addr::from(u.arbitrary::<u128>()?).to_string(),
        _ => {
            let bytes = u.arbitrary_len::<u8>()?.min(MAX_LABEL_BYTES + 10);
            let plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
            let mut letter = || u.choose(plain).map(|&byte| char::from(byte));
            (0..bytes)
                .map(|_| letter())
                .collect::<arbitrary::Result<_>>()?
        }
    };
    let line = format!("{code} {slot} {host}:{port}");
    let found = check(&line, queried);
    // By the documentation of Redis: an empty host is the one that was queried, and `?` is an unknown one.
    let expected = (port != 0 && host != "?" && host.len() <= MAX_LABEL_BYTES).then(|| Address {
        host: if host.is_empty() {
            QUERIED.to_owned()
        } else {
            host
        },
        port,
    });
    let expected = match code {
        "MOVED" => expected.map(Redirect::Moved),
        "ASK" => expected.map(Redirect::Ask),
        "TRYAGAIN" => Some(Redirect::TryAgain),
        _ => None,
    };
    assert_eq!(found, expected, "{line:?}");
    Ok(())
}

//! Ids and namespaces: two different ones never share a key, and nothing in an id can be read as anything else.
//!
//! An input is a name and two ids, separated by a byte FF, which no text of UTF-8 holds.

#![no_main]

use huntaze_rate_limit::quota::{Id, MAX_ID_BYTES, Namespace, escape};
use libfuzzer_sys::fuzz_target;
use percent_encoding::percent_decode_str;

/// The bytes that are not escaped, beside letters and digits.
const PLAIN: &[u8] = b"-._@+";

const MAX_NAME_BYTES: usize = 64;

fuzz_target!(|input: &[u8]| {
    let mut fields = input.splitn(3, |&byte| byte == 0xff);
    let mut field = || String::from_utf8_lossy(fields.next().unwrap_or_default()).into_owned();
    let (name, one, other) = (field(), field(), field());
    for text in [&name, &one, &other] {
        check_escaped(text, &escape(text));
    }
    let ids = [&one, &other].map(|text| check_id(text));
    let Some(namespace) = check_name(&name) else {
        return;
    };
    let keys = ids.map(|id| id.map(|id| check_key(&namespace, &id)));
    if let [Some(a), Some(b)] = &keys {
        assert_eq!(a == b, one == other, "{one:?} and {other:?} in {name:?}");
        // No key is a prefix of another.
        assert!(a == b || !a.starts_with(b.as_str()) && !b.starts_with(a.as_str()));
    }
    // The same id in another namespace.
    if let (Some(key), Some(second)) = (&keys[0], check_name(&other)) {
        let id = Id::new(one.as_str()).expect("it has a key");
        assert_eq!(*key == second.key(&id), name == other);
    }
});

fn check_id(text: &str) -> Option<Id> {
    let id = Id::new(text);
    assert_eq!(id.is_ok(), (1..=MAX_ID_BYTES).contains(&text.len()));
    match &id {
        Ok(id) => {
            assert_eq!(id.as_str(), text);
            assert!(is_one_line(&format!("{id:?}")));
        }
        Err(error) => assert!(is_one_line(&error.to_string())),
    }
    id.ok()
}

fn check_name(text: &str) -> Option<Namespace> {
    let name = Namespace::new(text);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let fits = (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(plain);
    assert_eq!(name.is_ok(), fits);
    name.ok()
}

/// Every byte is plain or `%XX`, which reads back as the text and as nothing else.
/// The same rule without the crate that the product uses.
fn escaped_byte_by_byte(text: &str) -> String {
    let byte = |byte: u8| match byte.is_ascii_alphanumeric() || PLAIN.contains(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn check_escaped(text: &str, escaped: &str) {
    assert_eq!(escaped, escaped_byte_by_byte(text));
    assert_eq!(
        percent_decode_str(escaped).decode_utf8().as_deref(),
        Ok(text)
    );
    assert!(escaped.len() <= 3 * text.len());
    let mut rest = escaped.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = match (first, behind) {
            (b'%', [high, low, behind @ ..]) => {
                let hex = |digit: &u8| matches!(digit, b'0'..=b'9' | b'A'..=b'F');
                assert!(hex(high) && hex(low), "{escaped:?}");
                behind
            }
            _ => {
                let plain = first.is_ascii_alphanumeric() || PLAIN.contains(first);
                assert!(plain, "{escaped:?}");
                behind
            }
        };
    }
}

fn check_key(name: &Namespace, id: &Id) -> String {
    let key = name.key(id);
    let mut written = String::from("before");
    name.write_key(id, &mut written);
    assert_eq!(written.strip_prefix("before"), Some(key.as_str()));
    assert!(key.len() <= 3 * MAX_ID_BYTES + MAX_NAME_BYTES + 3);
    // The hash tag, as the Redis cluster specification finds it: between the first brace and the next closing one.
    let tag = key
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'));
    let whole = key.get(1..key.len() - 1);
    assert_eq!(tag.map(|(tag, _)| tag), whole, "{key}");
    assert_eq!(key.matches(['{', '}']).count(), 2, "{key}");
    let (of, escaped) = whole.and_then(|tag| tag.split_once(':')).expect("a colon");
    assert_eq!(of, name.as_str());
    check_escaped(id.as_str(), escaped);
    // Keys of no id: those of probes, and of the connection test.
    assert_ne!(key, name.key(&Id::reserved()));
    assert!(!escaped.starts_with('#') && !escaped.is_empty());
    key
}

fn is_one_line(text: &str) -> bool {
    !text.contains(char::is_control)
}

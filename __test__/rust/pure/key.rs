//! Keys: two different ids never share one, and nothing in an id can be read as anything else.

use std::collections::HashMap;

use huntaze_rate_limit::quota::{Id, InvalidId, InvalidName, MAX_ID_BYTES, Namespace, escape};
use proptest::prelude::*;

use crate::random_history::cases;

fn key(name: &str, id: &str) -> String {
    Namespace::new(name).unwrap().key(&Id::new(id).unwrap())
}

/// Ids as people and attackers write them: any text, and much of what escaping could trip over.
fn ids() -> impl Strategy<Value = String> {
    let hostile = "[%:{}*?A-F0-9a-f\\[\\]\r\n\u{0}ü]{1,8}";
    prop_oneof![hostile, "\\PC{1,20}", any::<String>()]
        .prop_filter("an id", |id| Id::new(id.as_str()).is_ok())
}

fn names() -> impl Strategy<Value = String> {
    "[A-Za-z0-9._-]{1,12}"
}

/// What stands for `id` in a key, read back.
fn unescape(escaped: &str) -> String {
    let decoded = percent_encoding::percent_decode_str(escaped);
    decoded.decode_utf8().unwrap().into_owned()
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn a_key_can_be_read_back(name in names(), id in ids()) {
        let key = key(&name, &id);
        let inner = key.strip_prefix('{').unwrap().strip_suffix('}').unwrap();
        // The first colon ends the name: no name holds one.
        let (read_name, read_id) = inner.split_once(':').unwrap();
        prop_assert_eq!(read_name, name);
        prop_assert_eq!(unescape(read_id), id);
    }

    #[test]
    fn different_ids_have_different_keys(a in (names(), ids()), b in (names(), ids())) {
        prop_assert_eq!(key(&a.0, &a.1) == key(&b.0, &b.1), a == b);
    }

    #[test]
    fn no_byte_needs_care(name in names(), id in ids()) {
        let key = key(&name, &id);
        let inner = &key[1..key.len() - 1];
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._@+%:".contains(&b);
        prop_assert!(inner.bytes().all(plain), "{key}");
        prop_assert_eq!(inner.matches(':').count(), 1);
    }

    /// Redis hashes what stands between the first brace and the next closing one, if that is not empty.
    #[test]
    fn the_hash_tag_is_the_whole_key(name in names(), id in ids()) {
        let key = key(&name, &id);
        let open = key.find('{').unwrap();
        let close = key[open..].find('}').unwrap() + open;
        prop_assert_eq!((open, close), (0, key.len() - 1));
        prop_assert!(close > open + 1);
    }
}

/// Short texts over the characters that matter, all of them.
#[test]
fn no_two_short_ids_collide() {
    let alphabet = ["%", "2", "5", "A", "a", ":", "{", "}", "*", "\n", "ü"];
    let mut seen: HashMap<String, String> = HashMap::new();
    let mut texts = vec![String::new()];
    for _ in 0..3 {
        texts = texts
            .iter()
            .flat_map(|text| alphabet.map(|c| format!("{text}{c}")))
            .collect();
        for text in &texts {
            let other = seen.insert(key("n", text), text.clone());
            assert_eq!(other, None, "shares a key with {text:?}");
        }
    }
}

#[test]
fn keys_are_readable_where_they_can_be() {
    assert_eq!(key("creators", "42"), "{creators:42}");
    assert_eq!(
        key("a.b_c-d", "me+tag@example.com"),
        "{a.b_c-d:me+tag@example.com}"
    );
    assert_eq!(key("n", "a:b{c}*%\n"), "{n:a%3Ab%7Bc%7D%2A%25%0A}");
    assert_eq!(escape("ü/ü"), "%C3%BC%2F%C3%BC");
}

#[test]
fn ids_are_1_to_256_bytes() {
    assert_eq!(Id::new(""), Err(InvalidId));
    assert_eq!(Id::new("x".repeat(MAX_ID_BYTES + 1)), Err(InvalidId));
    // Bytes, not characters.
    assert_eq!(Id::new("ü".repeat(129)), Err(InvalidId));
    assert_eq!(Id::new("ü".repeat(128)).unwrap().as_str().len(), 256);
    assert_eq!(InvalidId.to_string(), "an id is 1 to 256 UTF-8 bytes long");
}

#[test]
fn names_need_no_escaping() {
    for name in ["", "a:b", "a{b", "a b", "ü", "a*", "a\n", "a%41"] {
        assert_eq!(Namespace::new(name), Err(InvalidName), "{name:?}");
    }
    assert_eq!(Namespace::new("x".repeat(65)), Err(InvalidName));
    assert_eq!(Namespace::new("x".repeat(64)).unwrap().as_str().len(), 64);
}

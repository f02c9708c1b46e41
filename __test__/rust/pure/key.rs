//! Keys: two different ids never share one, and nothing in an id can be read as anything else.

use huntaze_rate_limit::quota::{Id, Namespace};
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

//! From an id to its key: `{name:escaped-id}`.
//!
//! Ids come from users; keys are read by operators, matched by patterns and hashed to cluster slots. Unescaped, `a:b` could
//! alias another namespace, `{x}` could pin a slot, `*` could widen a `SCAN`, and a line break could forge a log line. So
//! every byte but letters, digits and `-._@+` is written as `%XX`. `%` itself is escaped: two different ids never share a
//! key.
//!
//! The outer braces make the whole key its own hash tag, so that ids spread over the slots of a cluster.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All ASCII but letters, digits and `-._@+`: among the rest are the bytes with a meaning in a key, a pattern or a log line.
/// Bytes beyond ASCII are always escaped.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'@')
    .remove(b'+');

/// The longest id, in UTF-8 bytes.
pub const MAX_ID_BYTES: usize = 256;

/// The longest namespace, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// The text is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is 1 to {MAX_ID_BYTES} UTF-8 bytes long")]
pub struct InvalidId;

/// The text is no namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to {MAX_NAME_BYTES} of A-Z a-z 0-9 . _ -")]
pub struct InvalidName;

/// An id as the application gave it: any text of 1 to [`MAX_ID_BYTES`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Id(Box<str>);

impl Id {
    /// # Errors
    /// [`InvalidId`] for an empty text and for one that is too long.
    pub fn new(id: impl Into<Box<str>>) -> Result<Self, InvalidId> {
        let id = id.into();
        if (1..=MAX_ID_BYTES).contains(&id.len()) {
            Ok(Self(id))
        } else {
            Err(InvalidId)
        }
    }

    /// The id of connection tests. The ids of callers are never empty, so that its key holds no log of theirs.
    pub fn reserved() -> Self {
        Self(Box::default())
    }

    /// The id as it was given, unescaped: for neither keys nor log lines.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The namespace of a limiter's keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Namespace(Box<str>);

impl Namespace {
    /// # Errors
    /// [`InvalidName`] for a text that is empty, too long or has a character that would need escaping.
    pub fn new(name: impl Into<Box<str>>) -> Result<Self, InvalidName> {
        let name = name.into();
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(plain) {
            Ok(Self(name))
        } else {
            Err(InvalidName)
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of `id` in this namespace. No two ids and no two namespaces share a key: a name holds no `:`, so the first
    /// one ends it.
    pub fn key(&self, id: &Id) -> String {
        let mut key = String::with_capacity(self.0.len() + id.0.len() + 3);
        self.write_key(id, &mut key);
        key
    }

    /// Appends the [`key`](Self::key) of `id`.
    pub fn write_key(&self, id: &Id, out: &mut String) {
        out.push('{');
        out.push_str(&self.0);
        out.push(':');
        escape_into(id.as_str(), out);
        out.push('}');
    }
}

/// `text` with every byte of [`ESCAPED`] written as `%XX`, in upper case.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    escape_into(text, &mut escaped);
    escaped
}

fn escape_into(text: &str, out: &mut String) {
    out.extend(utf8_percent_encode(text, ESCAPED));
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn key(name: &str, id: &str) -> String {
        Namespace::new(name).unwrap().key(&Id::new(id).unwrap())
    }

    /// All short texts over the characters that escaping could get wrong.
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
    fn letters_digits_and_a_few_signs_are_not_escaped() {
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
}

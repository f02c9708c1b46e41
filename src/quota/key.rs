//! From an id to its key: `{name:escaped-id}`.
//!
//! Ids come from users, keys are read by people, patterns and cluster slots. Unescaped, `a:b` could alias another
//! namespace, `{x}` could pin a slot, `*` could widen a `SCAN`, and a line break could forge a log line. So every byte
//! but letters, digits and `-._@+` is written as `%XX`. `%` itself is escaped: two different ids never share a key.
//!
//! The braces are ours: they make the whole key its own hash tag, so ids spread over a cluster's slots.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The bytes that a key or a log line could misread, and those that are not ASCII.
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

/// Why a text is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is 1 to {MAX_ID_BYTES} UTF-8 bytes long")]
pub struct InvalidId;

/// Why a text is no namespace.
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

    /// Nobody's id: none of a caller's is empty. Its key holds nothing.
    pub fn nobody() -> Self {
        Self(Box::default())
    }

    /// The id as it was given: not for keys, not for logs.
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

    /// The key of `id` in this namespace. No two ids of one namespace, and no two namespaces, share one: a name holds
    /// no `:`, so the first one ends it.
    pub fn key(&self, id: &Id) -> String {
        let mut key = String::with_capacity(self.0.len() + id.0.len() + 3);
        self.write_key(id, &mut key);
        key
    }

    /// Appends the key of `id`, as [`key`](Self::key) makes it.
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

//! RESP2 (redis.io, "Redis serialization protocol specification"): commands are written to the end of a buffer, and replies are
//! read where they lie, without a tree of values.
//!
//! A server sends the types of RESP3 (`%~#,(_=>|!`) only to a client that asked for them with HELLO 3. No connection here does,
//! so they are malformed. Rare replies (errors, `CLUSTER SLOTS`) are parsed by the redis crate once their end is known: its
//! parser accepts every reply that [`ReplyEnd`] does.

/// The longest reply, in bytes. The longest one that is asked for is `CLUSTER SLOTS`: 16,384 rows, one for each slot, of a
/// primary and two replicas take 4.5 MB.
pub const MAX_REPLY: usize = 8 << 20;

/// How deep arrays may be nested. `CLUSTER SLOTS` has four levels: rows, row, node, metadata.
const MAX_DEPTH: usize = 8;

/// The length of the shortest value, an empty status: `+\r\n`.
const SHORTEST_VALUE: usize = 3;

/// The most digits of a number: those of `i64::MAX`. Any number of that many digits fits into a `u64`.
const MAX_DIGITS: usize = 19;

/// The bytes are no reply in RESP2, or one that is too long or nested too deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the reply is not Redis protocol")]
pub struct Malformed;

/// Writes a command, an array of bulk strings, to the end of a buffer.
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Begins a command with that many arguments, its name included. As many have to follow.
    pub(crate) fn command(out: &'a mut Vec<u8>, arguments: usize) -> Self {
        write_length(out, b'*', arguments);
        Self { out }
    }

    /// The next argument.
    pub(crate) fn text(&mut self, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        write_length(self.out, b'$', text.len());
        self.out.extend_from_slice(text);
        self.out.extend_from_slice(b"\r\n");
    }

    /// The next argument, in decimal digits.
    pub(crate) fn number(&mut self, number: u64) {
        let mut line = Line::default();
        line.put(b"\r\n");
        let length = line.put_digits(number);
        line.put(b"\r\n");
        line.put_digits(length as u64);
        line.put(b"$");
        self.out.extend_from_slice(line.text());
    }
}

/// Writes a command of few arguments, its name first.
pub(crate) fn command(out: &mut Vec<u8>, arguments: &[&[u8]]) {
    let mut writer = Writer::command(out, arguments.len());
    for argument in arguments {
        writer.text(argument);
    }
}

fn write_length(out: &mut Vec<u8>, kind: u8, length: usize) {
    let mut line = Line::default();
    line.put(b"\r\n");
    line.put_digits(length as u64);
    line.put(&[kind]);
    out.extend_from_slice(line.text());
}

/// A short text that is written from its end, as digits are, and then copied at once: most of a command is short texts.
struct Line {
    bytes: [u8; LINE],
    first: usize,
}

/// A bulk string of `u64::MAX` takes 27 bytes.
const LINE: usize = 32;

impl Default for Line {
    fn default() -> Self {
        Self {
            bytes: [0; LINE],
            first: LINE,
        }
    }
}

impl Line {
    /// Puts `text` before the rest.
    fn put(&mut self, text: &[u8]) {
        let end = self.first;
        self.first -= text.len();
        self.bytes[self.first..end].copy_from_slice(text);
    }

    /// Puts the digits of `number` before the rest. Returns how many there are.
    fn put_digits(&mut self, mut number: u64) -> usize {
        let end = self.first;
        loop {
            self.put(&[b'0' + (number % 10) as u8]);
            number /= 10;
            if number == 0 {
                return end - self.first;
            }
        }
    }

    fn text(&self) -> &[u8] {
        &self.bytes[self.first..]
    }
}

/// Finds the end of one reply in bytes that arrive in pieces. The time is linear in their number, however small the pieces are.
#[derive(Debug, Default)]
pub struct ReplyEnd {
    /// The beginning of the token that is not complete yet.
    at: usize,
    /// The least length of that token, as far as it is known.
    at_least: usize,
    /// The values that each open array lacks, the outermost first.
    missing: [usize; MAX_DEPTH],
    /// The number of open arrays.
    depth: usize,
}

impl ReplyEnd {
    /// The length of the reply at the beginning of `bytes`; `None` if they end before it does. `bytes` begin where they began in
    /// the call before. A reply that has been found is forgotten: the next call is for the next reply.
    ///
    /// # Errors
    /// [`Malformed`], as soon as no further bytes could make it a reply. The connection is of no use then.
    pub fn find(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        loop {
            let rest = bytes.get(self.at..).unwrap_or_default();
            if rest.len() < self.at_least {
                return Ok(None);
            }
            let (token, length) = match token(rest, self.at_least)? {
                Parsed::Whole(token, length) => (token, length),
                Parsed::Part { at_least } if self.at + at_least > MAX_REPLY => {
                    return Err(Malformed);
                }
                Parsed::Part { at_least } => {
                    self.at_least = at_least;
                    return Ok(None);
                }
            };
            self.at += length;
            self.at_least = 0;
            let left = MAX_REPLY.checked_sub(self.at).ok_or(Malformed)?;
            if let Token::Array(count @ 1..) = token {
                let missing = self.missing.get_mut(self.depth).ok_or(Malformed)?;
                if count > left / SHORTEST_VALUE {
                    return Err(Malformed);
                }
                *missing = count;
                self.depth += 1;
            } else if self.ends_reply() {
                let end = self.at;
                *self = Self::default();
                return Ok(Some(end));
            }
        }
    }

    /// Counts a complete value. Whether the reply is complete.
    fn ends_reply(&mut self) -> bool {
        // The last value of an array completes the array, which is itself a value of the array around it.
        while let Some(innermost) = self.depth.checked_sub(1) {
            self.missing[innermost] -= 1;
            if self.missing[innermost] > 0 {
                return false;
            }
            self.depth = innermost;
        }
        true
    }
}

/// A part of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    /// A bulk string.
    Text(&'a [u8]),
    /// A simple string. It is UTF-8.
    Status(&'a [u8]),
    /// An error, without its `-`. It is UTF-8.
    Error(&'a [u8]),
    /// A number.
    Integer(i64),
    /// An array of that many values, which follow.
    Array(usize),
    /// A null bulk string or array.
    Null,
}

/// Reads the tokens of one complete reply.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of a reply whose end is that of `reply`.
    pub fn new(reply: &'a [u8]) -> Self {
        Self { rest: reply }
    }

    /// The next token; `None` at the end of the reply, and where it is malformed.
    #[expect(clippy::should_implement_trait, reason = "for a loop it has no use")]
    pub fn next(&mut self) -> Option<Token<'a>> {
        match token(self.rest, 0) {
            Ok(Parsed::Whole(token, length)) => {
                self.rest = &self.rest[length..];
                Some(token)
            }
            _ => None,
        }
    }

    /// The token of the next value. The values in it are skipped.
    pub(crate) fn next_value(&mut self) -> Option<Token<'a>> {
        let value = self.next()?;
        let mut missing = values_in(value);
        while missing > 0 {
            missing = missing - 1 + values_in(self.next()?);
        }
        Some(value)
    }
}

fn values_in(token: Token) -> u64 {
    match token {
        // At most a third of `MAX_REPLY`: a sum of such numbers, one for each token, does not overflow.
        Token::Array(count) => count as u64,
        _ => 0,
    }
}

/// The beginning of some bytes.
enum Parsed<'a> {
    /// A token and its length.
    Whole(Token<'a>, usize),
    /// A token that is not complete.
    Part { at_least: usize },
}

/// The token at the beginning of `bytes`. `at_least`: its least length, known from a call with fewer of them, or 0.
fn token(bytes: &[u8], at_least: usize) -> Result<Parsed<'_>, Malformed> {
    let more = Parsed::Part {
        at_least: bytes.len() + 1,
    };
    let Some(kind) = bytes.first() else {
        return Ok(more);
    };
    if let b'+' | b'-' = kind {
        let Some(line) = line(bytes, at_least)? else {
            return Ok(more);
        };
        let token = match kind {
            b'+' => Token::Status(line),
            _ => Token::Error(line),
        };
        return Ok(Parsed::Whole(token, 1 + line.len() + 2));
    }
    if !matches!(kind, b'$' | b'*' | b':') {
        return Err(Malformed);
    }
    let Some((number, length)) = number(bytes)? else {
        return Ok(more);
    };
    if *kind == b':' {
        return Ok(Parsed::Whole(Token::Integer(number), length));
    }
    if number == -1 {
        return Ok(Parsed::Whole(Token::Null, length));
    }
    let size = usize::try_from(number).map_err(|_| Malformed)?;
    match kind {
        b'*' if size > MAX_REPLY / SHORTEST_VALUE => Err(Malformed),
        b'*' => Ok(Parsed::Whole(Token::Array(size), length)),
        _ if size > MAX_REPLY => Err(Malformed),
        _ => text(bytes, length, length + size),
    }
}

/// The bulk string whose text is from `begin` to `end`.
fn text(bytes: &[u8], begin: usize, end: usize) -> Result<Parsed<'_>, Malformed> {
    if bytes.len() <= end {
        return Ok(Parsed::Part { at_least: end + 1 });
    }
    Ok(match ends_line(&bytes[end..])? {
        true => Parsed::Whole(Token::Text(&bytes[begin..end]), end + 2),
        false => Parsed::Part { at_least: end + 2 },
    })
}

/// The line behind the first byte; `None` if its end is not there. It holds no CR and no LF, and is UTF-8, as the redis crate
/// requires it.
fn line(bytes: &[u8], at_least: usize) -> Result<Option<&[u8]>, Malformed> {
    // All but the last byte of the call before have been searched. That one may have been the CR.
    let searched = at_least.saturating_sub(2).max(1);
    let end = bytes[searched..]
        .iter()
        .position(|byte| matches!(byte, b'\r' | b'\n'));
    #[cfg(test)]
    tests::count_examined(end.unwrap_or(bytes.len() - searched));
    let Some(end) = end.map(|end| searched + end) else {
        return Ok(None);
    };
    if !ends_line(&bytes[end..])? {
        return Ok(None);
    }
    let line = &bytes[1..end];
    match str::from_utf8(line) {
        Ok(_) => Ok(Some(line)),
        Err(_) => Err(Malformed),
    }
}

/// The number in the line that follows the first byte, and the length of both; `None` if the end of the line is not there.
fn number(bytes: &[u8]) -> Result<Option<(i64, usize)>, Malformed> {
    let sign = bytes.get(1);
    let first = 1 + usize::from(matches!(sign, Some(b'-' | b'+')));
    let mut end = first;
    let mut magnitude: u64 = 0;
    while let Some(digit @ b'0'..=b'9') = bytes.get(end) {
        if end - first == MAX_DIGITS {
            return Err(Malformed);
        }
        magnitude = 10 * magnitude + u64::from(digit - b'0');
        end += 1;
    }
    #[cfg(test)]
    tests::count_examined(end);
    let rest = bytes.get(end..).unwrap_or_default();
    if end == first && !rest.is_empty() {
        return Err(Malformed);
    }
    if !ends_line(rest)? {
        return Ok(None);
    }
    let number = match sign {
        Some(b'-') => 0i64.checked_sub_unsigned(magnitude),
        _ => 0i64.checked_add_unsigned(magnitude),
    };
    Ok(Some((number.ok_or(Malformed)?, end + 2)))
}

/// Whether `rest` begins with CR LF. `false`: its end comes first.
fn ends_line(rest: &[u8]) -> Result<bool, Malformed> {
    match rest {
        [b'\r', b'\n', ..] => Ok(true),
        [] | [b'\r'] => Ok(false),
        _ => Err(Malformed),
    }
}

/// The error in a reply that is one. Errors are rare, so the redis crate parses them.
pub(crate) fn server_error(reply: &[u8]) -> Option<redis::RedisError> {
    if reply.first() != Some(&b'-') {
        return None;
    }
    match redis::parse_redis_value(reply) {
        Ok(redis::Value::ServerError(error)) => Some(error.into()),
        Ok(_) => None,
        Err(error) => Some(error),
    }
}

#[cfg(test)]
mod tests;

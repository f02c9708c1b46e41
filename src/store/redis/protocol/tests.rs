use std::cell::Cell;

use proptest::collection::vec;
use proptest::prelude::*;
use redis::Value;

use super::{MAX_DEPTH, MAX_REPLY, Malformed, Reader, ReplyEnd, Token, Writer, command};

thread_local! {
    /// How many bytes the parser has examined.
    static EXAMINED: Cell<usize> = const { Cell::new(0) };
}

pub(super) fn count_examined(bytes: usize) {
    EXAMINED.set(EXAMINED.get() + bytes);
}

/// Each a complete reply.
const REPLIES: [&str; 22] = [
    "+OK\r\n",
    "+\r\n",
    "+PONG, and é of two bytes\r\n",
    "-NOSCRIPT No matching script.\r\n",
    "-\r\n",
    ":0\r\n",
    ":-1\r\n",
    ":+7\r\n",
    ":9223372036854775807\r\n",
    ":-9223372036854775808\r\n",
    "$-1\r\n",
    "*-1\r\n",
    "$0\r\n\r\n",
    "$14\r\n1753000000000A\r\n",
    "$4\r\n\r\n\r\n\r\n",
    "*0\r\n",
    "*1\r\n*0\r\n",
    "*2\r\n:1\r\n*1\r\n+x\r\n",
    "*2\r\n*1\r\n+x\r\n:1\r\n",
    "*8\r\n$14\r\n1753000000000A\r\n:0\r\n:1\r\n:0\r\n:0\r\n:1753000000005\r\n:7\r\n:-3\r\n",
    "*1\r\n*3\r\n:0\r\n:16383\r\n*4\r\n$9\r\n127.0.0.1\r\n:7000\r\n$2\r\nid\r\n*0\r\n",
    "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
];

/// The end that is found in bytes that arrive all at once.
fn find(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    ReplyEnd::default().find(bytes)
}

/// The end that is found in bytes that arrive one by one, and how many had arrived when it was found, or when they were
/// refused.
fn find_bytewise(bytes: &[u8]) -> (usize, Result<Option<usize>, Malformed>) {
    let mut end = ReplyEnd::default();
    for arrived in 0..=bytes.len() {
        let found = end.find(&bytes[..arrived]);
        if found != Ok(None) {
            return (arrived, found);
        }
    }
    (bytes.len(), Ok(None))
}

/// The value that the tokens make up.
fn value(reader: &mut Reader) -> Value {
    let parsed = |kind: u8, line: &[u8]| {
        let line = [&[kind], line, b"\r\n"].concat();
        redis::parse_redis_value(&line).unwrap()
    };
    match reader.next().unwrap() {
        Token::Text(text) => Value::BulkString(text.to_vec()),
        Token::Status(line) => parsed(b'+', line),
        Token::Error(line) => parsed(b'-', line),
        Token::Integer(number) => Value::Int(number),
        Token::Array(count) => Value::Array((0..count).map(|_| value(reader)).collect()),
        Token::Null => Value::Nil,
    }
}

/// Checks that the redis crate reads the same in a complete reply.
fn agrees(reply: &[u8]) {
    let mut reader = Reader::new(reply);
    assert_eq!(value(&mut reader), redis::parse_redis_value(reply).unwrap());
    assert_eq!(reader.next(), None);
    let mut values = Reader::new(reply);
    assert_eq!(values.next_value(), Reader::new(reply).next());
    assert_eq!(values.next(), None);
}

/// Any reply.
fn replies() -> impl Strategy<Value = Vec<u8>> {
    let line = |kind: char| move |line: String| format!("{kind}{line}\r\n").into_bytes();
    let text = |text: Vec<u8>| {
        let length = format!("${}\r\n", text.len()).into_bytes();
        [&length, text.as_slice(), b"\r\n"].concat()
    };
    let scalar = prop_oneof![
        "\\PC{0,12}".prop_map(line('+')),
        "[A-Z]{1,9}( \\PC{0,12})?".prop_map(line('-')),
        any::<i64>().prop_map(move |number| line(':')(number.to_string())),
        vec(any::<u8>(), 0..24).prop_map(text),
        "[\r\n$*:+-]{0,9}".prop_map(move |soup| text(soup.into_bytes())),
        Just(b"$-1\r\n".to_vec()),
        Just(b"*-1\r\n".to_vec()),
    ];
    let depth = MAX_DEPTH as u32;
    scalar.prop_recursive(depth, 64, 6, |values| {
        vec(values, 0..6).prop_map(|values| {
            let length = format!("*{}\r\n", values.len()).into_bytes();
            [length, values.concat()].concat()
        })
    })
}

/// Bytes that are often nearly a reply.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop_oneof![
        4 => "[+:$*-]".prop_map(String::into_bytes),
        4 => "[0-9]{1,2}".prop_map(String::into_bytes),
        6 => Just(b"\r\n".to_vec()),
        2 => prop::sample::select(&REPLIES[..]).prop_map(|reply| reply.into()),
        1 => prop::sample::select(b"\r\n%~#,(_=>|!".as_slice()).prop_map(|byte| vec![byte]),
        1 => vec(any::<u8>(), 1..4),
    ];
    vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
}

#[test]
fn a_reply_is_found_wherever_it_is_split() {
    for reply in REPLIES {
        let reply = reply.as_bytes();
        let stream = [reply, b"+next\r\n"].concat();
        for split in 0..reply.len() {
            let mut end = ReplyEnd::default();
            assert_eq!(end.find(&reply[..split]), Ok(None), "{split}");
            assert_eq!(end.find(&stream), Ok(Some(reply.len())), "{split}");
            // It is ready for the next.
            assert_eq!(end.find(&stream[reply.len()..]), Ok(Some(7)));
        }
        assert_eq!(find_bytewise(reply), (reply.len(), Ok(Some(reply.len()))));
        agrees(reply);
    }
}

/// With the number of bytes after which it is refused.
#[test]
fn garbage_is_refused_without_waiting_for_more() {
    let malformed = [
        (1, "HTTP/1.1 400 Bad Request\r\n"),
        (1, "\x15\x03\x03\0\x02\x02\x46"),
        (1, "\0"),
        (1, "\r\n"),
        (1, "ERROR\r\n"),
        // The types of RESP3.
        (1, "%1\r\n+a\r\n+b\r\n"),
        (1, "~1\r\n+a\r\n"),
        (1, "#t\r\n"),
        (1, ",1.5\r\n"),
        (1, "(1\r\n"),
        (1, "_\r\n"),
        (1, "=5\r\ntxt:a\r\n"),
        (1, ">1\r\n+a\r\n"),
        (1, "|1\r\n+a\r\n+b\r\n"),
        (1, "!1\r\na\r\n"),
        (5, "*1\r\n%0\r\n"),
        // Numbers and lengths.
        (5, "$-2\r\n"),
        (5, "*-2\r\n"),
        (2, "$\r\n"),
        (3, ":-\r\n"),
        (3, ":1 \r\n"),
        (3, ":1.5\r\n"),
        (3, ":--1\r\n"),
        (2, ":a\r\n"),
        (2, "$x"),
        (21, ":00000000000000000000\r\n"),
        (22, ":9223372036854775808\r\n"),
        (22, "$9223372036854775807\r\n"),
        (22, "*9223372036854775807\r\n"),
        (21, "*99999999999999999999\r\n"),
        // Longer than any reply.
        (10, "$8388609\r\n"),
        (10, "$8388608\r\n"),
        (10, "*2796203\r\n"),
        // Ends of lines.
        (4, ":1\rx"),
        (3, ":1\n"),
        (4, "+O\rK\r\n"),
        (3, "+O\nK\r\n"),
        (6, "$1\r\naa\r\n"),
        (7, "$1\r\na\r\r\n"),
        (6, "$1\r\na\n"),
    ];
    for (at, bytes) in malformed {
        let refused = (at, Err(Malformed));
        assert_eq!(find_bytewise(bytes.as_bytes()), refused, "{bytes:?}");
        assert_eq!(find(bytes.as_bytes()), Err(Malformed), "{bytes:?}");
    }
    assert_eq!(find(b"+\xff\r\n"), Err(Malformed));
}

#[test]
fn arrays_are_nested_eight_deep_at_most() {
    let nested = |depth| [&b"*1\r\n".repeat(depth), b":1\r\n".as_slice()].concat();
    let deepest = nested(MAX_DEPTH);
    assert_eq!(find(&deepest), Ok(Some(deepest.len())));
    assert_eq!(find(&nested(MAX_DEPTH + 1)), Err(Malformed));
    // An empty array has no level of its own.
    let empty = [&b"*1\r\n".repeat(MAX_DEPTH), b"*0\r\n".as_slice()].concat();
    assert_eq!(find(&empty), Ok(Some(empty.len())));
}

#[test]
fn a_reply_may_be_as_long_as_the_longest() {
    let digits = b"$8388596\r\n";
    let text = MAX_REPLY - digits.len() - 2;
    let longest = [digits, vec![b'a'; text].as_slice(), b"\r\n"].concat();
    assert_eq!(longest.len(), MAX_REPLY);
    assert_eq!(find(&longest), Ok(Some(MAX_REPLY)));
    let longer = [b"$8388597\r\n".as_slice(), &vec![b'a'; text + 1], b"\r\n"].concat();
    assert_eq!(find(&longer), Err(Malformed));
    assert_eq!(find(b"$8388598\r\n"), Err(Malformed));
    // A line without an end.
    let mut end = ReplyEnd::default();
    let endless = [b"+".as_slice(), &vec![b'a'; MAX_REPLY]].concat();
    assert_eq!(end.find(&endless[..MAX_REPLY - 1]), Ok(None));
    assert_eq!(end.find(&endless[..MAX_REPLY]), Err(Malformed));
    // Values without an end.
    let count = (MAX_REPLY - b"*2796199\r\n".len()) / 3;
    assert!(find(format!("*{count}\r\n").as_bytes()).is_ok());
    assert!(find(format!("*{}\r\n", count + 1).as_bytes()).is_err());
    let numbers = [
        format!("*{count}\r\n").as_bytes(),
        &b":10\r\n".repeat(count),
    ]
    .concat();
    assert_eq!(find(&numbers), Err(Malformed));
}

/// A search that began anew with each byte would examine half a million bytes for each.
#[test]
fn a_long_reply_that_arrives_byte_by_byte_is_examined_in_linear_time() {
    const LENGTH: usize = 1 << 20;
    let array_of = |value: &str| {
        let count = LENGTH / value.len();
        let length = format!("*{count}\r\n");
        [length.as_bytes(), value.repeat(count).as_bytes()].concat()
    };
    let filled = |begin: String, end: &str| {
        let filler = "a".repeat(LENGTH);
        [begin.as_bytes(), filler.as_bytes(), end.as_bytes()].concat()
    };
    let replies = [
        filled(format!("${LENGTH}\r\n"), "\r\n"),
        filled("+".into(), "\r\n"),
        filled("-ERR ".into(), "\r\n"),
        array_of(":1\r\n"),
        array_of(":-9223372036854775808\r\n"),
        array_of("$14\r\n1753000000000A\r\n"),
        array_of("+\r\n"),
        array_of("*2\r\n*0\r\n*1\r\n:1\r\n"),
    ];
    for reply in replies {
        EXAMINED.set(0);
        assert_eq!(find_bytewise(&reply), (reply.len(), Ok(Some(reply.len()))));
        // The longest line of a number takes 23 bytes, of which up to 21 are examined again with each.
        let examined = EXAMINED.get();
        assert!(examined <= 24 * reply.len(), "{examined}");
    }
}

#[test]
fn a_command_is_an_array_of_bulk_strings() {
    let mut out = b"before ".to_vec();
    command(&mut out, &[b"PING"]);
    command(&mut out, &[b"AUTH", b"", b"\r\n\xff"]);
    let written = b"before *1\r\n$4\r\nPING\r\n*3\r\n$4\r\nAUTH\r\n$0\r\n\r\n$3\r\n\r\n\xff\r\n";
    assert_eq!(out, written);
}

#[test]
fn a_number_is_written_in_digits() {
    for number in [0, 9, 10, 99, 100, 1_753_000_000_000, u64::MAX] {
        let mut out = Vec::new();
        Writer::command(&mut out, 1).number(number);
        let text = number.to_string();
        let expected = format!("*1\r\n${}\r\n{text}\r\n", text.len());
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

proptest! {
    #[test]
    fn every_reply_is_found_and_read_as_the_redis_crate_reads_it(
        reply in replies(),
        after in vec(any::<u8>(), 0..9),
        splits in vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let stream = [reply.as_slice(), &after].concat();
        let mut splits: Vec<_> = splits.iter().map(|split| split.index(reply.len())).collect();
        splits.sort_unstable();
        let mut end = ReplyEnd::default();
        for split in splits {
            prop_assert_eq!(end.find(&stream[..split]), Ok(None));
        }
        prop_assert_eq!(end.find(&stream), Ok(Some(reply.len())));
        agrees(&reply);
    }

    /// The sizes of the pieces do not matter, and the redis crate accepts every reply that is found, to its last byte.
    #[test]
    fn any_bytes_have_one_result(bytes in prop_oneof![vec(any::<u8>(), 0..64), soup()]) {
        let whole = find(&bytes);
        let (arrived, bytewise) = find_bytewise(&bytes);
        prop_assert_eq!(whole, bytewise);
        if let Ok(Some(end)) = whole {
            prop_assert_eq!(end, arrived);
            agrees(&bytes[..end]);
        }
        let mut reader = Reader::new(&bytes);
        let mut tokens = 0;
        while reader.next().is_some() {
            tokens += 1;
        }
        // The shortest token is an empty status.
        prop_assert!(tokens <= bytes.len() / 3);
        let mut values = Reader::new(&bytes);
        while values.next_value().is_some() {}
    }

    #[test]
    fn a_command_is_what_the_redis_crate_packs(
        arguments in vec(vec(any::<u8>(), 0..40), 1..20),
        number: u64,
    ) {
        let mut packed = redis::Cmd::new();
        packed.arg(&arguments).arg(number);
        let mut out = Vec::new();
        let mut writer = Writer::command(&mut out, arguments.len() + 1);
        arguments.iter().for_each(|argument| writer.text(argument));
        writer.number(number);
        prop_assert_eq!(out, packed.get_packed_command());
    }
}

//! RESP2 of the modelled servers, apart from the product's: commands in, replies out.

use std::ops::Range;

/// The command at the front of `input`: its length and the ranges of its arguments in `arguments`. `None`: more bytes are needed.
///
/// # Panics
/// If the bytes are no command. The engine has sent nonsense, which is a failure of the run.
pub fn command(input: &[u8], arguments: &mut Vec<Range<usize>>) -> Option<usize> {
    arguments.clear();
    let (count, mut at) = header(input, 0, b'*')?;
    for _ in 0..count {
        let (length, start) = header(input, at, b'$')?;
        let end = start + length;
        if input.len() < end + 2 {
            return None;
        }
        assert_eq!(
            &input[end..end + 2],
            b"\r\n",
            "an argument ends with a line break"
        );
        arguments.push(start..end);
        at = end + 2;
    }
    Some(at)
}

/// The number in the line at `at`, and where the next line begins.
fn header(input: &[u8], at: usize, sign: u8) -> Option<(usize, usize)> {
    let line = input.get(at..)?;
    let end = line.iter().position(|&byte| byte == b'\n')?;
    assert_eq!(line[0], sign, "a command is an array of bulk strings");
    Some((number(&line[1..end - 1]) as usize, at + end + 1))
}

/// A whole number of the engine's own writing.
pub fn number(digits: &[u8]) -> u64 {
    let text = str::from_utf8(digits).unwrap_or("?");
    let parsed = text.parse();
    parsed.unwrap_or_else(|_| panic!("{text:?} is no number"))
}

pub fn array(out: &mut Vec<u8>, length: usize) {
    line(out, b'*', length as i64);
}

pub fn integer(out: &mut Vec<u8>, value: i64) {
    line(out, b':', value);
}

pub fn bulk(out: &mut Vec<u8>, text: &[u8]) {
    line(out, b'$', text.len() as i64);
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

pub fn simple(out: &mut Vec<u8>, text: &str) {
    out.push(b'+');
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

pub fn error(out: &mut Vec<u8>, text: &str) {
    out.push(b'-');
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

pub fn nil(out: &mut Vec<u8>) {
    out.extend_from_slice(b"$-1\r\n");
}

fn line(out: &mut Vec<u8>, sign: u8, value: i64) {
    out.push(sign);
    decimal(out, value);
    out.extend_from_slice(b"\r\n");
}

/// Without the formatting machinery, which takes most of a run's time otherwise.
pub fn decimal(out: &mut Vec<u8>, value: i64) {
    let mut digits = [0; 20];
    let (mut left, mut at) = (value.unsigned_abs(), digits.len());
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_read_once_it_is_whole() {
        let (bytes, mut arguments) = (b"*2\r\n$4\r\nPING\r\n$2\r\na\n\r\n*1\r\n", Vec::new());
        for end in 0..22 {
            assert_eq!(command(&bytes[..end], &mut arguments), None, "{end}");
        }
        assert_eq!(command(bytes, &mut arguments), Some(22));
        let texts: Vec<_> = arguments
            .iter()
            .map(|range| &bytes[range.clone()])
            .collect();
        assert_eq!(texts, [b"PING".as_slice(), b"a\n"]);
    }

    #[test]
    fn numbers_are_written_in_decimal() {
        for value in [0, 7, -1, 1_753_000_000_123, i64::MIN] {
            let mut out = Vec::new();
            integer(&mut out, value);
            assert_eq!(out, format!(":{value}\r\n").into_bytes());
        }
    }
}

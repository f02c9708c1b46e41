//! Values as a server sends them.

use redis::Value;

/// The reply in RESP2, in which a value of RESP3 is one of the older types.
pub fn encoded(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    encode(value, &mut out);
    out
}

fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Nil => out.extend(b"$-1\r\n"),
        Value::Int(number) => line(':', number, out),
        Value::BulkString(text) => bulk(text, out),
        Value::Okay => line('+', "OK", out),
        // A line holds no line break.
        Value::SimpleString(text) => line('+', text.replace(['\r', '\n'], " "), out),
        Value::Double(number) => bulk(number.to_string().as_bytes(), out),
        Value::Boolean(yes) => line(':', u8::from(*yes), out),
        Value::Array(values) | Value::Set(values) => {
            line('*', values.len(), out);
            values.iter().for_each(|value| encode(value, out));
        }
        Value::Map(pairs) => {
            line('*', 2 * pairs.len(), out);
            for (key, value) in pairs {
                encode(key, out);
                encode(value, out);
            }
        }
        other => unreachable!("no input makes {other:?}"),
    }
}

fn line(kind: char, text: impl std::fmt::Display, out: &mut Vec<u8>) {
    out.extend(format!("{kind}{text}\r\n").bytes());
}

fn bulk(text: &[u8], out: &mut Vec<u8>) {
    line('$', text.len(), out);
    out.extend(text);
    out.extend(b"\r\n");
}

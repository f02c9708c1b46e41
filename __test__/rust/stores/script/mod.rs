//! Runs the text of check.lua itself on a real server, with a clock of the test's.
//!
//! A prefix shadows `redis`: `TIME` is the test's, and a key's deadline is kept beside it, on the same clock,
//! where the server's own clock cannot reach it. Keys past their deadline are deleted before the script runs, as the server
//! would do it.

mod clock_steps_back;
mod histories;
mod rolling_upgrade;

use std::sync::Arc;

use huntaze_rate_limit::quota::{Millis, Namespace, Outcome, Rules};
use huntaze_rate_limit::store::redis::script::{ScriptRef, Tag, check};
use huntaze_rate_limit::store::{Request, Scope, StoreError};
use redis::{Connection, Script, Value};

use crate::random_history::RandomRequest;
use crate::server::{Server, shared};

/// The extra arguments, last: the hash of deadlines, and the time in ms.
const BEFORE: &str = "
local real, deadlines, clock = redis, ARGV[#ARGV - 1], tonumber(ARGV[#ARGV])
ARGV[#ARGV] = nil
ARGV[#ARGV] = nil
local function forget_if_gone(key)
  if real.call('EXISTS', key) == 0 then real.call('HDEL', deadlines, key) end
end
local redis = {}
function redis.pcall(...)
  local ok, reply = pcall(redis.call, ...)
  return ok and reply or not ok and (type(reply) == 'table' and reply or {err = reply})
end
function redis.call(command, key, ...)
  if command == 'TIME' then
    return {string.format('%.0f', math.floor(clock / 1000)), string.format('%.0f', clock % 1000 * 1000 + 999)}
  end
  if command == 'PEXPIRE' then
    local ttl = tonumber((...))
    assert(ttl > 0 and ttl == math.floor(ttl), 'a TTL is a whole number above 0')
    assert(real.call('EXISTS', key) == 1, 'a TTL is for a key that is there')
    real.call('HSET', deadlines, key, string.format('%.0f', clock + ttl))
    return 1
  end
  local reply = real.call(command, key, ...)
  forget_if_gone(key)
  return reply
end
for _, key in ipairs(KEYS) do
  local deadline = tonumber(real.call('HGET', deadlines, key) or nil)
  if deadline and deadline <= clock then
    real.call('DEL', key)
    forget_if_gone(key)
  end
end
local function script()
";

const AFTER: &str = "
end
local reply, left = script(), {}
for i, key in ipairs(KEYS) do
  local deadline = real.call('HGET', deadlines, key)
  -- I9: no key is immortal.
  assert(deadline or real.call('EXISTS', key) == 0, 'a key without a TTL')
  left[i] = tonumber(deadline or 0)
end
return {reply, left}
";

/// A server and the script on it.
pub struct Lua {
    connection: Connection,
    script: Script,
    namespaces: usize,
    _server: Arc<Server>,
}

/// One history's keys, fresh.
pub struct Keys {
    name: Namespace,
    deadlines: String,
}

/// An answer, and the deadline of its key on the test's clock after the batch; `None`: there is no key.
pub struct Answer {
    pub outcome: Result<Outcome, StoreError>,
    pub deadline: Option<Millis>,
}

impl Lua {
    pub fn new() -> Self {
        Self::of(check::SOURCE)
    }

    /// The script of the version before this one.
    pub fn before() -> Self {
        Self::of(include_str!("../../../fixtures/check-before.lua"))
    }

    fn of(source: &str) -> Self {
        let server = shared();
        Self {
            connection: server.admin(),
            script: Script::new(&format!("{BEFORE}{source}{AFTER}")),
            namespaces: 0,
            _server: server,
        }
    }

    /// The keys of a new history.
    pub fn keys(&mut self, test: &str) -> Keys {
        self.namespaces += 1;
        let name = format!("{test}.{}", self.namespaces);
        Keys {
            deadlines: format!("deadlines-of-{name}"),
            name: Namespace::new(name).unwrap(),
        }
    }

    /// Runs one batch at `now`.
    pub fn ask(
        &mut self,
        keys: &Keys,
        now: Millis,
        rules: Rules,
        asks: &[RandomRequest],
    ) -> Vec<Answer> {
        let requests: Vec<_> = asks.iter().map(|ask| ask.request()).collect();
        let tag = Tag::of(self.namespaces);
        let scope = Scope {
            name: keys.name.clone(),
            rules,
        };
        let mut call = self.script.prepare_invoke();
        let (its_keys, arguments) = keys_and_arguments(tag, &scope, &requests);
        for key in its_keys {
            call.key(key);
        }
        for argument in arguments {
            call.arg(argument);
        }
        call.arg(&keys.deadlines).arg(now);
        let (reply, deadlines): (Value, Vec<Millis>) = call.invoke(&mut self.connection).unwrap();
        let mut encoded = Vec::new();
        encode(&reply, &mut encoded);
        let limits = requests.iter().map(|request| request.limit);
        check::decode(&encoded, tag, rules.window, limits)
            .unwrap()
            .into_iter()
            .zip(deadlines)
            .map(|(outcome, deadline)| Answer {
                outcome,
                deadline: Some(deadline).filter(|&deadline| deadline > 0),
            })
            .collect()
    }
}

/// KEYS and ARGV of the command for `requests`: the script of the test takes the place of the one in it.
fn keys_and_arguments(
    tag: Tag,
    scope: &Scope,
    requests: &[Request],
) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut command = Vec::new();
    check::encode(&mut command, ScriptRef::Sha, tag, scope, requests.iter());
    let command = redis::parse_redis_value(&command).unwrap();
    let mut keys: Vec<Vec<u8>> = redis::from_redis_value(command).unwrap();
    // EVALSHA, the hash, the number of keys.
    keys.drain(..3);
    let arguments = keys.split_off(requests.len());
    (keys, arguments)
}

/// The bytes of a reply that the crate has parsed.
fn encode(reply: &Value, out: &mut Vec<u8>) {
    match reply {
        Value::Int(number) => out.extend(format!(":{number}\r\n").as_bytes()),
        Value::BulkString(text) => {
            out.extend(format!("${}\r\n", text.len()).as_bytes());
            out.extend([text, b"\r\n".as_slice()].concat());
        }
        Value::Array(values) => {
            out.extend(format!("*{}\r\n", values.len()).as_bytes());
            values.iter().for_each(|value| encode(value, out));
        }
        other => panic!("no value of the script's: {other:?}"),
    }
}

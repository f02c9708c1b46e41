//! The modelled servers: one Redis with a replica, or the shards of a cluster. They speak RESP2 by bytes and execute the two
//! scripts on the model of a log.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::sync::LazyLock;

use super::cluster::{Migration, View, slot_of};
use super::log::{Entry, Kind, Log, Millis, Replayed, Rules};
use super::resp;
use super::scripts::{self, Call};
use super::sha1;

/// Virtual microseconds since the run began.
pub type Micros = u64;

/// The time of all clocks when a run begins, in Unix ms.
pub const EPOCH: Millis = 1_753_000_000_000;

pub type NodeId = usize;
pub type KeyId = u32;

/// The most requests in a call of check.lua.
const MAX_BATCH: usize = 64;

const SOURCES: [&[u8]; 2] = [
    include_bytes!("../../src/store/redis/script/check.lua"),
    include_bytes!("../../src/store/redis/script/replay.lua"),
];
static DIGESTS: LazyLock<[String; 2]> = LazyLock::new(|| SOURCES.map(sha1::hex));
const CHECK: usize = 0;

/// A key that a command has named.
#[derive(Debug)]
pub struct Key {
    pub slot: u16,
    /// The key of a probe or of a connection test.
    pub reserved: bool,
    pub probe: bool,
}

/// Conditions of a server, each until a moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Conditions {
    pub loading: Micros,
    pub master_down: Micros,
    pub busy: Micros,
    pub full_memory: Micros,
    pub unwritable: Micros,
    pub forbidden: Micros,
    pub max_clients: Micros,
    pub cluster_down: Micros,
    /// Processes nothing, and then all that has come.
    pub paused: Micros,
}

pub struct Node {
    pub address: SocketAddr,
    pub shard: usize,
    pub up: bool,
    pub replica: bool,
    /// How far its clock is ahead, in ms.
    pub clock: i64,
    pub conditions: Conditions,
    /// None: it asks for no password.
    pub passwords: Vec<&'static str>,
    pub scripts: [bool; 2],
    /// It forgets its scripts after this many more calls.
    pub forgets_after: Option<u32>,
    pub data: Vec<Log>,
    /// Keys that are no logs.
    pub values: BTreeMap<Box<[u8]>, Box<[u8]>>,
    /// The shard map that it knows.
    pub view: Rc<View>,
}

/// How a server garbles its next reply on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tamper {
    Lose,
    Double,
    Garbage,
    /// Half of the reply, and then the end of the connection.
    Truncate,
}

/// A server's end of a connection.
#[derive(Debug, Default)]
pub struct Client {
    pub input: Vec<u8>,
    authenticated: bool,
    /// The moment of the last login.
    pub logged_in: Micros,
    asking: bool,
    pub tamper: Option<Tamper>,
    /// Its replies are out of step.
    shifted: bool,
    /// When the last bytes that have arrived were sent.
    pub sent: Micros,
    /// The server closes the connection after its output.
    pub closes: bool,
}

/// The execution of a script for one key.
#[derive(Debug, Clone)]
pub struct Record {
    pub key: KeyId,
    pub at: Micros,
    pub node: NodeId,
    pub sent: Micros,
    pub done: Done,
}

#[derive(Debug, Clone)]
pub enum Done {
    Decided(Kind, Entry),
    /// The server refused the request.
    Refused,
    Entered(Replayed),
    NotEntered,
}

/// The effects of commands, besides their replies.
#[derive(Default)]
pub struct Effects {
    pub records: Vec<Record>,
    /// The engine has broken a rule of the protocol.
    pub violation: Option<String>,
    /// MOVED and ASK, for the count of redirects.
    pub moved: u32,
    /// Calls that are probes, executed or not.
    pub probes: u64,
    /// The commands, when a run is traced.
    pub trace: Option<Vec<String>>,
}

pub struct Servers {
    pub clustered: bool,
    pub nodes: Vec<Node>,
    /// The truth, which nodes learn by and by.
    pub truth: Rc<View>,
    pub migrations: Vec<Migration>,
    pub keys: Vec<Key>,
    ids: HashMap<Box<[u8]>, KeyId, BuildHasherDefault<DefaultHasher>>,
    arguments: Vec<Range<usize>>,
    script_keys: Vec<KeyId>,
}

impl Servers {
    pub fn new(clustered: bool, nodes: Vec<Node>, view: Rc<View>) -> Self {
        Self {
            clustered,
            nodes,
            truth: view,
            migrations: Vec::new(),
            keys: Vec::new(),
            ids: HashMap::default(),
            arguments: Vec::new(),
            script_keys: Vec::new(),
        }
    }

    pub fn key(&mut self, text: &[u8]) -> KeyId {
        if let Some(&id) = self.ids.get(text) {
            return id;
        }
        let id = self.keys.len() as KeyId;
        let reserved = text.windows(2).any(|pair| pair == b":#" || pair == b":}");
        self.keys.push(Key {
            slot: slot_of(text),
            reserved,
            probe: text.windows(2).any(|pair| pair == b":#"),
        });
        self.ids.insert(text.into(), id);
        for node in &mut self.nodes {
            node.data.push(Log::default());
        }
        id
    }

    pub fn now_ms(&self, node: NodeId, now: Micros) -> Millis {
        let clock = self.nodes[node].clock;
        (EPOCH + now / 1000).saturating_add_signed(clock)
    }

    /// Executes the whole commands in the input of `client`, and appends the replies to `out`.
    pub fn serve(
        &mut self,
        node: NodeId,
        client: &mut Client,
        now: Micros,
        out: &mut Vec<u8>,
        effects: &mut Effects,
    ) {
        let input = std::mem::take(&mut client.input);
        let mut begin = 0;
        let mut arguments = std::mem::take(&mut self.arguments);
        while !client.closes
            && let Some(length) = resp::command(&input[begin..], &mut arguments)
        {
            let command = Command {
                bytes: &input[begin..begin + length],
                ranges: &arguments,
            };
            begin += length;
            let start = out.len();
            self.execute(node, client, &command, now, out, effects);
            if let Some(trace) = &mut effects.trace {
                let reply = out[start..].escape_ascii();
                trace.push(format!(
                    "  node {node} executes {} -> {reply}",
                    command.shown()
                ));
            }
            tamper(client, start, out);
        }
        self.arguments = arguments;
        client.input = input;
        client.input.drain(..begin);
    }

    #[allow(clippy::too_many_arguments)]
    fn execute(
        &mut self,
        node: NodeId,
        client: &mut Client,
        command: &Command<'_>,
        now: Micros,
        out: &mut Vec<u8>,
        effects: &mut Effects,
    ) {
        let name = command.get(0);
        let asking = std::mem::take(&mut client.asking);
        let this = &self.nodes[node];
        let conditions = this.conditions;
        if name == b"AUTH" {
            return self.authenticate(node, client, command, now, out);
        }
        if !this.passwords.is_empty() && !client.authenticated {
            return resp::error(out, "NOAUTH Authentication required.");
        }
        let script = matches!(name, b"EVALSHA" | b"EVAL");
        if script && now < conditions.forbidden {
            return resp::error(
                out,
                "NOPERM User default has no permissions to run the 'evalsha' command",
            );
        }
        self.script_keys.clear();
        if script {
            let count = resp::number(command.get(2)) as usize;
            for at in 0..count {
                let key = self.key(command.get(3 + at));
                self.script_keys.push(key);
            }
            let probes = self.script_keys.iter();
            let probes = probes.filter(|&&key| self.keys[key as usize].probe);
            effects.probes += probes.count() as u64;
            if self.clustered && self.redirects(node, asking, now, out, effects) {
                return;
            }
        }
        let at_any_time = matches!(name, b"SELECT" | b"CLUSTER");
        if !at_any_time && now < conditions.master_down {
            let error =
                "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
            return resp::error(out, error);
        }
        if !at_any_time && now < conditions.loading {
            return resp::error(out, "LOADING Redis is loading the dataset in memory");
        }
        if now < conditions.busy {
            let error = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
            return resp::error(out, error);
        }
        match name {
            b"PING" => resp::simple(out, "PONG"),
            b"ASKING" if self.clustered => {
                client.asking = true;
                resp::simple(out, "OK");
            }
            b"SELECT" if self.clustered && command.get(1) != b"0" => {
                resp::error(out, "ERR SELECT is not allowed in cluster mode");
            }
            b"SELECT" if resp::number(command.get(1)) < 16 => resp::simple(out, "OK"),
            b"SELECT" => resp::error(out, "ERR DB index is out of range"),
            b"CLUSTER" if self.clustered => self.slots(node, out),
            b"CLUSTER" => resp::error(out, "ERR This instance has cluster support disabled"),
            b"EVALSHA" | b"EVAL" => {
                let known = match name == b"EVAL" {
                    true => SOURCES.iter().position(|&source| source == command.get(1)),
                    false => {
                        let known = DIGESTS
                            .iter()
                            .position(|digest| digest.as_bytes() == command.get(1));
                        known.filter(|&script| self.nodes[node].scripts[script])
                    }
                };
                let Some(script) = known else {
                    return resp::error(out, "NOSCRIPT No matching script. Please use EVAL.");
                };
                let this = &mut self.nodes[node];
                this.scripts[script] = true;
                match &mut this.forgets_after {
                    Some(0) => (this.scripts, this.forgets_after) = ([false; 2], None),
                    Some(calls) => *calls -= 1,
                    None => {}
                }
                self.run(node, client, script, command, now, out, effects);
            }
            b"SET" => {
                let (key, value) = (command.get(1).into(), command.get(2).into());
                self.nodes[node].values.insert(key, value);
                resp::simple(out, "OK");
            }
            b"GET" => match self.nodes[node].values.get(command.get(1)) {
                Some(value) => resp::bulk(out, value),
                None => resp::nil(out),
            },
            b"DEL" => {
                let removed = self.nodes[node].values.remove(command.get(1));
                resp::integer(out, i64::from(removed.is_some()));
            }
            b"INFO" => resp::bulk(out, b"# Server\r\nredis_version:7.4.1\r\n"),
            _ => {
                effects.violation = Some(format!("an unknown command: {}", command.shown()));
                resp::error(out, "ERR unknown command");
            }
        }
    }

    fn authenticate(
        &mut self,
        node: NodeId,
        client: &mut Client,
        command: &Command<'_>,
        now: Micros,
        out: &mut Vec<u8>,
    ) {
        let passwords = &self.nodes[node].passwords;
        let given = command.get(command.ranges.len() - 1);
        if passwords.is_empty() {
            let error = "ERR AUTH <password> called without any password configured for the default user. Are you sure \
                         your configuration is correct?";
            resp::error(out, error);
        } else if passwords.iter().any(|known| known.as_bytes() == given) {
            (client.authenticated, client.logged_in) = (true, now);
            resp::simple(out, "OK");
        } else {
            resp::error(
                out,
                "WRONGPASS invalid username-password pair or user is disabled.",
            );
        }
    }

    /// Whether the keys of the command are redirected, or refused.
    fn redirects(
        &self,
        node: NodeId,
        asking: bool,
        now: Micros,
        out: &mut Vec<u8>,
        effects: &mut Effects,
    ) -> bool {
        let this = &self.nodes[node];
        let Some(slot) = self
            .script_keys
            .first()
            .map(|&key| self.keys[key as usize].slot)
        else {
            return false;
        };
        if self
            .script_keys
            .iter()
            .any(|&key| self.keys[key as usize].slot != slot)
        {
            effects.violation = Some("keys of several slots in one call".into());
            resp::error(out, "CROSSSLOT Keys in request don't hash to the same slot");
            return true;
        }
        if now < this.conditions.cluster_down {
            resp::error(out, "CLUSTERDOWN The cluster is down");
            return true;
        }
        let Some(owner) = this.view.shard_of(slot) else {
            resp::error(out, "CLUSTERDOWN Hash slot not served");
            return true;
        };
        let primary = this.view.primaries[owner];
        let migration = self.migrations.iter().find(|moving| moving.slot == slot);
        let present = |key: &&KeyId| this.data[**key as usize] != Log::default();
        let existing = self.script_keys.iter().filter(present).count();
        let missing = self.script_keys.len() - existing;
        let mut redirect = |kind: &str, to: NodeId| {
            effects.moved += u32::from(kind == "MOVED");
            resp::error(out, &format!("{kind} {slot} {}", self.nodes[to].address));
        };
        match migration {
            Some(moving)
                if owner == this.shard
                    && primary == node
                    && moving.from == owner
                    && missing > 0 =>
            {
                if existing > 0 {
                    resp::error(
                        out,
                        "TRYAGAIN Multiple keys request during rehashing of slot",
                    );
                } else {
                    redirect("ASK", this.view.primaries[moving.to]);
                }
                true
            }
            Some(moving) if asking && moving.to == this.shard && !this.replica => {
                if missing > 0 && self.script_keys.len() > 1 {
                    resp::error(
                        out,
                        "TRYAGAIN Multiple keys request during rehashing of slot",
                    );
                    return true;
                }
                false
            }
            _ if primary != node => {
                redirect("MOVED", primary);
                true
            }
            _ => false,
        }
    }

    fn slots(&self, node: NodeId, out: &mut Vec<u8>) {
        let view = &self.nodes[node].view;
        resp::array(out, view.ranges.len());
        for &(first, last, shard) in &view.ranges {
            let replicas = &view.replicas[shard];
            resp::array(out, 3 + replicas.len());
            resp::integer(out, i64::from(first));
            resp::integer(out, i64::from(last));
            for &server in [&view.primaries[shard]].into_iter().chain(replicas) {
                let address = self.nodes[server].address;
                resp::array(out, 3);
                resp::bulk(out, address.ip().to_string().as_bytes());
                resp::integer(out, i64::from(address.port()));
                resp::bulk(out, format!("{server:040}").as_bytes());
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn run(
        &mut self,
        node: NodeId,
        client: &Client,
        script: usize,
        command: &Command<'_>,
        now: Micros,
        out: &mut Vec<u8>,
        effects: &mut Effects,
    ) {
        let keys = std::mem::take(&mut self.script_keys);
        let ms = self.now_ms(node, now);
        let this = &mut self.nodes[node];
        let refusal = if this.replica {
            Some("READONLY You can't write against a read only replica.")
        } else if now < this.conditions.unwritable {
            Some("MISCONF Errors writing to the AOF file: No space left on device")
        } else {
            None
        };
        let call = Call {
            ms,
            rules: Rules {
                window: resp::number(command.get(3 + keys.len())),
                anomaly_window: resp::number(command.get(4 + keys.len())),
            },
            full_memory: now < this.conditions.full_memory,
            refusal,
        };
        let arguments = |at: usize| command.get(2 + keys.len() + at);
        let record = |key, done| Record {
            key,
            at: now,
            node,
            sent: client.sent,
            done,
        };
        if script == CHECK {
            if keys.len() > MAX_BATCH {
                effects.violation = Some(format!("{} requests in one call", keys.len()));
            }
            let results = scripts::check(&mut this.data, &keys, &call, arguments, out);
            for (&key, (kind, result)) in keys.iter().zip(results) {
                let done = result.map_or(Done::Refused, |entry| Done::Decided(kind, entry));
                effects.records.push(record(key, done));
            }
        } else {
            let entered = scripts::replay(&mut this.data, &keys, &call, arguments, out);
            for (&key, entered) in keys.iter().zip(entered) {
                let done = entered.map_or(Done::NotEntered, Done::Entered);
                effects.records.push(record(key, done));
            }
        }
        self.script_keys = keys;
    }
}

/// An error has no tag: out of step, a redirect or NOSCRIPT would be taken for that of another call, which may have been executed
/// and would be sent again. So the connection ends instead.
fn tamper(client: &mut Client, start: usize, out: &mut Vec<u8>) {
    let length = out.len() - start;
    let error = out[start] == b'-';
    if error && client.shifted {
        out.truncate(start);
        client.closes = true;
    }
    if error {
        return;
    }
    match client.tamper.take() {
        None => {}
        Some(Tamper::Lose) => {
            out.truncate(start);
            client.shifted = true;
        }
        Some(Tamper::Double) => {
            out.extend_from_within(start..);
            client.shifted = true;
        }
        Some(Tamper::Garbage) => {
            out.truncate(start);
            out.extend_from_slice(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
        Some(Tamper::Truncate) => {
            out.truncate(start + length / 2);
            client.closes = true;
        }
    }
}

/// A command and the ranges of its arguments.
struct Command<'a> {
    bytes: &'a [u8],
    ranges: &'a [Range<usize>],
}

impl<'a> Command<'a> {
    fn get(&self, at: usize) -> &'a [u8] {
        let range = self.ranges.get(at);
        range.map_or(b"", |range| &self.bytes[range.clone()])
    }

    fn shown(&self) -> String {
        let texts = (0..self.ranges.len()).map(|at| {
            let text = self.get(at);
            match text.len() > 60 {
                true => format!("({} bytes)", text.len()),
                false => text.escape_ascii().to_string(),
            }
        });
        texts.collect::<Vec<_>>().join(" ")
    }
}

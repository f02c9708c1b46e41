//! A proxy to a server that understands AUTH: it can refuse one, close a connection whose login is too old, as ElastiCache
//! does, and log a connection out.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Forwards each connection to a port of this machine.
pub struct AuthProxy {
    pub port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    accepted: AtomicUsize,
    auths: AtomicUsize,
    expired: AtomicUsize,
    /// How many more re-authentications are refused.
    refusals: AtomicUsize,
    /// Connections before this one are to be logged out.
    logged_out: AtomicUsize,
}

impl AuthProxy {
    /// `life`: how long a login holds; `None`: for good.
    pub fn to(port: u16, life: Option<Duration>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            state: Arc::default(),
        };
        let state = Arc::clone(&proxy.state);
        // The thread ends with the process: it does not learn that the test is over.
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let number = state.accepted.fetch_add(1, Ordering::SeqCst);
                let ends = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let skip = Arc::new(AtomicBool::new(false));
                let skips = Arc::clone(&skip);
                thread::spawn(move || forward_replies((server, client), &skips));
                let state = Arc::clone(&state);
                thread::spawn(move || forward_commands(ends, number, life, &state, &skip));
            }
        });
        proxy
    }

    /// Refuses the next `count` AUTHs, apart from the first of each connection.
    pub fn refuse(&self, count: usize) {
        self.state.refusals.store(count, Ordering::SeqCst);
    }

    /// How many are still to be refused.
    pub fn to_refuse(&self) -> usize {
        self.state.refusals.load(Ordering::SeqCst)
    }

    /// Logs out the present connections, each before its next command.
    pub fn log_out_all(&self) {
        let accepted = self.accepted();
        self.state.logged_out.store(accepted, Ordering::SeqCst);
    }

    /// How many connections there have been.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// How many of them were closed because of the age of their login.
    pub fn expired(&self) -> usize {
        self.state.expired.load(Ordering::SeqCst)
    }

    /// How many AUTHs there have been.
    pub fn auths(&self) -> usize {
        self.state.auths.load(Ordering::SeqCst)
    }
}

/// Forwards the client's commands, one by one.
fn forward_commands(
    (client, mut server): (TcpStream, TcpStream),
    number: usize,
    life: Option<Duration>,
    state: &State,
    skip: &AtomicBool,
) {
    let mut reader = BufReader::new(client.try_clone().unwrap());
    let mut since = Instant::now();
    let (mut known, mut logged_out) = (false, false);
    loop {
        let left = life.map(|life| life.saturating_sub(since.elapsed()));
        if left == Some(Duration::ZERO) {
            state.expired.fetch_add(1, Ordering::SeqCst);
            break;
        }
        client.set_read_timeout(left).unwrap();
        match reader.fill_buf() {
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(_) | Ok([]) => break,
            Ok(_) => {}
        }
        let Some(mut words) = command(&mut reader) else {
            break;
        };
        if number < state.logged_out.load(Ordering::SeqCst) && !logged_out {
            logged_out = true;
            skip.store(true, Ordering::SeqCst);
            server.write_all(b"*1\r\n$5\r\nRESET\r\n").unwrap();
        }
        if words[0] == b"AUTH" {
            state.auths.fetch_add(1, Ordering::SeqCst);
            let less = |count: usize| count.checked_sub(1);
            let refuses = || {
                let refusals = &state.refusals;
                refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
            };
            if known && refuses().is_ok() {
                // The server itself refuses it, in the order of the replies.
                *words.last_mut().unwrap() = b"refused".to_vec();
            } else {
                (known, since) = (true, Instant::now());
            }
        }
        let mut text = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            text.extend(format!("${}\r\n", word.len()).into_bytes());
            text.extend(word);
            text.extend(b"\r\n");
        }
        if server.write_all(&text).is_err() {
            break;
        }
    }
    // The other end may have gone before.
    let _ = (
        server.shutdown(Shutdown::Both),
        client.shutdown(Shutdown::Both),
    );
}

/// A command: a list of bulk strings. `None`: the end.
fn command(reader: &mut impl BufRead) -> Option<Vec<Vec<u8>>> {
    let count = number(reader, '*')?;
    let word = |_| {
        let mut word = vec![0; number(reader, '$')? + 2];
        reader.read_exact(&mut word).ok()?;
        word.truncate(word.len() - 2);
        Some(word)
    };
    (0..count).map(word).collect()
}

fn number(reader: &mut impl BufRead, mark: char) -> Option<usize> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    line.trim_end().strip_prefix(mark)?.parse().ok()
}

/// Forwards the server's replies, except that to RESET.
fn forward_replies((mut server, mut client): (TcpStream, TcpStream), skip: &AtomicBool) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = server.read(&mut buffer) {
        let mut reply = &buffer[..count];
        if skip.swap(false, Ordering::SeqCst) {
            // Nothing else is in flight while a connection is logged out.
            reply = reply.strip_prefix(b"+RESET\r\n").unwrap();
        }
        if client.write_all(reply).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}

//! A fake server: a test decides what it replies to the bytes that it receives.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use huntaze_rate_limit::store::redis::RedisConfig;
use huntaze_rate_limit::store::redis::config_env::with_defaults;

/// Starts a server and returns its port. `answer` gets the bytes of each read, and whether they are TLS; the server sends what
/// it returns. `None` closes the connection.
pub fn server<A: AsRef<[u8]> + 'static>(
    answer: impl Fn(&[u8], bool) -> Option<A> + Send + Sync + 'static,
) -> u16 {
    counting_server(answer).0
}

/// The same, with the number of connections that it has accepted.
pub fn counting_server<A: AsRef<[u8]> + 'static>(
    answer: impl Fn(&[u8], bool) -> Option<A> + Send + Sync + 'static,
) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    let accepted = Arc::<AtomicUsize>::default();
    let counts = Arc::clone(&accepted);
    // The thread ends with the process: it does not learn that the test is over.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.unwrap(), Arc::clone(&answer));
            counts.fetch_add(1, Ordering::SeqCst);
            thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    let Some(words) = answer(&bytes[..count], bytes[0] == 0x16) else {
                        return;
                    };
                    if stream.write_all(words.as_ref()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, accepted)
}

/// The configuration of a store that connects to it.
pub fn config(port: u16) -> RedisConfig {
    RedisConfig {
        port,
        // A busy machine is no failure; tests about the budget set their own.
        connect_timeout: Duration::from_secs(30),
        ..with_defaults("127.0.0.1")
    }
}

/// Whether the bytes contain `word`.
pub fn contains(bytes: &[u8], word: &str) -> bool {
    bytes
        .windows(word.len())
        .any(|window| window == word.as_bytes())
}

//! A proxy to a server that can lose everything sent through it, without closing either end.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Forwards each connection to a port of this machine.
pub struct LossyProxy {
    pub port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    accepted: AtomicUsize,
    /// Connections before this one lose everything.
    lost: AtomicUsize,
}

impl LossyProxy {
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            state: Arc::default(),
        };
        let state = Arc::clone(&proxy.state);
        // The thread ends with the process: it does not learn that the test is over.
        thread::spawn(move || {
            for near in listener.incoming() {
                let near = near.unwrap();
                let far = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let number = state.accepted.fetch_add(1, Ordering::SeqCst);
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let ends = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let state = Arc::clone(&state);
                    thread::spawn(move || forward(ends, number, &state));
                }
            }
        });
        proxy
    }

    /// From now on the present connections lose everything. New ones do not.
    pub fn lose_all(&self) {
        let accepted = self.accepted();
        self.state.lost.store(accepted, Ordering::SeqCst);
    }

    /// How many connections there have been.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }
}

fn forward((mut from, mut to): (TcpStream, TcpStream), number: usize, state: &State) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let lost = number < state.lost.load(Ordering::SeqCst);
        if !lost && to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // The other end may have gone before.
    let _ = to.shutdown(Shutdown::Write);
}

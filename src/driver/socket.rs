//! A socket: bytes out and in, with TLS where it is configured.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::ClientConnection;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

/// A peer that has vanished is noticed after this long without an answer: the default of TCP is two hours.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Unacknowledged data breaks the connection after this long (Linux only).
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(5);

/// Capacity that is kept for further bytes.
const KEPT: usize = 64 * 1024;

/// Connects by TCP.
///
/// # Errors
/// The system's.
pub(super) async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let tcp = TcpStream::connect(address).await?;
    // A check is one small packet: Nagle's algorithm would delay it by up to 40 ms.
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(&tcp);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE)
            .with_interval(KEEPALIVE),
    )?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(tcp)
}

/// The sending end of a connection, and its TLS session.
///
/// The engine's lock is not held while the system sends: a sender queues bytes under that lock, and flushes them after it. One
/// thread flushes at a time, and sends what others have queued meanwhile, so the bytes leave in the order of the engine.
pub(super) struct Socket {
    stream: OwnedWriteHalf,
    /// Bytes to send, in plain text.
    queued: Mutex<Vec<u8>>,
    /// Held by the thread that sends.
    sending: Mutex<Sending>,
    session: Option<Mutex<ClientConnection>>,
}

#[derive(Default)]
struct Sending {
    /// Bytes that are to leave before those in `queued`, encrypted where there is TLS.
    bytes: Vec<u8>,
    /// The socket took only a part of them, and its readiness is awaited.
    blocked: bool,
}

/// What has become of the bytes to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flushed {
    /// All have been sent, or another thread sends them.
    Done,
    /// The socket takes no more for now. Its readiness has to be awaited, and then it has to be flushed again.
    Blocked,
}

/// What bytes from the server have done to a TLS session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Received {
    /// They have completed the handshake.
    pub(super) completes_handshake: bool,
    /// The server has ended the session (close_notify). What follows means nothing.
    pub(super) is_end: bool,
}

impl Socket {
    pub(super) fn new(stream: OwnedWriteHalf, session: Option<ClientConnection>) -> Self {
        let session = session.map(|mut session| {
            // What the engine has to send is bounded by the requests in flight.
            session.set_buffer_limit(None);
            Mutex::new(session)
        });
        Self {
            stream,
            queued: Mutex::default(),
            sending: Mutex::default(),
            session,
        }
    }

    pub(super) fn has_tls(&self) -> bool {
        self.session.is_some()
    }

    pub(super) fn is_handshaking(&self) -> bool {
        let session = self.session.as_ref();
        session.is_some_and(|session| session.lock().is_handshaking())
    }

    /// Takes bytes to send out of `bytes`.
    pub(super) fn queue(&self, bytes: &mut Vec<u8>) {
        let mut queued = self.queued.lock();
        if queued.is_empty() {
            std::mem::swap(&mut *queued, bytes);
        } else {
            queued.append(bytes);
        }
    }

    /// Sends as many of the queued bytes as the socket takes.
    ///
    /// # Errors
    /// The connection is broken.
    pub(super) fn flush(&self) -> io::Result<Flushed> {
        loop {
            // The thread that holds it checks the queue again after it has released the lock.
            let Some(mut sending) = self.sending.try_lock() else {
                return Ok(Flushed::Done);
            };
            if sending.bytes.is_empty() {
                self.take_queued(&mut sending.bytes)?;
            }
            if !send(&self.stream, &mut sending.bytes)? {
                let awaited = std::mem::replace(&mut sending.blocked, true);
                return Ok(if awaited {
                    Flushed::Done
                } else {
                    Flushed::Blocked
                });
            }
            drop(sending);
            // The engine sends nothing before the handshake of TLS is complete.
            if (self.queued.lock().is_empty() || self.is_handshaking()) && !self.wants_write() {
                return Ok(Flushed::Done);
            }
        }
    }

    fn take_queued(&self, sending: &mut Vec<u8>) -> io::Result<()> {
        let Some(session) = &self.session else {
            std::mem::swap(&mut *self.queued.lock(), sending);
            return Ok(());
        };
        let mut session = session.lock();
        if !session.is_handshaking() {
            let mut queued = self.queued.lock();
            session.writer().write_all(&queued)?;
            queued.clear();
        }
        while session.wants_write() {
            session.write_tls(sending)?;
        }
        Ok(())
    }

    /// Whether TLS itself has something to send.
    fn wants_write(&self) -> bool {
        let session = self.session.as_ref();
        session.is_some_and(|session| session.lock().wants_write())
    }

    /// Resolves once the socket takes bytes again.
    pub(super) async fn writable(&self) {
        // An error shows itself when the bytes are sent.
        let _ = self.stream.writable().await;
        self.sending.lock().blocked = false;
    }

    /// Decrypts `bytes` from the server, and appends the plain text to `plain`.
    ///
    /// # Errors
    /// The server's bytes are not the TLS that was agreed on, or it refuses the client. An alert is to be flushed.
    pub(super) fn decrypt(&self, mut bytes: &[u8], plain: &mut Vec<u8>) -> io::Result<Received> {
        let mut received = Received {
            completes_handshake: false,
            is_end: false,
        };
        let Some(session) = &self.session else {
            plain.extend_from_slice(bytes);
            return Ok(received);
        };
        let mut session = session.lock();
        let before = session.is_handshaking();
        // Nothing to read would be the end of the stream, and after a close_notify nothing is taken.
        while !bytes.is_empty() && !received.is_end {
            session.read_tls(&mut bytes)?;
            let processed = session.process_new_packets();
            match session.reader().read_to_end(plain) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            let state =
                processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            received.is_end = state.peer_has_closed();
        }
        received.completes_handshake = before && !session.is_handshaking();
        Ok(received)
    }
}

/// Sends `bytes`, and removes those that were sent. Returns whether that is all of them.
fn send(stream: &OwnedWriteHalf, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let mut sent = 0;
    let result = loop {
        if sent == bytes.len() {
            break Ok(true);
        }
        match stream.try_write(&bytes[sent..]) {
            Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    bytes.drain(..sent);
    if bytes.is_empty() {
        bytes.shrink_to(KEPT);
    }
    result
}

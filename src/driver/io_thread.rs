//! Drives an engine on a Tokio runtime: look-ups, connects, TLS, readiness and timers. It carries out what the engine wishes, and
//! decides nothing.
//!
//! The engine stands behind one lock, which a call takes once. What a call makes to send leaves in the caller's thread, after
//! the lock is released.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::sleep_until;

use super::now;
use super::socket::{self, Flushed, Socket};
use crate::engine::{ConnectionId, Engine, Moment, PasswordRequestId, Wish};
use crate::store::redis::{Credentials, RedisConfig, tls};
use crate::store::{ErrorKind, StoreError};

/// Capacity for bytes from one socket, in bytes: some four hundred replies of a full batch with a few denials.
const READ: usize = 16 * 1024;

/// An engine, and what drives it. All connections are closed with the last reference.
pub struct Driver<T: Deliver> {
    state: Mutex<State<T>>,
    runtime: Handle,
    credentials: Credentials,
    tls: Option<tls::Client>,
    /// The engine's next timer is earlier than the one that is waited for.
    earlier_timer: Arc<Notify>,
    /// The engine is no longer busy.
    settled: Notify,
}

/// What the lock guards. `T` takes the results of the engine.
struct State<T> {
    engine: Engine,
    sockets: BTreeMap<ConnectionId, Arc<Socket>>,
    /// The tasks of each connection: the one that connects and reads, and others that wait for its sake. They end with it.
    tasks: BTreeMap<ConnectionId, Vec<AbortHandle>>,
    /// The tasks that wait for passwords.
    passwords: BTreeMap<PasswordRequestId, AbortHandle>,
    /// The timer that is waited for.
    armed: Option<Instant>,
    results: T,
}

/// Takes what the engine has decided.
pub trait Deliver: Send + 'static {
    /// Takes the results out of the engine, under the lock and in order. What is returned is called after the lock is released: it
    /// may wake another thread, which would then wait for the lock.
    fn deliver(&mut self, engine: &mut Engine) -> impl FnOnce() + use<Self>;
}

impl<T: Deliver> Driver<T> {
    /// Drives `engine`, for `config`, on `runtime`.
    pub fn start(runtime: Handle, config: &RedisConfig, engine: Engine, results: T) -> Arc<Self> {
        let earlier_timer = Arc::new(Notify::new());
        let driver = Arc::new(Self {
            state: Mutex::new(State {
                engine,
                sockets: BTreeMap::new(),
                tasks: BTreeMap::new(),
                passwords: BTreeMap::new(),
                armed: None,
                results,
            }),
            credentials: config.credentials.clone(),
            tls: config.tls.clone().map(tls::Client::new),
            earlier_timer: Arc::clone(&earlier_timer),
            settled: Notify::new(),
            runtime,
        });
        let timers = run_timers(Arc::downgrade(&driver), earlier_timer);
        driver.runtime.spawn(timers);
        driver
    }

    /// Calls `act` with the engine, and carries out what follows.
    pub fn with<R>(self: &Arc<Self>, act: impl FnOnce(&mut Engine, &mut T, Moment) -> R) -> R {
        self.with_state(|state, now| act(&mut state.engine, &mut state.results, now))
    }

    fn with_state<R>(self: &Arc<Self>, act: impl FnOnce(&mut State<T>, Moment) -> R) -> R {
        let mut state = self.state.lock();
        let result = catch_unwind(AssertUnwindSafe(|| act(&mut state, now())));
        if result.is_err() {
            // Other requests than that of the caller are in flight, and each has to be answered.
            state.engine.restart(now());
        }
        if state.engine.has_output() {
            self.carry_out(state);
        } else {
            self.arm(&mut state);
        }
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Resolves once closed limiters have answered all requests, and connection tests have ended.
    pub async fn settled(&self) {
        loop {
            let settled = self.settled.notified();
            if !self.state.lock().engine.is_busy() {
                return;
            }
            settled.await;
        }
    }

    /// Has the timer task wait for the engine's next timer.
    fn arm(&self, state: &mut State<T>) {
        if let Some(at) = state.engine.next_timer()
            && state.armed.is_none_or(|armed| at < armed)
        {
            state.armed = Some(at);
            self.earlier_timer.notify_one();
        }
    }

    /// Carries out the engine's wishes, and delivers its results.
    fn carry_out(self: &Arc<Self>, mut state: MutexGuard<'_, State<T>>) {
        let mut to_flush = Vec::new();
        while let Some(wish) = state.engine.next_wish() {
            match wish {
                Wish::Send { connection } => {
                    let State {
                        engine, sockets, ..
                    } = &mut *state;
                    if let Some(socket) = sockets.get(&connection)
                        && let Some(bytes) = engine.transmit(connection)
                    {
                        socket.queue(bytes);
                        to_flush.push((connection, Arc::clone(socket)));
                    }
                }
                Wish::Close { connection } => {
                    state.sockets.remove(&connection);
                    let tasks = state.tasks.remove(&connection);
                    tasks.iter().flatten().for_each(AbortHandle::abort);
                }
                Wish::Connect {
                    connection,
                    address,
                    host,
                } => {
                    let run = run_connection(Arc::downgrade(self), connection, address, host);
                    let task = self.runtime.spawn(run).abort_handle();
                    state.tasks.insert(connection, vec![task]);
                }
                Wish::LookUp { server, host, port } => {
                    self.spawn(look_up(host, port), move |driver, found| {
                        driver.with(|engine, _, now| engine.looked_up(server, found, now));
                    });
                }
                Wish::Password {
                    request,
                    after_rejection,
                } => {
                    let Credentials::Source(source) = &self.credentials else {
                        continue;
                    };
                    // Asked in the task, after the lock is released: the source may wake JavaScript.
                    let source = Arc::clone(source);
                    let answer = async move {
                        match after_rejection {
                            false => source.password().await,
                            true => source.after_rejection().await,
                        }
                    };
                    let task = self.spawn(answer, move |driver, answer| {
                        driver.with_state(|state, now| {
                            state.passwords.remove(&request);
                            state.engine.password(request, answer, now);
                        });
                    });
                    state.passwords.insert(request, task);
                }
                Wish::ForgetPassword { request } => {
                    let task = state.passwords.remove(&request);
                    task.iter().for_each(AbortHandle::abort);
                }
                Wish::ProbeProtocol {
                    connection,
                    address,
                    host,
                } => {
                    let question = match self.tls {
                        Some(_) => Some(b"PING\r\n".to_vec()),
                        None => tls::hello(&host),
                    };
                    let task = self.spawn(probe(address, question), move |driver, answer| {
                        driver.with(|engine, _, now| engine.probed(connection, answer, now));
                    });
                    add_task(&mut state, connection, task);
                }
            }
        }
        let State {
            engine, results, ..
        } = &mut *state;
        let after = results.deliver(engine);
        if !engine.is_busy() {
            self.settled.notify_waiters();
        }
        self.arm(&mut state);
        drop(state);
        after();
        for (connection, socket) in to_flush {
            self.flush(connection, &socket);
        }
    }

    /// Hands the output of `future` to `done`, unless the driver ends first.
    fn spawn<O: Send + 'static>(
        self: &Arc<Self>,
        future: impl Future<Output = O> + Send + 'static,
        done: impl FnOnce(&Arc<Self>, O) + Send + 'static,
    ) -> AbortHandle {
        let driver = Arc::downgrade(self);
        let task = self.runtime.spawn(async move {
            let output = future.await;
            if let Some(driver) = driver.upgrade() {
                done(&driver, output);
            }
        });
        task.abort_handle()
    }

    /// Sends the bytes that are queued for a connection, as many as the socket takes. Without the lock.
    fn flush(self: &Arc<Self>, connection: ConnectionId, socket: &Arc<Socket>) {
        match socket.flush() {
            Ok(Flushed::Done) => {}
            Ok(Flushed::Blocked) => {
                let socket = Arc::clone(socket);
                let writable = async move {
                    socket.writable().await;
                    socket
                };
                let task = self.spawn(writable, move |driver, socket| {
                    driver.flush(connection, &socket);
                });
                add_task(&mut self.state.lock(), connection, task);
            }
            // The reader meets the end of the connection, after the replies that have arrived.
            Err(error) if is_end(&error) => {}
            Err(_) => self.with(|engine, _, now| engine.closed(connection, None, now)),
        }
    }

    /// Takes a TCP connection into use.
    fn accepted(
        self: &Arc<Self>,
        connection: ConnectionId,
        host: &str,
        tcp: TcpStream,
    ) -> Option<OwnedReadHalf> {
        let (reader, writer) = tcp.into_split();
        let session = self.tls.as_ref().map(|tls| tls.session(host)).transpose();
        let socket = self.with_state(|state, now| {
            state.engine.accepted(connection, now);
            let session = match session {
                Ok(session) => session,
                Err(error) => {
                    state.engine.connect_failed(connection, error, now);
                    return None;
                }
            };
            // The attempt may have ended meanwhile.
            if !state.tasks.contains_key(&connection) {
                return None;
            }
            let socket = Arc::new(Socket::new(writer, session));
            state.sockets.insert(connection, Arc::clone(&socket));
            if !socket.has_tls() {
                state.engine.connected(connection, now);
            }
            Some(socket)
        })?;
        if socket.has_tls() {
            self.flush(connection, &socket);
        }
        Some(reader)
    }

    /// Bytes have arrived. Returns whether the connection is still open.
    fn received(self: &Arc<Self>, connection: ConnectionId, bytes: &[u8]) -> bool {
        let socket = self.with_state(|state, now| {
            let socket = Arc::clone(state.sockets.get(&connection)?);
            if !socket.has_tls() {
                state.engine.received(connection, bytes, now);
            }
            Some(socket)
        });
        let Some(socket) = socket else {
            return false;
        };
        if socket.has_tls() {
            self.received_tls(connection, &socket, bytes);
        }
        true
    }

    fn received_tls(
        self: &Arc<Self>,
        connection: ConnectionId,
        socket: &Arc<Socket>,
        bytes: &[u8],
    ) {
        let handshaking = socket.is_handshaking();
        let mut plain = Vec::new();
        let decrypted = socket.decrypt(bytes, &mut plain);
        // Records of the handshake, or an alert.
        self.flush(connection, socket);
        let decrypted = decrypted.map_err(|error| match handshaking {
            true => Some(self.handshake_error(error)),
            false => tls::refusal(&error),
        });
        self.with(|engine, _, now| {
            if handshaking {
                engine.heard(connection, bytes);
            }
            if decrypted
                .as_ref()
                .is_ok_and(|received| received.completes_handshake)
            {
                engine.connected(connection, now);
            }
            // Also before an alert: the last reply may say why.
            if !plain.is_empty() {
                engine.received(connection, &plain, now);
            }
            match decrypted {
                Ok(received) if received.is_end => engine.closed(connection, None, now),
                Ok(_) => {}
                Err(Some(error)) if handshaking => engine.connect_failed(connection, error, now),
                Err(error) => engine.closed(connection, error, now),
            }
        });
    }

    /// The connection has ended.
    fn ended(self: &Arc<Self>, connection: ConnectionId, error: io::Error) {
        let socket = self.with_state(|state, _| state.sockets.remove(&connection));
        let Some(socket) = socket else {
            return;
        };
        let failed = socket.is_handshaking().then(|| self.handshake_error(error));
        self.with(|engine, _, now| match failed {
            Some(error) => engine.connect_failed(connection, error, now),
            None => engine.closed(connection, None, now),
        });
    }

    fn handshake_error(&self, error: io::Error) -> StoreError {
        match &self.tls {
            Some(tls) => tls.handshake_error(error),
            None => broken(error),
        }
    }
}

impl<T: Deliver> Drop for Driver<T> {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        state.engine.abort(now());
        state.results.deliver(&mut state.engine)();
        let tasks = state.tasks.values().flatten();
        tasks
            .chain(state.passwords.values())
            .for_each(AbortHandle::abort);
        self.earlier_timer.notify_one();
    }
}

/// The task ends with its connection.
fn add_task<T>(state: &mut State<T>, connection: ConnectionId, task: AbortHandle) {
    match state.tasks.get_mut(&connection) {
        Some(tasks) => {
            tasks.retain(|task| !task.is_finished());
            tasks.push(task);
        }
        None => task.abort(),
    }
}

/// Waits for the engine's timers.
async fn run_timers<T: Deliver>(driver: Weak<Driver<T>>, earlier: Arc<Notify>) {
    loop {
        let Some(next) = driver.upgrade().map(|driver| {
            let mut state = driver.state.lock();
            state.armed = state.engine.next_timer();
            state.armed
        }) else {
            return;
        };
        match next {
            None => earlier.notified().await,
            Some(at) => {
                tokio::select! {
                    () = sleep_until(at.into()) => {}
                    () = earlier.notified() => {}
                }
            }
        }
        if let Some(driver) = driver.upgrade() {
            let advance = || driver.with(|engine, _, now| engine.advance(now));
            // The panic has been reported, and the engine has begun anew: its timers go on.
            let _ = catch_unwind(AssertUnwindSafe(advance));
        }
    }
}

/// Connects, and reads until the connection ends.
async fn run_connection<T: Deliver>(
    driver: Weak<Driver<T>>,
    connection: ConnectionId,
    address: SocketAddr,
    host: String,
) {
    let opened = socket::open(address).await;
    let Some(mut reader) = driver.upgrade().and_then(|driver| match opened {
        Ok(tcp) => driver.accepted(connection, &host, tcp),
        Err(error) => {
            let error = broken(error);
            driver.with(|engine, _, now| engine.connect_failed(connection, error, now));
            None
        }
    }) else {
        return;
    };
    let mut buffer = vec![0; READ];
    let error = loop {
        match reader.read(&mut buffer).await {
            Ok(0) => break io::ErrorKind::UnexpectedEof.into(),
            Err(error) => break error,
            Ok(count) => {
                let Some(driver) = driver.upgrade() else {
                    return;
                };
                if !driver.received(connection, &buffer[..count]) {
                    return;
                }
            }
        }
    };
    if let Some(driver) = driver.upgrade() {
        driver.ended(connection, error);
    }
}

async fn look_up(host: String, port: u16) -> Result<Vec<SocketAddr>, StoreError> {
    let not_found = || StoreError::new(ErrorKind::NotFound, "the host name does not resolve");
    let found = tokio::net::lookup_host((host, port)).await;
    let found: Vec<_> = found.map_err(|e| not_found().with_source(e))?.collect();
    if found.is_empty() {
        return Err(not_found());
    }
    Ok(found)
}

/// The first two bytes of the answer to `question`.
async fn probe(address: SocketAddr, question: Option<Vec<u8>>) -> Option<[u8; 2]> {
    let mut tcp = TcpStream::connect(address).await.ok()?;
    tcp.write_all(&question?).await.ok()?;
    let mut answer = [0; 2];
    tcp.read_exact(&mut answer).await.ok()?;
    Some(answer)
}

/// Whether an error of sending says that the connection has ended.
fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected
            | io::ErrorKind::TimedOut
    )
}

fn broken(error: io::Error) -> StoreError {
    let kind = match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorKind::Refused,
        io::ErrorKind::TimedOut => ErrorKind::Timeout,
        _ => ErrorKind::Disconnected,
    };
    StoreError::new(kind, format!("cannot connect: {}", error.kind())).with_source(error)
}

//! One connect from start to end: look-up, TCP, TLS, AUTH and SELECT within one budget.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::config::{Credentials, RedisConfig, Secret};
use super::credentials::retry_with_fresh;
use super::driver::Driver;
use super::greet::greet;
use super::language::{mistaken, tls_server};
use super::overhear::{Overheard, Signs};
use super::resolver::{AddressHealth, Resolver};
use super::{error_map, tls};
use crate::store::async_budget::AsyncBudget as Budget;
use crate::store::{ErrorKind, StoreError};

/// A peer that has vanished is noticed after this long without an answer: the default of TCP is two hours.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Unacknowledged data breaks the connection after this long (Linux only).
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection, and the driver that has to run as long as it is open.
pub(super) struct Connected {
    pub(super) connection: MultiplexedConnection,
    pub(super) driver: Driver,
    /// The address of the server.
    pub(super) address: SocketAddr,
}

/// The state that all connects to one server share.
pub(super) struct Connector {
    pub(super) resolver: Resolver,
    health: AddressHealth,
    tls: Option<tls::Client>,
    /// A connection was made: the server speaks TLS, or does not, as configured.
    protocol_confirmed: AtomicBool,
}

impl Connector {
    pub(super) fn new(config: &RedisConfig) -> Self {
        Self {
            resolver: Resolver::new(&config.host, config.port),
            health: AddressHealth::default(),
            tls: config.tls.clone().map(tls::Client::new),
            protocol_confirmed: AtomicBool::new(false),
        }
    }
}

/// Connects within the budget. Several passwords are tried in order, each on a connection of its own. So is the password that a
/// source returns after the server has rejected the first.
pub(super) async fn connect(
    config: &RedisConfig,
    connector: &Connector,
) -> Result<Connected, StoreError> {
    let mut made = connect_once(config, connector).await;
    // A failure while this process was stopped says nothing about the server. One more attempt only: a process that is stopped again
    // and again must come to an end, too.
    if matches!(&made, Err(failure) if failure.was_stopped && !failure.error.came_from_server()) {
        made = connect_once(config, connector).await;
    }
    if made.is_ok() {
        connector.protocol_confirmed.store(true, Ordering::Relaxed);
    }
    made.map_err(|failure| failure.error)
}

/// The error of one attempt.
struct Failure {
    error: StoreError,
    /// The process was stopped during the attempt.
    was_stopped: bool,
}

async fn connect_once(config: &RedisConfig, connector: &Connector) -> Result<Connected, Failure> {
    let signs = Arc::default();
    let budget = Budget::new(config.connect_timeout);
    let made = budget
        .within(attempt_all(config, connector, &signs, &budget))
        .await;
    made.unwrap_or_else(|| Err(timed_out(config, &signs, &budget)))
        .map_err(|error| Failure {
            error,
            was_stopped: budget.was_stopped(),
        })
}

async fn attempt_all(
    config: &RedisConfig,
    connector: &Connector,
    signs: &Arc<Signs>,
    budget: &Budget,
) -> Result<Connected, StoreError> {
    let passwords = match &config.credentials {
        Credentials::Passwords(list) => list,
        Credentials::Source(source) => {
            let attempt =
                |password| async move { attempt(config, connector, signs, Some(&password)).await };
            return retry_with_fresh(&**source, budget, attempt).await;
        }
    };
    let mut last = match passwords.split_first() {
        None => return attempt(config, connector, signs, None).await,
        Some((first, _)) => attempt(config, connector, signs, Some(first)).await,
    };
    for password in passwords.iter().skip(1) {
        match last {
            Err(error) if error.kind() == ErrorKind::WrongPass => {
                last = attempt(config, connector, signs, Some(password)).await;
            }
            other => return other,
        }
    }
    last
}

async fn attempt(
    config: &RedisConfig,
    connector: &Connector,
    signs: &Arc<Signs>,
    password: Option<&Secret>,
) -> Result<Connected, StoreError> {
    let (tcp, address) = open(config, connector).await?;
    // Until it answers: if it never does, this attempt ends with its budget, without another call.
    connector.health.mark_bad(address);
    let stream = Overheard::new(tcp, signs);
    let made = async {
        match &connector.tls {
            None => set_up(config, password, stream).await,
            Some(tls) => {
                let stream = tls.handshake(&config.host, stream).await?;
                set_up(config, password, stream).await
            }
        }
    };
    let made = if connector.protocol_confirmed.load(Ordering::Relaxed) {
        made.await
    } else {
        or_protocol_mismatch(made, config, address, signs).await
    };
    if made
        .as_ref()
        .map_or_else(StoreError::came_from_server, |_| true)
    {
        connector.health.mark_good(address);
    }
    let (connection, driver) = match made {
        Err(_) if connector.tls.is_none() && signs.is_tls() => return Err(tls_server()),
        made => made?,
    };
    Ok(Connected {
        connection,
        driver,
        address,
    })
}

/// The output of `made`; or, if the server sends nothing for half of the budget or closes the connection without a byte, the error of
/// a protocol mismatch (TLS against plain text), if the server shows one.
async fn or_protocol_mismatch<T>(
    made: impl Future<Output = Result<T, StoreError>>,
    config: &RedisConfig,
    address: SocketAddr,
    signs: &Signs,
) -> Result<T, StoreError> {
    let mut made = pin!(made);
    let half = Budget::new(config.connect_timeout / 2);
    let made = match half.within(&mut made).await {
        Some(made) => made,
        None => {
            let mismatch = async {
                let mismatch = mistaken(config, address).await;
                mismatch.filter(|_| signs.is_silent())
            };
            let mut mismatch = pin!(mismatch);
            let mismatch = tokio::select! {
                biased;
                made = &mut made => return made,
                mismatch = &mut mismatch => mismatch,
            };
            return match mismatch {
                Some(error) => Err(error),
                None => made.await,
            };
        }
    };
    match made {
        Err(error) if error.kind() == ErrorKind::Disconnected && signs.is_silent() => {
            Err(mistaken(config, address).await.unwrap_or(error))
        }
        made => made,
    }
}

/// The error of a connect at the end of its budget.
fn timed_out(config: &RedisConfig, signs: &Signs, budget: &Budget) -> StoreError {
    let what = match (signs.is_silent(), &config.tls) {
        _ if budget.was_stopped() => "; this process was stopped meanwhile",
        (false, _) => "",
        (true, Some(_)) => {
            ": the server takes connections and does not answer the TLS handshake; it hangs, or does not speak TLS on \
             this port"
        }
        (true, None) => {
            ": the server takes connections and says nothing; it hangs, or speaks TLS on this port (then use rediss:// \
             or set tls)"
        }
    };
    let budget = budget.whole().as_millis();
    StoreError::new(
        ErrorKind::Timeout,
        format!("no connection within {budget} ms{what}"),
    )
}

async fn open(
    config: &RedisConfig,
    connector: &Connector,
) -> Result<(TcpStream, SocketAddr), StoreError> {
    let addresses = connector
        .health
        .bad_last(connector.resolver.addresses().await?);
    // An address without an answer must leave time for the others.
    let share = config.connect_timeout / addresses.len().max(1) as u32;
    let mut failure = None;
    for address in addresses {
        let share = Budget::new(share);
        match share.within(TcpStream::connect(address)).await {
            Some(Ok(tcp)) => {
                tune(&tcp).map_err(broken)?;
                return Ok((tcp, address));
            }
            Some(Err(e)) => failure = Some(broken(e)),
            None => failure = Some(broken(io::ErrorKind::TimedOut.into())),
        }
        connector.health.mark_bad(address);
    }
    // There is at least one address, and it has failed.
    Err(failure.unwrap_or_else(closed))
}

fn tune(tcp: &TcpStream) -> io::Result<()> {
    // A check is one small packet: Nagle's algorithm would delay it by up to 40 ms.
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE)
            .with_interval(KEEPALIVE),
    )?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

async fn set_up<S>(
    config: &RedisConfig,
    password: Option<&Secret>,
    stream: S,
) -> Result<(MultiplexedConnection, Driver), StoreError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let info = RedisConnectionInfo::default().set_skip_set_lib_name();
    // Each check has its own deadline, shorter than a timeout of the crate would be.
    let options = AsyncConnectionConfig::new().set_response_timeout(None);
    let (mut connection, driver) = MultiplexedConnection::new_with_config(&info, stream, options)
        .await
        .map_err(|e| error_map::handshake_error(&e))?;
    // Driven from here, not spawned yet: dropped at the end of the budget, the connection is closed at once.
    let mut driver = driver.boxed();
    {
        let mut handshake = pin!(greet(&mut connection, config, password));
        tokio::select! {
            biased;
            done = &mut handshake => done?,
            // The last reply may say why the server has closed the connection.
            () = &mut driver => return handshake.await.and(Err(closed())),
        }
    }
    Ok((connection, Driver::new(driver)))
}

fn closed() -> StoreError {
    StoreError::new(
        ErrorKind::Disconnected,
        "the server closed the connection while it was set up",
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

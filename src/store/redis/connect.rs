//! One connect, start to end: name, TCP, TLS, AUTH, SELECT, inside one budget.

use std::io;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::config::{Credentials, RedisConfig, Secret};
use super::driver::Driver;
use super::greet::greet;
use super::resolve::Resolver;
use super::{reply, tls};
use crate::store::{ErrorKind, StoreError};

/// A peer that vanished is noticed after this long without an answer: TCP's own default is two hours.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Unacknowledged data breaks the connection after this long, where the system knows how (Linux).
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection and what drives it, until the connection ends.
pub(super) struct Connected {
    pub(super) connection: MultiplexedConnection,
    pub(super) driver: Driver,
}

/// Connects within the budget. Several passwords are tried in order, each on a connection of its own.
pub(super) async fn connect(
    config: &RedisConfig,
    resolver: &Resolver,
) -> Result<Connected, StoreError> {
    let budget = config.connect_timeout;
    match timeout(budget, attempt_all(config, resolver)).await {
        Ok(result) => result,
        Err(_) => Err(StoreError::new(
            ErrorKind::Timeout,
            format!("no connection within {} ms", budget.as_millis()),
        )),
    }
}

async fn attempt_all(config: &RedisConfig, resolver: &Resolver) -> Result<Connected, StoreError> {
    let passwords = match &config.credentials {
        Credentials::Passwords(list) => list.clone(),
        Credentials::Source(source) => vec![source.password().await?],
    };
    let mut last = match passwords.split_first() {
        None => return attempt(config, resolver, None).await,
        Some((first, _)) => attempt(config, resolver, Some(first)).await,
    };
    for password in passwords.iter().skip(1) {
        match last {
            Err(error) if error.kind() == ErrorKind::WrongPass => {
                last = attempt(config, resolver, Some(password)).await;
            }
            other => return other,
        }
    }
    last
}

async fn attempt(
    config: &RedisConfig,
    resolver: &Resolver,
    password: Option<&Secret>,
) -> Result<Connected, StoreError> {
    let tcp = open(config, resolver).await?;
    match &config.tls {
        None => set_up(config, password, tcp).await,
        Some(tls) => {
            let stream = tls::handshake(tls, &config.host, tcp).await?;
            set_up(config, password, stream).await
        }
    }
}

async fn open(config: &RedisConfig, resolver: &Resolver) -> Result<TcpStream, StoreError> {
    let addresses = resolver.addresses().await?;
    // One that leads nowhere must leave time for the others.
    let share = config.connect_timeout / addresses.len().max(1) as u32;
    let mut failure = None;
    for address in addresses {
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                tune(&tcp).map_err(broken)?;
                return Ok(tcp);
            }
            Ok(Err(e)) => failure = Some(broken(e)),
            Err(_) => failure = Some(broken(io::ErrorKind::TimedOut.into())),
        }
    }
    // There is an address at least, and it failed.
    Err(failure.unwrap_or_else(closed))
}

fn tune(tcp: &TcpStream) -> io::Result<()> {
    // A check is one small packet: waiting to fill it would cost 40 ms.
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
) -> Result<Connected, StoreError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let info = RedisConnectionInfo::default().set_skip_set_lib_name();
    // The deadline is each check's own, and shorter than any the crate would set.
    let options = AsyncConnectionConfig::new().set_response_timeout(None);
    let (mut connection, driver) = MultiplexedConnection::new_with_config(&info, stream, options)
        .await
        .map_err(|e| reply::during_set_up(&e))?;
    // Driven from here, not spawned yet: given up at the end of the budget, the connection is closed at once.
    let mut driver = driver.boxed();
    {
        let mut greeting = pin!(greet(&mut connection, config, password));
        tokio::select! {
            biased;
            greeted = &mut greeting => greeted?,
            // The server's last words may say why it closed.
            () = &mut driver => return greeting.await.and(Err(closed())),
        }
    }
    Ok(Connected {
        connection,
        driver: Driver::new(driver),
    })
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

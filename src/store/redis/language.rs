//! Whether a server speaks the other language: plain where TLS is configured, or TLS where it is not.
//!
//! To each other both are silent. Redis takes the beginning of a handshake for a line that has not ended; ElastiCache's port
//! of TLS waits for more of what it takes for a handshake. So a server that has never been spoken to and says nothing is
//! asked in the other language, on a connection of its own and without a secret: an answer is proof, and silence means that
//! it hangs.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::config::RedisConfig;
use super::overhear::is_tls;
use super::tls::hello;
use crate::store::{ErrorKind, StoreError};

/// The error that says so, where the server does speak the other language. Takes as long as the server does.
pub(super) async fn mistaken(config: &RedisConfig, address: SocketAddr) -> Option<StoreError> {
    let plain = config.tls.is_some();
    let question = if plain {
        b"PING\r\n".to_vec()
    } else {
        hello(&config.host)?
    };
    let mut tcp = TcpStream::connect(address).await.ok()?;
    tcp.write_all(&question).await.ok()?;
    let mut answer = [0; 2];
    tcp.read_exact(&mut answer).await.ok()?;
    match plain {
        // PONG, or an error that says why not.
        true => matches!(answer[0], b'+' | b'-').then(plain_server),
        false => is_tls(answer).then(tls_server),
    }
}

fn plain_server() -> StoreError {
    let message = "TLS handshake failed: the server speaks plain Redis on this port; turn its encryption on, or use \
                   redis:// and no tls";
    StoreError::new(ErrorKind::Tls, message)
}

/// The error for a server of TLS that was spoken to in plain text.
pub(super) fn tls_server() -> StoreError {
    let message = "the server speaks TLS on this port, and was spoken to in plain text; use rediss://, or set tls \
                   (ELASTICACHE_REDIS_TLS=true)";
    StoreError::new(ErrorKind::Tls, message)
}

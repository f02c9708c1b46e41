//! What the other end says first, heard on its way: it tells a server that speaks another language, or nothing at all.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How far one attempt to connect has come.
#[derive(Default)]
pub(super) struct Signs {
    accepted: AtomicBool,
    /// The first two bytes, and in the higher half how many of them have come.
    first: AtomicU32,
}

impl Signs {
    /// There is a TCP connection, and nothing has been said on it.
    pub(super) fn accepted(&self) {
        self.first.store(0, Ordering::Relaxed);
        self.accepted.store(true, Ordering::Relaxed);
    }

    /// Whether the other end has taken the connection, and has said nothing.
    pub(super) fn is_silent(&self) -> bool {
        self.accepted.load(Ordering::Relaxed) && self.first.load(Ordering::Relaxed) == 0
    }

    /// Whether it began as TLS does.
    pub(super) fn is_tls(&self) -> bool {
        let first = self.first.load(Ordering::Relaxed);
        first >> 16 == 2 && is_tls((first as u16).to_be_bytes())
    }

    /// Returns whether enough has been heard.
    fn hear(&self, bytes: &[u8]) -> bool {
        let mut first = self.first.load(Ordering::Relaxed);
        for &byte in bytes {
            if first >> 16 == 2 {
                break;
            }
            let count = (first >> 16) + 1;
            first = count << 16 | (first << 8 | u32::from(byte)) & 0xffff;
        }
        self.first.store(first, Ordering::Relaxed);
        first >> 16 == 2
    }
}

/// Whether a record of TLS begins so: an alert or a handshake, of a version 3 (RFC 8446, 5.1). A reply of Redis never does.
pub(super) fn is_tls(first: [u8; 2]) -> bool {
    matches!(first, [0x15 | 0x16, 0x03])
}

/// A stream whose first words are noted.
pub(super) struct Overheard<S> {
    stream: S,
    signs: Arc<Signs>,
    heard: bool,
}

impl<S> Overheard<S> {
    pub(super) fn new(stream: S, signs: &Arc<Signs>) -> Self {
        signs.accepted();
        Self {
            stream,
            signs: Arc::clone(signs),
            heard: false,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Overheard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if !self.heard {
            self.heard = self.signs.hear(&buffer.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Overheard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

//! The modelled network: connections as two streams of bytes that arrive in order, late, in pieces, or not at all.

use std::collections::VecDeque;

use super::server::{Client, Micros, NodeId};

/// Never.
pub const NEVER: Micros = Micros::MAX;

/// One direction of a connection.
#[derive(Debug, Default)]
pub struct Stream {
    pub bytes: VecDeque<u8>,
    /// The length of each piece on its way, and when it was sent.
    pub pieces: VecDeque<(usize, Micros)>,
    /// When the last piece arrives.
    pub last: Micros,
    /// This many more bytes are let through, and then the connection is reset.
    pub cut: Option<usize>,
    /// Bytes sent and bytes arrived, in all.
    pub sent: u64,
    pub arrived: u64,
}

impl Stream {
    /// Takes the next piece, appends it to `out`, and returns when it was sent.
    pub fn take(&mut self, out: &mut Vec<u8>) -> Option<Micros> {
        let (length, sent) = self.pieces.pop_front()?;
        // In two copies, and not byte by byte.
        let (front, back) = self.bytes.as_slices();
        let first = length.min(front.len());
        out.extend_from_slice(&front[..first]);
        out.extend_from_slice(&back[..length - first]);
        self.bytes.drain(..length);
        self.arrived += length as u64;
        Some(sent)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Connecting,
    Open,
    /// The engine knows of the end, or has closed it itself.
    Closed,
}

/// A connection of an engine to a node.
#[derive(Debug)]
pub struct Socket<C> {
    pub engine: usize,
    pub connection: C,
    pub node: NodeId,
    pub state: State,
    /// The server's end; `None`: it has no such connection any more.
    pub client: Option<Client>,
    pub to_server: Stream,
    pub to_engine: Stream,
    /// Both ends believe in it, and nothing passes.
    pub dead: bool,
    /// The server has answered nonsense on it.
    pub tampered: bool,
    /// The server reads again at this moment.
    pub resumes: Micros,
}

impl<C> Socket<C> {
    pub fn new(engine: usize, connection: C, node: NodeId) -> Self {
        Self {
            engine,
            connection,
            node,
            state: State::Connecting,
            client: None,
            to_server: Stream::default(),
            to_engine: Stream::default(),
            dead: false,
            tampered: false,
            resumes: 0,
        }
    }
}

/// The link between a process and a node.
#[derive(Debug, Clone, Copy, Default)]
pub struct Link {
    /// Until when nothing passes to the server, and to the engine.
    pub hole: [Micros; 2],
    /// Until when everything takes this much longer.
    pub slow: (Micros, Micros),
}

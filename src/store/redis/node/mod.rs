//! One server, and the connections to it.

mod exchange;
pub(super) mod redirect;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use redis::{RedisError, Value};
use tokio::sync::watch;

pub(super) use self::exchange::exchange;
use self::redirect::{Address, Redirect};
use super::config::{MAX_CONNECTIONS, RedisConfig};
use super::connection_stats::ConnectionStats;
use super::connection_test::{self, ConnectionTest};
use super::errand::Errand;
use super::error_map;
use super::link::Link;
use super::live::Place;
use super::script::{ScriptRef, Tag};
use crate::store::{ErrorKind, Scope, StoreError};

/// One server. Nothing connects before the first request.
pub(super) struct Node {
    place: Arc<Place>,
    links: Vec<Link>,
    turn: AtomicUsize,
}

/// A server's reply for one group of things.
pub(super) enum Reply<T> {
    /// The answer for the only one.
    Answer(Result<T, StoreError>),
    /// An answer each.
    Answers(Vec<Result<T, StoreError>>),
    /// It has done nothing, and says where to ask.
    Elsewhere(Redirect),
    /// No answer.
    Error(StoreError),
}

impl Node {
    /// The server that `config` names. Its connections are counted among `connections`.
    pub(super) fn new(config: RedisConfig, connections: Arc<ConnectionStats>) -> Self {
        let count = config.connections.clamp(1, MAX_CONNECTIONS);
        let place = Arc::new(Place::new(config, connections));
        Self {
            links: (0..count).map(|_| Link::new(Arc::clone(&place))).collect(),
            place,
            turn: AtomicUsize::new(0),
        }
    }

    /// A link that may be used at once, from the one whose turn it is on. While others connect or are away, nobody waits for
    /// them; where none may be used, one that is being made.
    fn link(&self, turn: usize) -> &Link {
        let count = self.links.len();
        let places = || (0..count).map(|n| &self.links[(turn + n) % count]);
        let first = &self.links[turn % count];
        if first.ready().is_none() {
            first.nudge();
        }
        let ready = places().find(|link| link.ready().is_some());
        let ready = ready.or_else(|| places().find(|link| !link.is_away()));
        ready.unwrap_or(first)
    }

    /// Where it is.
    pub(super) fn config(&self) -> &RedisConfig {
        self.place.config()
    }

    /// Whether it is at `address`.
    pub(super) fn is_at(&self, address: &Address) -> bool {
        let config = self.config();
        config.port == address.port && config.host == address.host
    }

    /// Counts the connections made to it.
    pub(super) fn arrivals(&self) -> watch::Receiver<u64> {
        self.place.arrivals.subscribe()
    }

    /// Whether no connection is there, and none is waited for.
    pub(super) fn is_away(&self) -> bool {
        self.links.iter().all(Link::is_away)
    }

    /// Lets go of its connections, for as long as nobody asks for one.
    pub(super) fn release(&self) {
        self.links.iter().for_each(Link::release);
    }

    /// As [`Store::try_send`](crate::store::Store::try_send).
    pub(super) fn at_once<R>(&self, send: impl FnOnce() -> R) -> Option<R> {
        // The link that is next: the one that `send` will ask, unless another thread is just asking too. Then the task of
        // that link's driver does what this one would have.
        let turn = self.turn.load(Ordering::Relaxed);
        let live = self.links[turn % self.links.len()].ready()?;
        live.driver.push_on(send)
    }

    /// Runs a script once for each of the `groups` of `items`, all in one round trip; `asking`: for slots that the server is
    /// about to take over.
    pub(super) async fn run<E: Errand>(
        &self,
        errand: &E,
        items: &[&E::Item],
        groups: &[Range<usize>],
        asking: bool,
    ) -> Result<Vec<Reply<E::Answer>>, StoreError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let link = self.link(turn);
        let live = link.live().await.map_err(StoreError::unsent)?;
        // Neighbours differ in their tags, so that replies that have shifted by one belong to nobody.
        let tag = |group: usize| Tag::of(turn.wrapping_add(group));
        let command = |by: ScriptRef, group: usize| {
            errand.command(by, tag(group), &items[groups[group].clone()])
        };
        let replies = exchange(&live, groups.len(), asking, command).await;
        let replies = replies.map(|replies| {
            let replies = replies.into_iter().zip(groups).enumerate();
            let read = |(group, (reply, range)): (usize, (_, &Range<usize>))| {
                self.read(reply, errand, tag(group), &items[range.clone()])
            };
            replies.map(read).collect::<Vec<_>>()
        });
        let broken = match &replies {
            Ok(replies) => replies.iter().find_map(Reply::reconnect_error),
            Err(error) => Some(error).filter(|e| e.requires_reconnect()),
        };
        if let Some(error) = broken {
            link.discard(&live, error.clone());
        } else if replies.is_ok() {
            live.prove();
        }
        replies
    }

    fn read<E: Errand>(
        &self,
        reply: Result<Value, RedisError>,
        errand: &E,
        tag: Tag,
        items: &[&E::Item],
    ) -> Reply<E::Answer> {
        let answers = match (reply, items) {
            (Ok(value), [item]) => errand.read_one(&value, tag, item).map(Reply::Answer),
            (Ok(value), items) => errand.read(&value, tag, items).map(Reply::Answers),
            (Err(error), _) => match Redirect::of(&error, self.config()) {
                Some(redirect) => return Reply::Elsewhere(redirect),
                None => Err(error_map::command_error(&error)),
            },
        };
        answers.unwrap_or_else(Reply::Error)
    }

    /// Asks for something that changes nothing.
    ///
    /// # Errors
    /// Why there is no connection, or what the server or the way there said instead.
    pub(super) async fn look_up(&self, command: &redis::Cmd) -> Result<Looked, StoreError> {
        let link = self.link(self.turn.load(Ordering::Relaxed));
        let live = link.live().await.map_err(StoreError::unsent)?;
        let reply = exchange(&live, 1, false, |_, _| command.clone()).await;
        let reply = reply.map(|mut replies| replies.swap_remove(0));
        match &reply {
            Err(error) if error.requires_reconnect() => link.discard(&live, error.clone()),
            // Of a cluster's connections, some are only asked who serves what: one that ends was as good as those that decide.
            Ok(Ok(_)) => live.prove(),
            Ok(Err(_)) | Err(_) => {}
        }
        reply
    }

    /// As [`RedisStore::test_connection`](super::RedisStore::test_connection).
    ///
    /// # Errors
    /// Likewise.
    pub(super) async fn try_out(&self, scope: &Scope) -> Result<ConnectionTest, StoreError> {
        let link = self.link(self.turn.load(Ordering::Relaxed));
        if link.is_away() {
            // What is known of it may be seconds old, and be mended since.
            let live = self.place.connect().await?;
            return tokio::select! {
                tried = connection_test::run(&live, scope) => tried,
                () = live.driver.run() => {
                    let closed = "the server closed the connection";
                    Err(StoreError::new(ErrorKind::Disconnected, closed))
                }
            };
        }
        let live = link.live().await?;
        let tried = connection_test::run(&live, scope).await;
        if let Err(error) = &tried
            && error.requires_reconnect()
        {
            link.discard(&live, error.clone());
        }
        tried
    }
}

/// What the server has said to a question: a value, or an error of its own.
pub(super) type Looked = Result<Value, RedisError>;

impl<T> Reply<T> {
    /// The same for so many groups.
    pub(super) fn all(error: &StoreError, count: usize) -> Vec<Self> {
        (0..count).map(|_| Self::Error(error.clone())).collect()
    }

    /// Why there is no answer, where the server has said so.
    pub(super) fn into_error(self) -> Option<StoreError> {
        match self {
            Self::Error(error) => Some(error),
            Self::Answer(_) | Self::Answers(_) | Self::Elsewhere(_) => None,
        }
    }

    /// Why the connection it came over should be replaced, if it should.
    fn reconnect_error(&self) -> Option<&StoreError> {
        let error = match self {
            Self::Answer(answer) => answer.as_ref().err()?,
            Self::Answers(answers) => {
                let mut errors = answers.iter().filter_map(|answer| answer.as_ref().err());
                return errors.find(|error| error.requires_reconnect());
            }
            Self::Elsewhere(_) => return None,
            Self::Error(error) => error,
        };
        Some(error).filter(|error| error.requires_reconnect())
    }
}

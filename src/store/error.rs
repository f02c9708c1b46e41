//! The error of a store that reached no decision.

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;

use super::named_enum::named_enum;

/// A store could not decide. It may have recorded the request: never send the same check again.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    kind: ErrorKind,
    message: Cow<'static, str>,
    unsent: bool,
    #[source]
    source: Option<Arc<dyn Error + Send + Sync>>,
}

named_enum! {
    /// What went wrong, as far as policy or an operator can distinguish failures.
    #[non_exhaustive]
    pub enum ErrorKind {
        /// No answer within the deadline or the connect budget.
        Timeout = "ETIMEDOUT",
        /// No server listens at that address.
        Refused = "ECONNREFUSED",
        /// The name does not resolve.
        NotFound = "ENOTFOUND",
        /// The connection broke, or the network is not reachable.
        Disconnected = "ECONNRESET",
        /// The TLS handshake failed: certificate, name, version, or a server without TLS.
        Tls = "TLS",
        /// The server wants a password and none is configured.
        NoAuth = "NOAUTH",
        /// The server accepts none of the passwords.
        WrongPass = "WRONGPASS",
        /// The user may not run the command or touch the key.
        NoPerm = "NOPERM",
        /// The server is a replica.
        ReadOnly = "READONLY",
        /// The server is a primary that refuses writes for now: too few replicas, or its disk fails.
        Unwritable = "MISCONF",
        /// The server is starting, or has lost its primary.
        Loading = "LOADING",
        /// The server is out of memory.
        Oom = "OOM",
        /// The server accepts no more connections.
        MaxClients = "MAXCLIENTS",
        /// The server is busy with a long script.
        Busy = "BUSY",
        /// The server is part of a Redis Cluster and the configuration says that it is not, or the other way round; or the
        /// cluster's nodes redirect a key in circles.
        Cluster = "CLUSTER",
        /// The cluster has no primary for the key for now.
        ClusterDown = "CLUSTERDOWN",
        /// The reply makes no sense: the server is no Redis, or the reply belongs to another request.
        Protocol = "PROTOCOL",
        /// The key holds something that is not a log.
        WrongType = "PROTOCOL",
        /// The queue is full.
        Overloaded = "OVERLOADED",
        /// The server has no database of that number.
        Database = "PROTOCOL",
        /// A password is configured, and the server has none for the user.
        NoPassword = "WRONGPASS",
    }
    /// The stable code of the public interface.
    => code
}

impl ErrorKind {
    /// Distinguishes kinds of one code for the hint to an operator (`lib/diagnostics`); empty where the code is enough.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            ErrorKind::Database => "database",
            ErrorKind::NoPassword => "no-password",
            _ => "",
        }
    }
}

impl StoreError {
    /// An error with a message for operators. It must hold no secret and no unescaped id.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            message: message.into(),
            unsent: false,
            source: None,
        }
    }

    /// The same error, for a request that has not left this process.
    pub(crate) fn unsent(mut self) -> Self {
        self.unsent = true;
        self
    }

    /// Whether the store may have executed the request.
    pub fn may_have_run(&self) -> bool {
        let unknown = matches!(
            self.kind,
            ErrorKind::Timeout | ErrorKind::Disconnected | ErrorKind::Protocol
        );
        unknown && !self.unsent
    }

    /// The same error with its cause.
    pub(crate) fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The stable code of the public interface.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }

    /// Whether the store is away. Otherwise the store has answered: it has no memory left for this log, or the key holds
    /// something else.
    pub(crate) fn is_unavailable(&self) -> bool {
        !matches!(self.kind, ErrorKind::Oom | ErrorKind::WrongType)
    }

    /// Whether the store has answered with this error: it can be reached, and does not decide.
    pub fn came_from_server(&self) -> bool {
        !matches!(
            self.kind,
            ErrorKind::Timeout
                | ErrorKind::Refused
                | ErrorKind::NotFound
                | ErrorKind::Disconnected
                | ErrorKind::Tls
                | ErrorKind::MaxClients
                | ErrorKind::Protocol
        )
    }

    /// The messages of the cause, its own cause, and so on.
    pub fn causes(&self) -> Vec<String> {
        let mut next = self.source();
        let mut causes = Vec::new();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        causes
    }

    /// Whether its connection should be replaced: it is broken, no longer authenticated, or leads to a server that no longer
    /// accepts writes.
    pub(crate) fn requires_reconnect(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Disconnected
                | ErrorKind::Refused
                | ErrorKind::ReadOnly
                | ErrorKind::Loading
                | ErrorKind::MaxClients
                | ErrorKind::NoAuth
                | ErrorKind::WrongPass
                | ErrorKind::Protocol
        )
    }
}

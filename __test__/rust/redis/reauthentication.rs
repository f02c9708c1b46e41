//! Re-authentication with passwords from a source: it is called when a password is needed, the login is renewed before it
//! ends, and no check is lost.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::redis_store::RedisStore;
use huntaze_rate_limit::store::redis::{
    Credentials, PasswordAnswer, PasswordSource, RedisConfig, Secret,
};
use huntaze_rate_limit::store::{ErrorKind, StoreError};
use tokio::time::sleep;

use super::auth_proxy::AuthProxy;
use super::server_errors::execute;
use super::{PATIENT, check, passwords, take_slot, until};
use crate::server::Server;
use crate::starvation::{HEALTH_CHECK, retry_if_starved};
use crate::timers::StoppedTimers;

/// A login is renewed between an eighth and a twenty-fourth of its life before its end, and replaced a forty-eighth before it: the
/// two are at least 40 ms apart. The connection of a renewal that takes longer is replaced, as it should be.
const RENEWAL: Duration = Duration::from_millis(40);

/// How long a login holds in these tests, and twice that: what the server allows.
const LIFE: Duration = Duration::from_secs(2);
const ENOUGH: Duration = Duration::from_secs(4);

/// A connection that has been idle for this long gets a health check before it is used.
const IDLE: Duration = Duration::from_millis(1100);

/// A server with a user whose password changes each time the source is called.
struct Rotating {
    server: Server,
    admin: Mutex<redis::Connection>,
    calls: AtomicUsize,
    hangs: AtomicBool,
}

impl Rotating {
    fn start() -> Arc<Self> {
        let server = Server::start(&["--requirepass", "pw-admin"]);
        let mut admin = server.admin_as(":pw-admin@");
        execute(&mut admin, "ACL SETUSER limiter on ~* +@all");
        Arc::new(Self {
            server,
            admin: Mutex::new(admin),
            calls: AtomicUsize::new(0),
            hangs: AtomicBool::new(false),
        })
    }

    fn execute(&self, command: &str) {
        execute(&mut self.admin.lock().unwrap(), command);
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// How many connections of the limiter's there are.
    fn clients(&self) -> usize {
        let mut list = redis::cmd("CLIENT");
        list.arg("LIST");
        let admin = &mut *self.admin.lock().unwrap();
        let list: String = list.query(admin).unwrap();
        list.matches("user=limiter").count()
    }

    /// The configuration of a client behind `proxy`, with a login that holds for `LIFE`.
    fn config(self: &Arc<Self>, proxy: &AuthProxy) -> RedisConfig {
        RedisConfig {
            port: proxy.port,
            username: Some("limiter".to_owned()),
            credentials: Credentials::Source(Arc::clone(self) as Arc<_>),
            login_life: LIFE,
            ..self.server.config()
        }
    }

    /// The same, with a login that outlives the test.
    fn lasting(self: &Arc<Self>, proxy: &AuthProxy) -> RedisConfig {
        RedisConfig {
            login_life: self.server.config().login_life,
            ..self.config(proxy)
        }
    }
}

impl PasswordSource for Rotating {
    fn password(&self) -> PasswordAnswer {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if self.hangs.load(Ordering::SeqCst) {
            return Box::pin(std::future::pending());
        }
        // The one before is no longer valid.
        self.execute(&format!("ACL SETUSER limiter resetpass >pw-{call}"));
        let password = Secret::new(format!("pw-{call}"));
        Box::pin(async move { Ok(password) })
    }
}

/// Checks until `done`, and once more. None of the checks may fail.
async fn nothing_fails_until(store: &RedisStore, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        check(store, "a").await.unwrap();
        assert!(begun.elapsed() < PATIENT, "it does not happen");
        sleep(Duration::from_millis(1)).await;
    }
    check(store, "a").await.unwrap();
}

#[test]
fn a_login_is_renewed_on_the_connection_in_use() {
    retry_if_starved(RENEWAL, async || {
        let rotating = Rotating::start();
        let proxy = AuthProxy::to(rotating.server.port, Some(ENOUGH));
        let store = RedisStore::new(rotating.config(&proxy));
        // Well past what the server allows.
        nothing_fails_until(&store, || proxy.auths() >= proxy.accepted() + 3).await;
        assert_eq!((proxy.expired(), rotating.calls()), (0, proxy.auths()));
        assert_eq!(proxy.accepted(), 1);
    });
}

/// The control: without a renewal the proxy closes the connection.
#[tokio::test]
async fn a_client_that_does_not_renew_its_login_is_disconnected() {
    let rotating = Rotating::start();
    rotating.execute("ACL SETUSER limiter >pw-list");
    let proxy = AuthProxy::to(rotating.server.port, Some(LIFE));
    let mut config = rotating.config(&proxy);
    config.credentials = passwords(&["pw-list"]);
    let store = RedisStore::new(config);
    assert_eq!(take_slot(&store, "a").await, 4);
    let begun = Instant::now();
    while proxy.expired() == 0 {
        let _ = check(&store, "a").await;
        assert!(begun.elapsed() < PATIENT, "it is not disconnected");
        sleep(Duration::from_millis(1)).await;
    }
    assert!(begun.elapsed() > LIFE / 2);
}

#[test]
fn a_renewal_that_is_refused_is_tried_again() {
    retry_if_starved(RENEWAL, async || {
        let rotating = Rotating::start();
        let proxy = AuthProxy::to(rotating.server.port, Some(ENOUGH));
        let store = RedisStore::new(rotating.config(&proxy));
        // Two refusals of the first attempt, for the source has another password, and one of the second.
        proxy.refuse(3);
        nothing_fails_until(&store, || {
            proxy.to_refuse() == 0 && proxy.auths() >= proxy.accepted() + 5
        })
        .await;
        assert_eq!(proxy.accepted(), 1);
    });
}

#[test]
fn a_login_that_cannot_be_renewed_is_replaced_before_it_ends() {
    retry_if_starved(RENEWAL, async || {
        let rotating = Rotating::start();
        let proxy = AuthProxy::to(rotating.server.port, Some(ENOUGH));
        let store = RedisStore::new(rotating.config(&proxy));
        proxy.refuse(usize::MAX);
        nothing_fails_until(&store, || proxy.accepted() >= 3).await;
        // The last connection that was accepted may not be in use yet, and then the one before it is still needed.
        nothing_fails_until(&store, || rotating.clients() == 1).await;
        assert_eq!(proxy.expired(), 0);
    });
}

/// While the source hangs no new password is needed: the server accepts the old login for longer than it promised.
#[test]
fn a_source_that_hangs_costs_no_check() {
    retry_if_starved(HEALTH_CHECK, async || {
        let rotating = Rotating::start();
        let proxy = AuthProxy::to(rotating.server.port, None);
        let mut config = rotating.config(&proxy);
        config.connect_timeout = Duration::from_millis(500);
        let store = RedisStore::new(config.clone());
        assert_eq!(take_slot(&store, "b").await, 4);
        rotating.hangs.store(true, Ordering::SeqCst);
        // Once for the renewal, then for replacements.
        nothing_fails_until(&store, || rotating.calls() >= 4).await;
        assert_eq!((proxy.accepted(), proxy.auths()), (1, 1));
        // Without a connection the error names the password function.
        let error = check(&RedisStore::new(config), "a").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.to_string().contains("password function"), "{error}");
        rotating.hangs.store(false, Ordering::SeqCst);
        nothing_fails_until(&store, || proxy.accepted() == 2).await;
    });
}

/// A process that was suspended for longer than its login holds notices it without a timer.
#[tokio::test]
async fn a_login_that_ended_while_the_process_was_suspended_is_not_used() {
    let rotating = Rotating::start();
    let proxy = AuthProxy::to(rotating.server.port, None);
    let store = RedisStore::new(rotating.config(&proxy));
    assert_eq!(take_slot(&store, "a").await, 4);
    // No task of this runtime runs meanwhile.
    std::thread::sleep(LIFE);
    assert_eq!(take_slot(&store, "a").await, 3);
    assert_eq!((proxy.accepted(), rotating.calls()), (2, 2));
}

/// The process sends few checks, so its connection is idle each time, and the server never closes it.
#[test]
fn an_old_login_is_used_while_there_is_no_other() {
    retry_if_starved(HEALTH_CHECK, async || {
        let rotating = Rotating::start();
        let proxy = AuthProxy::to(rotating.server.port, None);
        let mut config = rotating.config(&proxy);
        config.connect_timeout = Duration::from_millis(500);
        let store = RedisStore::new(config);
        assert_eq!(take_slot(&store, "a").await, 4);
        rotating.hangs.store(true, Ordering::SeqCst);
        // No task of this runtime runs meanwhile.
        std::thread::sleep(LIFE);
        assert_eq!(take_slot(&store, "a").await, 3);
        sleep(IDLE).await;
        assert_eq!(take_slot(&store, "a").await, 2);
        assert_eq!((proxy.accepted(), proxy.auths()), (1, 1));
        rotating.hangs.store(false, Ordering::SeqCst);
        nothing_fails_until(&store, || proxy.accepted() == 2 || proxy.auths() == 2).await;
    });
}

#[tokio::test]
async fn a_connection_that_was_logged_out_is_replaced() {
    let _stopped = StoppedTimers::new();
    let rotating = Rotating::start();
    let proxy = AuthProxy::to(rotating.server.port, None);
    let store = RedisStore::new(rotating.lasting(&proxy));
    assert_eq!(take_slot(&store, "a").await, 4);
    proxy.log_out_all();
    assert_eq!(
        check(&store, "a").await.unwrap_err().kind(),
        ErrorKind::NoAuth
    );
    assert_eq!(take_slot(&store, "a").await, 3);
    assert_eq!((proxy.accepted(), rotating.calls()), (2, 2));
}

/// Returns the passwords of a list one after another, and then the last one again and again.
struct Listed(&'static [&'static str], AtomicUsize);

impl PasswordSource for Listed {
    fn password(&self) -> PasswordAnswer {
        let call = self.1.fetch_add(1, Ordering::SeqCst);
        let password = self.0[call.min(self.0.len() - 1)];
        Box::pin(async move { Ok::<_, StoreError>(Secret::new(password)) })
    }
}

/// The password was rotated between the call and the AUTH.
#[tokio::test]
async fn a_source_is_called_once_more_within_the_connect() {
    let server = Server::start(&["--requirepass", "pw-new"]);
    let proxy = AuthProxy::to(server.port, None);
    let connect = async |list| {
        let before = proxy.auths();
        let source = Arc::new(Listed(list, AtomicUsize::new(0)));
        let mut config = server.config();
        config.port = proxy.port;
        config.credentials = Credentials::Source(Arc::clone(&source) as Arc<_>);
        let result = check(&RedisStore::new(config), "a").await;
        let kind = result.err().map(|error| error.kind());
        (
            kind,
            source.1.load(Ordering::SeqCst),
            proxy.auths() - before,
        )
    };
    assert_eq!(connect(&["pw-old", "pw-new"]).await, (None, 2, 2));
    let refused = Some(ErrorKind::WrongPass);
    // Two calls at most: more would hammer the server.
    assert_eq!(
        connect(&["pw-older", "pw-old", "pw-new"]).await,
        (refused, 2, 2)
    );
    // The same password once more would be refused once more.
    assert_eq!(connect(&["pw-old"]).await, (refused, 2, 1));
}

/// The server disconnects the clients of a removed user, and not those whose password has changed.
#[tokio::test]
async fn a_user_that_is_created_again_can_log_in_again() {
    let stopped = StoppedTimers::new();
    let rotating = Rotating::start();
    let proxy = AuthProxy::to(rotating.server.port, None);
    let store = RedisStore::new(rotating.lasting(&proxy));
    assert_eq!(take_slot(&store, "a").await, 4);
    rotating.execute("ACL SETUSER limiter resetpass >pw-other");
    assert_eq!((take_slot(&store, "a").await, proxy.accepted()), (3, 1));
    rotating.execute("ACL DELUSER limiter");
    rotating.execute("ACL SETUSER limiter on ~* +@all >pw-again");
    // Attempts in the background are spaced by timers.
    drop(stopped);
    let errors = until(&store, None).await;
    let lost = |&kind: &ErrorKind| kind == ErrorKind::Disconnected;
    assert!(errors.len() <= 1 && errors.iter().all(lost), "{errors:?}");
    let _stopped = StoppedTimers::new();
    assert_eq!((take_slot(&store, "a").await, proxy.accepted()), (2, 2));
}

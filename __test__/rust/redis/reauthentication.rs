//! A password that a source gives: asked for when it is needed, said again before a login ends, and never the loss of a
//! check.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use huntaze_rate_limit::store::redis::{
    Credentials, PasswordAnswer, PasswordSource, RedisConfig, RedisStore, Secret,
};
use huntaze_rate_limit::store::{ErrorKind, StoreError};
use tokio::time::sleep;

use super::auth_proxy::Gate;
use super::server_errors::tell;
use super::{PATIENT, check, left, passwords, until};
use crate::server::Server;
use crate::starvation::{SIGN_OF_LIFE, retry_if_starved};
use crate::timers::Stopped;

/// A login is renewed between an eighth and a twenty-fourth of its life before its end, and replaced a forty-eighth before it: the
/// two are 40 ms apart at the least. A renewal that takes longer is replaced, as it should be.
const RENEWAL: Duration = Duration::from_millis(40);

/// How long a login holds in these tests, and twice that: what the server allows.
const LIFE: Duration = Duration::from_secs(2);
const ENOUGH: Duration = Duration::from_secs(4);

/// A connection that nobody has used for so long is asked for a sign of life.
const QUIET: Duration = Duration::from_millis(1100);

/// A server with a user whose password is another each time somebody asks for it.
struct Rotating {
    server: Server,
    admin: Mutex<redis::Connection>,
    asked: AtomicUsize,
    hangs: AtomicBool,
}

impl Rotating {
    fn start() -> Arc<Self> {
        let server = Server::start(&["--requirepass", "pw-admin"]);
        let mut admin = server.admin_as(":pw-admin@");
        tell(&mut admin, "ACL SETUSER limiter on ~* +@all");
        Arc::new(Self {
            server,
            admin: Mutex::new(admin),
            asked: AtomicUsize::new(0),
            hangs: AtomicBool::new(false),
        })
    }

    fn tell(&self, command: &str) {
        tell(&mut self.admin.lock().unwrap(), command);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// How many connections of the limiter's there are.
    fn clients(&self) -> usize {
        let mut list = redis::cmd("CLIENT");
        list.arg("LIST");
        let admin = &mut *self.admin.lock().unwrap();
        let list: String = list.query(admin).unwrap();
        list.matches("user=limiter").count()
    }

    /// A client behind `gate` that is told that a login holds for `LIFE`.
    fn config(self: &Arc<Self>, gate: &Gate) -> RedisConfig {
        RedisConfig {
            port: gate.port,
            username: Some("limiter".to_owned()),
            credentials: Credentials::Source(Arc::clone(self) as Arc<_>),
            login_life: LIFE,
            ..self.server.config()
        }
    }

    /// The same, with a login that outlives the test.
    fn lasting(self: &Arc<Self>, gate: &Gate) -> RedisConfig {
        RedisConfig {
            login_life: self.server.config().login_life,
            ..self.config(gate)
        }
    }
}

impl PasswordSource for Rotating {
    fn password(&self) -> PasswordAnswer {
        let turn = self.asked.fetch_add(1, Ordering::SeqCst);
        if self.hangs.load(Ordering::SeqCst) {
            return Box::pin(std::future::pending());
        }
        // The one before is no good any more.
        self.tell(&format!("ACL SETUSER limiter resetpass >pw-{turn}"));
        let password = Secret::new(format!("pw-{turn}"));
        Box::pin(async move { Ok(password) })
    }
}

/// Checks on and on until `done`; none of them may fail.
async fn nothing_fails_until(store: &RedisStore, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        check(store, "a").await.unwrap();
        assert!(begun.elapsed() < PATIENT, "it does not come to this");
        sleep(Duration::from_millis(1)).await;
    }
    check(store, "a").await.unwrap();
}

#[test]
fn a_login_is_renewed_on_the_connection_in_use() {
    retry_if_starved(RENEWAL, async || {
        let rotating = Rotating::start();
        let gate = Gate::to(rotating.server.port, Some(ENOUGH));
        let store = RedisStore::new(rotating.config(&gate));
        // Well past what the server allows.
        nothing_fails_until(&store, || gate.auths() >= gate.accepted() + 3).await;
        assert_eq!((gate.expired(), rotating.asked()), (0, gate.auths()));
        assert_eq!(gate.accepted(), 1);
    });
}

/// The control: what ends the connection of a client that does not renew its login.
#[tokio::test]
async fn whoever_does_not_log_in_again_is_disconnected() {
    let rotating = Rotating::start();
    rotating.tell("ACL SETUSER limiter >pw-list");
    let gate = Gate::to(rotating.server.port, Some(LIFE));
    let mut config = rotating.config(&gate);
    config.credentials = passwords(&["pw-list"]);
    let store = RedisStore::new(config);
    assert_eq!(left(&store, "a").await, 4);
    let begun = Instant::now();
    while gate.expired() == 0 {
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
        let gate = Gate::to(rotating.server.port, Some(ENOUGH));
        let store = RedisStore::new(rotating.config(&gate));
        // Two of the first attempt, for the source has another password, and one of the second.
        gate.refuse(3);
        nothing_fails_until(&store, || {
            gate.to_refuse() == 0 && gate.auths() >= gate.accepted() + 5
        })
        .await;
        assert_eq!(gate.accepted(), 1);
    });
}

#[test]
fn a_login_that_cannot_be_renewed_is_replaced_before_it_ends() {
    retry_if_starved(RENEWAL, async || {
        let rotating = Rotating::start();
        let gate = Gate::to(rotating.server.port, Some(ENOUGH));
        let store = RedisStore::new(rotating.config(&gate));
        gate.refuse(usize::MAX);
        nothing_fails_until(&store, || gate.accepted() >= 3).await;
        // The last one that was accepted may not be in use yet, and then the one before it is still needed.
        nothing_fails_until(&store, || rotating.clients() == 1).await;
        assert_eq!(gate.expired(), 0);
    });
}

/// What cannot be had while it hangs is not needed: the server takes the old login for longer than it promised.
#[test]
fn a_source_that_hangs_costs_no_check() {
    retry_if_starved(SIGN_OF_LIFE, async || {
        let rotating = Rotating::start();
        let gate = Gate::to(rotating.server.port, None);
        let mut config = rotating.config(&gate);
        config.connect_timeout = Duration::from_millis(500);
        let store = RedisStore::new(config.clone());
        assert_eq!(left(&store, "b").await, 4);
        rotating.hangs.store(true, Ordering::SeqCst);
        // Once for the renewal, the other times for a replacement.
        nothing_fails_until(&store, || rotating.asked() >= 4).await;
        assert_eq!((gate.accepted(), gate.auths()), (1, 1));
        // Where there is no connection yet, it is said what is waited for.
        let error = check(&RedisStore::new(config), "a").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.to_string().contains("password function"), "{error}");
        rotating.hangs.store(false, Ordering::SeqCst);
        nothing_fails_until(&store, || gate.accepted() == 2).await;
    });
}

/// A process that stood still for longer than its login holds does not wait for a timer to notice.
#[tokio::test]
async fn a_login_that_ran_out_while_the_process_was_frozen_is_not_used() {
    let rotating = Rotating::start();
    let gate = Gate::to(rotating.server.port, None);
    let store = RedisStore::new(rotating.config(&gate));
    assert_eq!(left(&store, "a").await, 4);
    // Nothing of this runtime runs meanwhile.
    std::thread::sleep(LIFE);
    assert_eq!(left(&store, "a").await, 3);
    assert_eq!((gate.accepted(), rotating.asked()), (2, 2));
}

/// A process that seldom asks has a connection that is quiet each time, and a server that never ends it.
#[test]
fn an_old_login_is_used_while_there_is_no_other() {
    retry_if_starved(SIGN_OF_LIFE, async || {
        let rotating = Rotating::start();
        let gate = Gate::to(rotating.server.port, None);
        let mut config = rotating.config(&gate);
        config.connect_timeout = Duration::from_millis(500);
        let store = RedisStore::new(config);
        assert_eq!(left(&store, "a").await, 4);
        rotating.hangs.store(true, Ordering::SeqCst);
        // Nothing of this runtime runs meanwhile.
        std::thread::sleep(LIFE);
        assert_eq!(left(&store, "a").await, 3);
        sleep(QUIET).await;
        assert_eq!(left(&store, "a").await, 2);
        assert_eq!((gate.accepted(), gate.auths()), (1, 1));
        rotating.hangs.store(false, Ordering::SeqCst);
        nothing_fails_until(&store, || gate.accepted() == 2 || gate.auths() == 2).await;
    });
}

#[tokio::test]
async fn a_connection_that_is_not_logged_in_any_more_is_made_anew() {
    let _stopped = Stopped::new();
    let rotating = Rotating::start();
    let gate = Gate::to(rotating.server.port, None);
    let store = RedisStore::new(rotating.lasting(&gate));
    assert_eq!(left(&store, "a").await, 4);
    gate.log_out_all();
    assert_eq!(
        check(&store, "a").await.unwrap_err().kind(),
        ErrorKind::NoAuth
    );
    assert_eq!(left(&store, "a").await, 3);
    assert_eq!((gate.accepted(), rotating.asked()), (2, 2));
}

/// Passwords of a list, in turn; the last one again and again.
struct Listed(&'static [&'static str], AtomicUsize);

impl PasswordSource for Listed {
    fn password(&self) -> PasswordAnswer {
        let turn = self.1.fetch_add(1, Ordering::SeqCst);
        let password = self.0[turn.min(self.0.len() - 1)];
        Box::pin(async move { Ok::<_, StoreError>(Secret::new(password)) })
    }
}

/// It was rotated between the asking and the AUTH.
#[tokio::test]
async fn a_source_is_asked_once_more_within_the_connect() {
    let server = Server::start(&["--requirepass", "pw-new"]);
    let gate = Gate::to(server.port, None);
    let connect = async |list| {
        let before = gate.auths();
        let source = Arc::new(Listed(list, AtomicUsize::new(0)));
        let mut config = server.config();
        config.port = gate.port;
        config.credentials = Credentials::Source(Arc::clone(&source) as Arc<_>);
        let result = check(&RedisStore::new(config), "a").await;
        let kind = result.err().map(|error| error.kind());
        (kind, source.1.load(Ordering::SeqCst), gate.auths() - before)
    };
    assert_eq!(connect(&["pw-old", "pw-new"]).await, (None, 2, 2));
    let refused = Some(ErrorKind::WrongPass);
    // Twice is enough: more would be hammering.
    assert_eq!(
        connect(&["pw-older", "pw-old", "pw-new"]).await,
        (refused, 2, 2)
    );
    // And the same one again would be refused again.
    assert_eq!(connect(&["pw-old"]).await, (refused, 2, 1));
}

/// The server throws out whose user is removed, and nobody whose password is.
#[tokio::test]
async fn a_user_who_is_made_anew_is_let_in_again() {
    let stopped = Stopped::new();
    let rotating = Rotating::start();
    let gate = Gate::to(rotating.server.port, None);
    let store = RedisStore::new(rotating.lasting(&gate));
    assert_eq!(left(&store, "a").await, 4);
    rotating.tell("ACL SETUSER limiter resetpass >pw-other");
    assert_eq!((left(&store, "a").await, gate.accepted()), (3, 1));
    rotating.tell("ACL DELUSER limiter");
    rotating.tell("ACL SETUSER limiter on ~* +@all >pw-again");
    // Attempts in the background are spaced by timers.
    drop(stopped);
    let errors = until(&store, None).await;
    let lost = |&kind: &ErrorKind| kind == ErrorKind::Disconnected;
    assert!(errors.len() <= 1 && errors.iter().all(lost), "{errors:?}");
    let _stopped = Stopped::new();
    assert_eq!((left(&store, "a").await, gate.accepted()), (2, 2));
}

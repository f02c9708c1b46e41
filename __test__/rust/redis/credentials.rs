//! Credentials: passwords, users and their rights, and functions that return passwords.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::redis_store::RedisStore;
use huntaze_rate_limit::store::redis::{Credentials, PasswordAnswer, PasswordSource, Secret};
use huntaze_rate_limit::store::{ErrorKind, Replay, StoreError};

use super::server_errors::connections_ever;
use super::{HOUR, failure, passwords, take_slot, until};
use crate::requests::{anomaly_rules, id, scope};
use crate::server::Server;

fn locked() -> Server {
    Server::start(&["--requirepass", "pw-new"])
}

fn with(server: &Server, username: Option<&str>, credentials: Credentials) -> RedisStore {
    let mut config = server.config();
    config.username = username.map(str::to_owned);
    config.credentials = credentials;
    RedisStore::new(config)
}

#[tokio::test]
async fn only_the_right_password_logs_in() {
    let server = locked();
    let right = with(&server, None, passwords(&["pw-new"]));
    assert_eq!(take_slot(&right, "a").await, 4);
    let wrong = with(&server, None, passwords(&["pw-old"]));
    assert_eq!(failure(&wrong).await, ErrorKind::WrongPass);
    let none = with(&server, None, passwords(&[]));
    assert_eq!(failure(&none).await, ErrorKind::NoAuth);
}

/// While a token is rotated either may be the valid one. Before and after, one of them is not.
#[tokio::test]
async fn passwords_are_tried_in_order() {
    let server = locked();
    for list in [["pw-old", "pw-new"], ["pw-new", "pw-old"]] {
        let store = with(&server, None, passwords(&list));
        take_slot(&store, &list.concat()).await;
    }
    let neither = with(&server, None, passwords(&["pw-old", "pw-older"]));
    assert_eq!(failure(&neither).await, ErrorKind::WrongPass);
}

#[tokio::test]
async fn a_password_that_was_changed_is_taken_up_at_the_next_connect() {
    let server = locked();
    let store = with(&server, None, passwords(&["pw-new", "pw-next"]));
    assert_eq!(take_slot(&store, "a").await, 4);
    let mut admin = server.admin_as(":pw-new@");
    let () = redis::cmd("CONFIG")
        .arg(&["SET", "requirepass", "pw-next"])
        .query(&mut admin)
        .unwrap();
    let () = redis::cmd("CLIENT")
        .arg(&["KILL", "TYPE", "normal"])
        .query(&mut admin)
        .unwrap();
    // The check on the dead connection may be lost.
    let _ = super::check(&store, "b").await;
    assert_eq!(take_slot(&store, "a").await, 3);
}

#[tokio::test]
async fn a_password_where_the_server_has_none_is_no_rotation() {
    let server = Server::start(&[]);
    let store = with(&server, None, passwords(&["pw-old", "pw-new"]));
    let error = super::check(&store, "a").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::NoPassword, "WRONGPASS")
    );
    let message = error.to_string();
    assert!(message.contains("server has none"), "{message}");
    assert!(!message.contains("pw-"), "{message}");
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_named() {
    let server = Server::start(&["--databases", "3"]);
    let () = redis::cmd("ACL")
        .arg(&["SETUSER", "few", "on", "nopass", "~*", "+@all", "-select"])
        .query(&mut server.admin())
        .unwrap();
    let mut config = server.config();
    config.database = 7;
    let error = super::check(&RedisStore::new(config.clone()), "a").await;
    let error = error.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Database, "PROTOCOL")
    );
    let wanted = "the server has no database 7: DB index is out of range";
    assert!(error.to_string().starts_with(wanted), "{error}");
    config.username = Some("few".to_owned());
    let error = super::check(&RedisStore::new(config), "a")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoPerm);
    assert!(error.to_string().contains("database 7"), "{error}");
}

fn with_user(rights: &[&str]) -> Server {
    let server = Server::start(&[]);
    let mut admin = server.admin();
    let mut user = redis::cmd("ACL");
    user.arg(&["SETUSER", "limiter", "on", ">pw-user"])
        .arg(rights);
    let () = user.query(&mut admin).unwrap();
    server
}

fn as_user(server: &Server) -> RedisStore {
    with(server, Some("limiter"), passwords(&["pw-user"]))
}

#[tokio::test]
async fn a_user_needs_the_scripts_own_commands_and_the_names_keys() {
    let of_scripts = ["+eval", "+evalsha", "+time", "+del", "+pexpire"];
    let of_lists = ["+lindex", "+llen", "+lpop", "+lpush", "+lset", "+ltrim"];
    let server = with_user(&[&["~{t:*"], &of_scripts[..], &of_lists[..]].concat());
    let store = as_user(&server);
    for remaining in [4, 3, 2, 1, 0, 0, 0] {
        assert_eq!(take_slot(&store, "a").await, remaining);
    }
    // A probe and a replay need no other rights.
    let scope = scope("t", anomaly_rules(HOUR, 2.0, 300_000));
    assert!(store.probe(&scope, 0).await.is_ok());
    let replay = |who: &str, ages: &[u64]| Replay {
        id: id(who),
        reset: Some(10).filter(|_| !ages.is_empty()),
        reported: Some(5),
        ages: ages.to_vec(),
    };
    let replays = [replay("a", &[5]), replay("a", &[]), replay("b", &[])];
    for _ in 0..2 {
        let results = store.replay(&scope, &replays).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }
    let other_user = with(&server, Some("nobody"), passwords(&["pw-user"]));
    assert_eq!(failure(&other_user).await, ErrorKind::WrongPass);
}

#[tokio::test]
async fn a_missing_right_is_an_error_of_permission() {
    let may_not_run_scripts = with_user(&["~*", "+@all", "-eval", "-evalsha"]);
    assert_eq!(
        failure(&as_user(&may_not_run_scripts)).await,
        ErrorKind::NoPerm
    );
    let may_not_touch_the_key = with_user(&["~other:*", "+@all"]);
    assert_eq!(
        failure(&as_user(&may_not_touch_the_key)).await,
        ErrorKind::NoPerm
    );
    // Refused inside the script, where the server's error has another form.
    let may_not_push = with_user(&["~*", "+@all", "-lpush"]);
    assert_eq!(failure(&as_user(&may_not_push)).await, ErrorKind::NoPerm);
    let may_not_select = with_user(&["~*", "+@all", "-select"]);
    let mut config = may_not_select.config();
    config.username = Some("limiter".to_owned());
    config.credentials = passwords(&["pw-user"]);
    config.database = 1;
    assert_eq!(failure(&RedisStore::new(config)).await, ErrorKind::NoPerm);
}

/// Returns the passwords of a list, one for each call, and then the last one again and again. Fails where the list is empty.
struct Fresh(Vec<&'static str>, AtomicUsize);

impl PasswordSource for Fresh {
    fn password(&self) -> PasswordAnswer {
        let call = self.1.fetch_add(1, Ordering::SeqCst);
        let next = self
            .0
            .get(call)
            .or(self.0.last())
            .map(|&text| Secret::new(text));
        let gone = StoreError::new(ErrorKind::NoAuth, "no password today");
        Box::pin(async move { next.ok_or(gone) })
    }
}

#[tokio::test]
async fn a_source_is_called_at_each_connect() {
    let server = locked();
    let mut admin = server.admin_as(":pw-new@");
    let before = connections_ever(&mut admin);
    let list = vec!["pw-older", "pw-old", "pw-new"];
    let source = Arc::new(Fresh(list, AtomicUsize::new(0)));
    let store = with(
        &server,
        None,
        Credentials::Source(Arc::clone(&source) as Arc<_>),
    );
    assert_eq!(failure(&store).await, ErrorKind::WrongPass);
    until(&store, None).await;
    assert_eq!(
        (take_slot(&store, "a").await, take_slot(&store, "a").await),
        (4, 3)
    );
    // One connection for each password: two were refused.
    let connections = (connections_ever(&mut admin) - before) as usize;
    assert_eq!(source.1.load(Ordering::SeqCst), connections);
    assert!(connections >= 3);
    // The check fails with the error of the source.
    let failing = Arc::new(Fresh(Vec::new(), AtomicUsize::new(0)));
    let store = with(&server, None, Credentials::Source(failing));
    let error = super::check(&store, "a").await.unwrap_err();
    assert_eq!(error.to_string(), "no password today");
}

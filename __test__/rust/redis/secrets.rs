//! I21: no password in any text that could reach a log.

use std::error::Error;

use crate::redis_store::RedisStore;
use huntaze_rate_limit::store::StoreError;
use huntaze_rate_limit::store::redis::Secret;
use huntaze_rate_limit::store::redis::config_env::{Environment, with_defaults};

use super::{check, passwords};
use crate::server::Server;

const SECRET: &str = "hunter2-hunter2-hunter2";

/// All text that an error can produce.
fn words(error: &StoreError) -> String {
    let mut words = format!("{error} {error:?} {error:#?}");
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(&format!(" {cause} {cause:?}"));
        source = cause.source();
    }
    words
}

/// The error of a store that logs in with the secret.
async fn failing(server: &Server, username: Option<&str>) -> StoreError {
    let mut config = server.config();
    config.username = username.map(str::to_owned);
    config.credentials = passwords(&[SECRET]);
    check(&RedisStore::new(config), "a").await.unwrap_err()
}

#[tokio::test]
async fn no_error_quotes_the_password() {
    let other_password = Server::start(&["--requirepass", "other"]);
    let no_password = Server::start(&[]);
    // Servers echo an unknown command with its arguments: AUTH's is the password.
    let no_auth_command = Server::start(&["--rename-command", "AUTH", ""]);
    for server in [&other_password, &no_password, &no_auth_command] {
        for username in [None, Some("user")] {
            let words = words(&failing(server, username).await);
            assert!(!words.contains(SECRET), "{words}");
            // Nor a fragment long enough to be one.
            assert!(!words.contains("hunter2"), "{words}");
        }
    }
}

#[test]
fn no_configuration_shows_the_password() {
    let mut config = with_defaults("there");
    config.credentials = passwords(&[SECRET]);
    assert!(!format!("{config:?} {config:#?}").contains("hunter2"));
    assert_eq!(format!("{:?}", Secret::new(SECRET)), "***");
    let variables =
        ["REDIS_PASSWORD", "REDIS_URL"].map(|name| (name.to_owned(), SECRET.to_owned()));
    let environment = Environment::new(variables);
    assert!(!format!("{environment:?} {environment:#?}").contains("hunter2"));
}

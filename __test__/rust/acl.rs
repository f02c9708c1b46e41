//! Users of a server with access control: the default one is off, the limiter's has its rights, and the tests have their own.

use std::fs;
use std::path::Path;

use huntaze_rate_limit::store::redis::{Credentials, RedisConfig, Secret};

/// The rights that docs/failure-modes.md lists, for a limiter of any name.
const LIMITER: &str =
    "~{* +eval +evalsha +time +del +pexpire +lindex +llen +lpop +lpush +lset +ltrim";

/// The commands that a client of a Redis Cluster sends besides.
const CLUSTER: &str = "+cluster|slots +asking +ping";

pub const USER: &str = "limiter";
pub const PASSWORD: &str = "pw-limiter";
pub const ADMIN: &str = "admin";
pub const ADMIN_PASSWORD: &str = "pw-admin";

/// Writes the users into `folder`. Returns the arguments with which a server loads them and logs in to its primary.
pub fn users(folder: &Path) -> Vec<String> {
    let file = folder.join("users.acl");
    let users = [
        // It has rights, for a server replays its own `appendonly` file as the default user.
        "user default off ~* &* +@all".to_owned(),
        format!("user {USER} on >{PASSWORD} {LIMITER} {CLUSTER}"),
        format!("user {ADMIN} on >{ADMIN_PASSWORD} ~* &* +@all"),
    ];
    fs::write(&file, users.join("\n") + "\n").unwrap();
    [
        "--aclfile",
        file.to_str().unwrap(),
        "--masteruser",
        ADMIN,
        "--masterauth",
        ADMIN_PASSWORD,
    ]
    .map(str::to_owned)
    .into()
}

/// The same configuration, logged in as the limiter's user.
pub fn as_user(config: RedisConfig) -> RedisConfig {
    RedisConfig {
        username: Some(USER.to_owned()),
        credentials: Credentials::Passwords(vec![Secret::new(PASSWORD)]),
        ..config
    }
}

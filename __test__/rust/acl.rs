//! Users as a server with access control has them: nobody by default, the limiter with its rights, and the tests' own.

use std::fs;
use std::path::Path;

use huntaze_rate_limit::store::redis::{Credentials, RedisConfig, Secret};

/// What docs/failure-modes.md tells an operator to grant, to a limiter of any name.
const LIMITER: &str =
    "~{* +eval +evalsha +time +del +pexpire +lindex +llen +lpop +lpush +lset +ltrim";

/// What a client of a Redis Cluster says besides.
const CLUSTER: &str = "+cluster|slots +asking +ping";

pub const USER: &str = "limiter";
pub const PASSWORD: &str = "pw-limiter";
pub const ADMIN: &str = "admin";
pub const ADMIN_PASSWORD: &str = "pw-admin";

/// Writes them into `folder`; what tells a server of them, and how it logs in to its primary.
pub fn users(folder: &Path) -> Vec<String> {
    let file = folder.join("users.acl");
    let users = [
        // Its rights are for what a server reads back of its own (`appendonly`): as nobody else.
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

/// As the limiter's user.
pub fn as_user(config: RedisConfig) -> RedisConfig {
    RedisConfig {
        username: Some(USER.to_owned()),
        credentials: Credentials::Passwords(vec![Secret::new(PASSWORD)]),
        ..config
    }
}

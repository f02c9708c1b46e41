//! The servers with TLS and users behind the contract suite. Tests of the same kind share one while any of them runs.

use std::sync::{Arc, Mutex, Weak};

use huntaze_rate_limit::store::redis::{RedisConfig, TlsConfig};
use tempfile::TempDir;

use crate::acl::{as_user, users};
use crate::redis::certificates::{Authority, Files};
use crate::server::{Port, Server, share};
use crate::test_cluster::{Cluster, Options};

/// One server over TLS, whose default user is off.
pub struct TlsUsers {
    server: Server,
    port: Port,
    ca: String,
    _files: (Files, TempDir),
}

impl TlsUsers {
    fn start() -> Self {
        let authority = Authority::new();
        let files = authority.certify(&["localhost"]);
        let folder = tempfile::tempdir().unwrap();
        let port = Port::reserve();
        let mut arguments = users(folder.path());
        arguments.extend(["--tls-port".to_owned(), port.number.to_string()]);
        arguments.extend(files.arguments().map(str::to_owned));
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        Self {
            server: Server::start(&arguments),
            port,
            ca: authority.pem,
            _files: (files, folder),
        }
    }

    pub fn config(&self) -> RedisConfig {
        as_user(RedisConfig {
            host: "localhost".to_owned(),
            port: self.port.number,
            tls: Some(TlsConfig {
                ca: Some(self.ca.clone()),
                ..TlsConfig::default()
            }),
            ..self.server.config()
        })
    }
}

pub fn tls_users() -> Arc<TlsUsers> {
    static SHARED: Mutex<Weak<TlsUsers>> = Mutex::new(Weak::new());
    share(&SHARED, TlsUsers::start)
}

pub fn cluster_tls_users() -> Arc<Cluster> {
    static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    share(&SHARED, || {
        Cluster::with(Options {
            tls: true,
            users: true,
            host_names: true,
            ..Options::default()
        })
    })
}

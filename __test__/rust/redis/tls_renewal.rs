//! A certificate, or a trusted authority, is replaced while connections are open.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::redis_store::RedisStore;
use huntaze_rate_limit::store::ErrorKind;
use huntaze_rate_limit::store::redis::{RedisConfig, TlsConfig};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};

use super::certificates::Authority;
use super::server_errors::connections_ever;
use super::tls::config;
use super::{PATIENT, check, failure, take_slot, until};
use crate::timers::StoppedTimers;

#[tokio::test]
async fn open_connections_continue_and_new_ones_verify_the_new_certificate() {
    let stopped = StoppedTimers::new();
    let (old, new) = (Authority::new(), Authority::new());
    let server = old.server(&["localhost"]);
    let by =
        |authority: &Authority| RedisStore::new(config(&server, "localhost", Some(&authority.pem)));
    let store = by(&old);
    assert_eq!(take_slot(&store, "a").await, 4);
    let mut admin = server.server.admin();
    let before = connections_ever(&mut admin);
    server.present(new.issue(&["localhost"]));
    assert_eq!(take_slot(&store, "a").await, 3);
    // The connection of `present` itself.
    assert_eq!(connections_ever(&mut admin), before + 1);
    assert_eq!(failure(&by(&old)).await, ErrorKind::Tls);
    assert_eq!(take_slot(&by(&new), "a").await, 2);
    drop(stopped);
    // A client that has connected before verifies the new one as well.
    let _: u32 = redis::cmd("CLIENT")
        .arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])
        .query(&mut admin)
        .unwrap();
    until(&store, Some(ErrorKind::Tls)).await;
    server.present(old.issue(&["localhost"]));
    until(&store, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_renewed_under_load_costs_no_check() {
    let authority = Authority::new();
    let server = authority.server(&["localhost"]);
    let config = config(&server, "localhost", Some(&authority.pem));
    let busy = Arc::new(RedisStore::new(config.clone()));
    let decided = Arc::new(AtomicUsize::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let loads: Vec<_> = (0..4)
        .map(|n| {
            let (busy, decided) = (Arc::clone(&busy), Arc::clone(&decided));
            let over = Arc::clone(&over);
            let who = n.to_string();
            tokio::spawn(async move {
                while !over.load(Ordering::SeqCst) {
                    check(&busy, &who).await.unwrap();
                    decided.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for n in 0..20 {
        server.present(authority.issue(&["localhost"]));
        take_slot(&RedisStore::new(config.clone()), &format!("new {n}")).await;
        // The load continues meanwhile.
        let (begun, before) = (Instant::now(), decided.load(Ordering::SeqCst));
        while decided.load(Ordering::SeqCst) < before + 20 {
            assert!(begun.elapsed() < PATIENT);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    over.store(true, Ordering::SeqCst);
    for load in loads {
        load.await.unwrap();
    }
}

/// The file is read at each connect.
#[tokio::test]
async fn the_extra_ca_file_may_be_renewed() {
    let (old, new) = (Authority::new(), Authority::new());
    let server = old.server(&["localhost"]);
    let mut config = config(&server, "localhost", None);
    config.tls.as_mut().unwrap().extra_ca_file = Some(server.ca_file.clone());
    let store = RedisStore::new(config);
    assert_eq!(take_slot(&store, "a").await, 4);
    let mut admin = server.server.admin();
    let mut disconnect = || {
        let _: u32 = redis::cmd("CLIENT")
            .arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])
            .query(&mut admin)
            .unwrap();
    };
    server.present(new.issue(&["localhost"]));
    disconnect();
    until(&store, Some(ErrorKind::Tls)).await;
    fs::write(&server.ca_file, &new.pem).unwrap();
    until(&store, None).await;
    // The authority trusted before no longer is.
    server.present(old.issue(&["localhost"]));
    disconnect();
    until(&store, Some(ErrorKind::Tls)).await;
}

/// A server that would resume sessions, and reports the kind of each handshake. It replies once, and closes at the next command.
fn resuming(authority: &Authority) -> (u16, Receiver<Option<HandshakeKind>>) {
    let (certificate, key) = authority.issue(&["localhost"]);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (kinds, handshakes) = channel();
    // The thread ends with the process: it does not learn that the test is over.
    thread::spawn(move || {
        for tcp in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, tcp.unwrap());
            let mut bytes = [0; 4096];
            if stream.read(&mut bytes).is_ok() && stream.write_all(b"+PONG\r\n").is_ok() {
                let _ = kinds.send(stream.conn.handshake_kind());
                let _ = stream.read(&mut bytes);
            }
        }
    });
    (port, handshakes)
}

/// In a resumed session the server presents no certificate.
#[tokio::test]
async fn each_connect_verifies_the_certificate() {
    let authority = Authority::new();
    let (port, handshakes) = resuming(&authority);
    let store = RedisStore::new(RedisConfig {
        host: "localhost".to_owned(),
        tls: Some(TlsConfig {
            ca: Some(authority.pem),
            ..TlsConfig::default()
        }),
        ..crate::fake_server::config(port)
    });
    let mut kinds = Vec::new();
    let begun = Instant::now();
    while kinds.len() < 3 {
        assert_eq!(failure(&store).await, ErrorKind::Disconnected);
        kinds.extend(handshakes.try_iter());
        assert!(begun.elapsed() < PATIENT, "{kinds:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(
        kinds.iter().all(|&kind| kind == Some(HandshakeKind::Full)),
        "{kinds:?}"
    );
}

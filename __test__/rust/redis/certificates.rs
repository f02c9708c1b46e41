//! Certificates, made anew for each test: an authority of the test's own, and servers it vouches for.

use std::fs;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, IsCa, Issuer, KeyPair, date_time_ymd,
};
use tempfile::TempDir;

use crate::server::{Server, free_port};

/// Who signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = params(&[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A server that shows a certificate for `names`, and its files.
    pub fn server(&self, names: &[&str]) -> TlsServer {
        self.serve(params(names))
    }

    /// The same with a certificate of long ago.
    pub fn expired_server(&self, names: &[&str]) -> TlsServer {
        let mut params = params(names);
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
        self.serve(params)
    }

    fn serve(&self, params: CertificateParams) -> TlsServer {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let ca = write("ca.pem", self.pem.clone());
        let certificate = write("server.pem", certificate.pem());
        let key = write("server.key", key.serialize_pem());
        let port = free_port();
        let server = Server::start(&[
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &ca,
            "--tls-auth-clients",
            "no",
        ]);
        TlsServer {
            server,
            port,
            ca_file: ca,
            _folder: folder,
        }
    }
}

/// A server with a TLS port besides the plain one.
pub struct TlsServer {
    pub server: Server,
    pub port: u16,
    /// The authority's certificate, in a file.
    pub ca_file: String,
    _folder: TempDir,
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params
}

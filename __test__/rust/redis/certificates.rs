//! Certificates, made anew for each test: an authority of the test's own, and servers it vouches for.

use std::fs;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    date_time_ymd,
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
        // OpenSSL takes a certificate whose issuer is called as its subject for one that signs itself.
        params.distinguished_name.push(DnType::CommonName, "tests");
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

    /// A certificate for `names`, in files.
    pub fn certify(&self, names: &[&str]) -> Files {
        self.issue(params(names))
    }

    fn issue(&self, params: CertificateParams) -> Files {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        Files {
            ca: write("ca.pem", self.pem.clone()),
            certificate: write("server.pem", certificate.pem()),
            key: write("server.key", key.serialize_pem()),
            _folder: folder,
        }
    }

    fn serve(&self, params: CertificateParams) -> TlsServer {
        let files = self.issue(params);
        let port = free_port();
        let tls_port = port.to_string();
        let mut arguments = vec!["--tls-port", &tls_port];
        arguments.extend(files.arguments());
        let server = Server::start(&arguments);
        TlsServer {
            server,
            port,
            ca_file: files.ca.clone(),
            _files: files,
        }
    }
}

/// A certificate and what belongs to it, in files that go with this.
pub struct Files {
    /// The authority's own.
    pub ca: String,
    certificate: String,
    key: String,
    _folder: TempDir,
}

impl Files {
    /// What tells a server to show the certificate.
    pub fn arguments(&self) -> [&str; 8] {
        [
            "--tls-cert-file",
            &self.certificate,
            "--tls-key-file",
            &self.key,
            "--tls-ca-cert-file",
            &self.ca,
            "--tls-auth-clients",
            "no",
        ]
    }
}

/// A server with a TLS port besides the plain one.
pub struct TlsServer {
    pub server: Server,
    pub port: u16,
    /// The authority's certificate, in a file.
    pub ca_file: String,
    _files: Files,
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params
}

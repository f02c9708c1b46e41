//! Certificates, generated for each test: an authority of the test's own, and servers whose certificates it signs.

use std::fs;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use tempfile::TempDir;

use crate::server::{Port, Server};

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub pem: String,
    key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = params(&[]);
        // OpenSSL takes a certificate whose issuer has the name of its subject for a self-signed one.
        params.distinguished_name.push(DnType::CommonName, "tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            key: key.serialize_pem(),
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Its own certificate and key.
    pub fn own(&self) -> (String, String) {
        (self.pem.clone(), self.key.clone())
    }

    /// A server that presents a certificate for `names`, and its files.
    pub fn server(&self, names: &[&str]) -> TlsServer {
        self.server_with(names, &[])
    }

    /// The same with `options` of redis-server besides.
    pub fn server_with(&self, names: &[&str], options: &[&str]) -> TlsServer {
        self.serve(params(names), options)
    }

    /// The same with a certificate that has expired.
    pub fn expired_server(&self, names: &[&str]) -> TlsServer {
        let mut params = params(names);
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
        self.serve(params, &[])
    }

    /// A certificate for `names`, in files.
    pub fn certify(&self, names: &[&str]) -> Files {
        self.file(self.issue(names))
    }

    /// The same with a certificate that is not valid yet.
    pub fn early_server(&self, names: &[&str]) -> TlsServer {
        let mut params = params(names);
        params.not_before = date_time_ymd(4000, 1, 1);
        self.serve(params, &[])
    }

    /// A certificate for `names`, and its key, in PEM form.
    pub fn issue(&self, names: &[&str]) -> (String, String) {
        self.sign(params(names))
    }

    fn sign(&self, params: CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn file(&self, (certificate, key): (String, String)) -> Files {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        Files {
            ca: write("ca.pem", self.pem.clone()),
            certificate: write("server.pem", certificate),
            key: write("server.key", key),
            folder,
        }
    }

    fn serve(&self, params: CertificateParams, options: &[&str]) -> TlsServer {
        let files = self.file(self.sign(params));
        let port = Port::reserve();
        let tls_port = port.number.to_string();
        let mut arguments = vec!["--tls-port", &tls_port];
        arguments.extend(files.arguments());
        arguments.extend(options);
        let server = Server::start(&arguments);
        TlsServer {
            server,
            port: port.number,
            ca_file: files.ca.clone(),
            files,
            _reserved: port,
        }
    }
}

/// A certificate, its key and its authority's certificate, in files that are deleted with this.
pub struct Files {
    /// The authority's own.
    pub ca: String,
    certificate: String,
    key: String,
    folder: TempDir,
}

impl Files {
    /// The arguments with which a server presents the certificate.
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
    files: Files,
    _reserved: Port,
}

impl TlsServer {
    /// Presents another certificate from now on, by `CONFIG SET`, as an operator does who renews it.
    pub fn present(&self, (certificate, key): (String, String)) {
        // New names: Redis reads the files on `CONFIG SET`, and might read others while they are being written.
        let folder = self.files.folder.path();
        let number = fs::read_dir(folder).unwrap().count();
        let write = |ending: &str, text: String| {
            let path = folder.join(format!("{number}.{ending}"));
            fs::write(&path, text).unwrap();
            path
        };
        let () = redis::cmd("CONFIG")
            .arg(&["SET", "tls-cert-file"])
            .arg(write("pem", certificate).to_str().unwrap())
            .arg("tls-key-file")
            .arg(write("key", key).to_str().unwrap())
            .query(&mut self.server.admin())
            .unwrap();
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params
}

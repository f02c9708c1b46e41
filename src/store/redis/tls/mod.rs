//! The TLS client. It always verifies the server; no option turns that off.

mod error;

use std::borrow::Cow;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

pub(crate) use self::error::refusal;

use super::config::TlsConfig;
use crate::store::{ErrorKind, StoreError};

/// The TLS client for all servers of an engine.
pub(crate) struct Client {
    config: TlsConfig,
    /// The client, and the text of the extra file that it was built from. To parse 140 roots for each connect would take longer than
    /// the handshake.
    built: Mutex<Option<(Option<String>, Arc<ClientConfig>)>>,
}

impl Client {
    pub(crate) fn new(config: TlsConfig) -> Self {
        Self {
            config,
            built: Mutex::new(None),
        }
    }

    /// A session that verifies the certificate against `host`, or the configured name.
    ///
    /// # Errors
    /// [`ErrorKind::Tls`] for a name that no certificate can have, and for authorities that cannot be used.
    pub(crate) fn session(&self, host: &str) -> Result<ClientConnection, StoreError> {
        let name = self.config.server_name.as_deref().unwrap_or(host);
        let server = ServerName::try_from(name.to_owned()).map_err(|e| {
            failed("the server name is neither a DNS name nor an IP address").with_source(e)
        })?;
        let (client, _) = self.client()?;
        ClientConnection::new(client, server)
            .map_err(|e| failed("the TLS session cannot be made").with_source(e))
    }

    /// The error of a handshake that has failed.
    pub(crate) fn handshake_error(&self, error: std::io::Error) -> StoreError {
        let extra = self.client().ok().and_then(|(_, extra)| extra);
        error::handshake(error, extra.as_deref())
    }

    /// The client with the current authorities, and why the extra file adds none, if so. The file is read at each connect, since it
    /// may have been renewed.
    fn client(&self) -> Result<(Arc<ClientConfig>, Option<String>), StoreError> {
        let path = self.config.extra_ca_file.as_ref();
        // Like Node.js, which warns and continues without a file it cannot read.
        let read = path.map(|path| (path, std::fs::read_to_string(path)));
        let (extra, problem) = match read {
            None => (None, None),
            Some((path, Err(error))) => (None, Some(adds_nothing(path, &error.kind().to_string()))),
            Some((path, Ok(text))) => {
                let found = certificates(&text).is_ok();
                let problem = (!found).then(|| adds_nothing(path, "no certificate in PEM form"));
                (Some(text), problem)
            }
        };
        let mut built = self.built.lock();
        if let Some((from, client)) = &*built
            && *from == extra
        {
            return Ok((Arc::clone(client), problem));
        }
        let client = Arc::new(client(self.config.ca.as_deref(), extra.as_deref())?);
        *built = Some((extra, Arc::clone(&client)));
        Ok((client, problem))
    }
}

/// The message that the extra file at `path` adds nothing. The path is quoted: a line break would forge a log line.
fn adds_nothing(path: &str, why: &str) -> String {
    format!("NODE_EXTRA_CA_CERTS names {path:?}, which gave no certificate: {why}")
}

/// The certificates in a PEM text.
///
/// # Errors
/// [`ErrorKind::Tls`] for a text without a certificate, or with one that cannot be read.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let list = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    match list {
        Ok(list) if !list.is_empty() => Ok(list),
        _ => Err(failed("no certificate in PEM form")),
    }
}

/// The certificates in a PEM text, as authorities to trust.
///
/// # Errors
/// [`ErrorKind::Tls`] as for [`certificates`], and for a certificate that cannot be parsed.
pub(crate) fn authorities(pem: &str) -> Result<RootCertStore, StoreError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots
            .add(certificate)
            .map_err(|e| failed("the CA is no root certificate").with_source(e))?;
    }
    Ok(roots)
}

/// Whether `name` can be in a certificate.
pub(crate) fn is_server_name(name: &str) -> bool {
    ServerName::try_from(name).is_ok()
}

/// Trusts `ca`, or else the public roots, and `extra` in addition.
fn client(ca: Option<&str>, extra: Option<&str>) -> Result<ClientConfig, StoreError> {
    let mut roots = match ca {
        Some(pem) => authorities(pem)?,
        None => webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
    };
    roots.add_parsable_certificates(certificates(extra.unwrap_or_default()).unwrap_or_default());
    let mut client = trusting(roots)?;
    // A resumed session shows no certificate: one that has expired or was replaced since would go unseen. It would
    // save one signature a connect, and a thread connects once.
    client.resumption = Resumption::disabled();
    Ok(client)
}

fn trusting(roots: RootCertStore) -> Result<ClientConfig, StoreError> {
    // The provider is named here, not installed for the process: another addon may have installed its own.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| failed("no TLS version to offer").with_source(e))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// The first message of a client without authorities, to which a TLS server replies. No handshake can succeed with it.
pub(crate) fn hello(host: &str) -> Option<Vec<u8>> {
    let client = Arc::new(trusting(RootCertStore::empty()).ok()?);
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let mut connection = rustls::ClientConnection::new(client, name).ok()?;
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).ok()?;
    Some(bytes)
}

fn failed(message: impl Into<Cow<'static, str>>) -> StoreError {
    StoreError::new(ErrorKind::Tls, message)
}

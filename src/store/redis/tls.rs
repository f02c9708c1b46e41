//! The TLS client: verified always; there is no way to say otherwise.

use std::borrow::Cow;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::config::TlsConfig;
use crate::store::{ErrorKind, StoreError};

/// Performs the handshake on `tcp` and verifies the certificate against `host`, or the configured name.
pub(super) async fn handshake(
    tls: &TlsConfig,
    host: &str,
    tcp: TcpStream,
) -> Result<TlsStream<TcpStream>, StoreError> {
    let name = tls.server_name.as_deref().unwrap_or(host);
    let server = ServerName::try_from(name.to_owned()).map_err(|e| {
        failed("the server name is neither a DNS name nor an IP address").with_source(e)
    })?;
    let connector = TlsConnector::from(Arc::new(client(tls)?));
    let stream = connector.connect(server, tcp).await;
    // rustls says what is wrong with the certificate and quotes nothing secret.
    stream.map_err(|e| failed(format!("TLS handshake failed: {e}")).with_source(e))
}

/// The certificates in a PEM text.
///
/// # Errors
/// [`ErrorKind::Tls`] for a text without one, or with one that cannot be read.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let list = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    match list {
        Ok(list) if !list.is_empty() => Ok(list),
        _ => Err(failed("no certificate in PEM form")),
    }
}

fn client(tls: &TlsConfig) -> Result<ClientConfig, StoreError> {
    let mut roots = RootCertStore::empty();
    match &tls.ca {
        Some(pem) => {
            for certificate in certificates(pem)? {
                roots
                    .add(certificate)
                    .map_err(|e| failed("the CA is no root certificate").with_source(e))?;
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    if let Some(path) = &tls.extra_ca_file {
        // Like Node.js, which warns and goes on without a file it cannot read. Read at each connect: it may be renewed.
        let extra = std::fs::read_to_string(path).unwrap_or_default();
        roots.add_parsable_certificates(certificates(&extra).unwrap_or_default());
    }
    // The provider is named here, not installed for the process: another addon may have installed its own.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| failed("no TLS version to offer").with_source(e))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn failed(message: impl Into<Cow<'static, str>>) -> StoreError {
    StoreError::new(ErrorKind::Tls, message)
}

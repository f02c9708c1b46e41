//! The reason of a failed TLS handshake and a hint, in one sentence.

use std::error::Error;
use std::io;

use rustls::{AlertDescription as Alert, CertificateError as Certificate, Error as Tls};

use super::failed;
use crate::store::{ErrorKind, StoreError};

/// The error of a failed handshake. `extra`: why the file with additional authorities gave none, if so.
pub(super) fn handshake(error: io::Error, extra: Option<&str>) -> StoreError {
    if let Some(refused) = refusal(&error) {
        return match (extra, tls(&error)) {
            // It matters only if an authority is missing.
            (Some(extra), Some(Tls::InvalidCertificate(certificate)))
                if is_unknown_issuer(certificate) =>
            {
                failed(format!("{refused}; {extra}")).with_source(error)
            }
            _ => refused,
        };
    }
    // The failure was not one of TLS: the network or the server ended the connection.
    let kind = match error.kind() {
        io::ErrorKind::TimedOut => ErrorKind::Timeout,
        _ => ErrorKind::Disconnected,
    };
    let message = "the server closed the connection during the TLS handshake: it has no connection left, is just \
                   ending, or does not speak TLS on this port";
    StoreError::new(kind, message).with_source(error)
}

/// The TLS error that caused `error`, with a hint.
pub(crate) fn refusal(error: &(dyn Error + 'static)) -> Option<StoreError> {
    let tls = tls(error.downcast_ref::<io::Error>()?)?;
    // The text of a TLS error quotes nothing secret.
    let message = format!("TLS handshake failed: {tls}; {}", hint(tls));
    Some(failed(message).with_source(tls.clone()))
}

fn tls(error: &io::Error) -> Option<&Tls> {
    error.get_ref()?.downcast_ref::<Tls>()
}

fn is_unknown_issuer(error: &Certificate) -> bool {
    matches!(
        error,
        Certificate::UnknownIssuer | Certificate::BadSignature
    )
}

fn hint(error: &Tls) -> &'static str {
    match error {
        Tls::InvalidCertificate(certificate) => certificate_hint(certificate),
        Tls::InvalidMessage(_) => {
            "the server does not speak TLS on this port: turn its encryption on, or use redis:// and no tls"
        }
        // In TLS 1.2 the server gives no other reason for a missing certificate.
        Tls::AlertReceived(Alert::CertificateRequired | Alert::HandshakeFailure) => {
            "the server wants a certificate of its clients (tls-auth-clients no turns that off), or has no cipher suite \
             in common with this one"
        }
        Tls::AlertReceived(Alert::ProtocolVersion) | Tls::PeerIncompatible(_) => {
            "the server must offer TLS 1.2 or 1.3, and a usual cipher suite"
        }
        Tls::AlertReceived(Alert::UnrecognisedName) => {
            "the server knows no such name: use its own as the host, or set tls.servername to it"
        }
        _ => "look at the server's TLS settings and its log",
    }
}

fn certificate_hint(error: &Certificate) -> &'static str {
    match error {
        Certificate::Expired | Certificate::ExpiredContext { .. } => {
            "renew it on the server, or set the clock of this machine"
        }
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
            "wait until it is valid, or set the clock of this machine"
        }
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
            "use the name that it was issued for as the host, or set tls.servername to it"
        }
        // BadSignature: an authority with a new key under its old name has signed the certificate.
        Certificate::UnknownIssuer | Certificate::BadSignature => {
            "give the authority that signed it in tls.ca or NODE_EXTRA_CA_CERTS, if that is to be trusted"
        }
        Certificate::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "the server shows the certificate of an authority itself (CA:TRUE), as openssl req -x509 makes it; trusting it is not \
             enough: issue one for the server, signed by that authority or with CA:FALSE"
        }
        _ => "have a certificate issued anew for the server",
    }
}

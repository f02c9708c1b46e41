//! What a handshake failed for, and the mend, in one sentence.

use std::error::Error;
use std::io;

use rustls::{AlertDescription as Alert, CertificateError as Certificate, Error as Tls};

use super::failed;
use crate::store::{ErrorKind, StoreError};

/// Why there was no handshake.
pub(super) fn handshake(error: io::Error) -> StoreError {
    if let Some(refused) = refusal(&error) {
        return refused;
    }
    // No word of TLS was said: what ended it was the network or the server.
    let kind = match error.kind() {
        io::ErrorKind::TimedOut => ErrorKind::Timeout,
        _ => ErrorKind::Disconnected,
    };
    let message = "the server closed the connection during the TLS handshake: it has no connection left, is just \
                   ending, or does not speak TLS on this port";
    StoreError::new(kind, message).with_source(error)
}

/// The error of TLS that an error of the connection comes from, with its mend.
pub(in crate::store::redis) fn refusal(error: &(dyn Error + 'static)) -> Option<StoreError> {
    let io = error.downcast_ref::<io::Error>()?;
    let tls = io.get_ref()?.downcast_ref::<Tls>()?;
    // It says what is wrong with a certificate and quotes nothing secret.
    let message = format!("TLS handshake failed: {tls}; {}", mend(tls));
    Some(failed(message).with_source(tls.clone()))
}

fn mend(error: &Tls) -> &'static str {
    match error {
        Tls::InvalidCertificate(certificate) => of_certificate(certificate),
        Tls::InvalidMessage(_) => {
            "the server does not speak TLS on this port: turn its encryption on, or use redis:// and no tls"
        }
        // In TLS 1.2 the server says no more than that it failed.
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

fn of_certificate(error: &Certificate) -> &'static str {
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
        // An authority that has a new key, but its old name, signs what the old one cannot vouch for.
        Certificate::UnknownIssuer | Certificate::BadSignature => {
            "give the authority that signed it in tls.ca or NODE_EXTRA_CA_CERTS, if that is to be trusted"
        }
        Certificate::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "an authority's own certificate is none of a server: issue one for the server"
        }
        _ => "have a certificate issued anew for the server",
    }
}

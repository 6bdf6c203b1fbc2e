//! What went wrong, in words.

use std::io;

use rustls::{CertificateError, Error, InvalidMessage, PeerIncompatible};
use towline_middleware::stats::CloseReason;

use super::{by_name, clients};

/// Why a handshake failed: what the close is counted as, and what the log says.
pub(crate) fn of_handshake(error: &io::Error) -> (CloseReason, String) {
    let Some(tls) = tls_error(error) else {
        let detail = match error.kind() {
            io::ErrorKind::UnexpectedEof => "the client ended the TLS handshake".to_owned(),
            _ => format!("TLS handshake: {error}"),
        };
        return (CloseReason::PeerReset, detail);
    };
    (CloseReason::TlsError, words(tls))
}

/// The error of TLS in an error of the stream.
pub(crate) fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// Control characters are escaped: names come from the client.
pub(crate) fn words(error: &Error) -> String {
    let client = || {
        let name = clients::take_refused();
        name.map_or_else(String::new, |name| format!(": \"{}\"", name.escape_debug()))
    };
    match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "no TLS: the client sent something else".to_owned()
        }
        Error::PeerIncompatible(
            PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => "no version of TLS in common".to_owned(),
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon) => {
            "no cipher suite in common".to_owned()
        }
        Error::NoCertificatesPresented => "the client has no certificate".to_owned(),
        Error::InvalidCertificate(why) => {
            let why = match why {
                CertificateError::Revoked => "revoked",
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired",
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    "not valid yet"
                }
                CertificateError::UnknownIssuer => "of an unknown authority",
                CertificateError::ApplicationVerificationFailure => "not in tls.client_allow",
                other => return format!("client certificate refused ({other}){}", client()),
            };
            format!("client certificate {why}{}", client())
        }
        Error::AlertReceived(alert) => format!("the client sent the alert {alert:?}"),
        Error::General(_) if let Some(name) = by_name::take_unknown() => {
            format!("no certificate for the name \"{}\"", name.escape_debug())
        }
        other => format!("TLS: {}", other.to_string().escape_debug()),
    }
}

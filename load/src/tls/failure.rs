//! What a handshake or a session failed of, in words that are counted and shown.

use rustls::{AlertDescription, CertificateError, Error};

/// Describes an error of rustls. Errors of one cause have one text, so that they can be counted.
pub(crate) fn describe(error: &Error) -> String {
    match error {
        Error::AlertReceived(alert) => format!("the server sent the alert {}", words(*alert)),
        Error::InvalidCertificate(error) => certificate(error),
        Error::InvalidMessage(_) => "the server's answer is not TLS".to_owned(),
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            "the server's answer is TLS, but none of a server".to_owned()
        }
        Error::PeerIncompatible(what) => format!("nothing in common with the server: {what:?}"),
        Error::PeerMisbehaved(what) => format!("the server broke the protocol: {what:?}"),
        other => other.to_string(),
    }
}

fn certificate(error: &CertificateError) -> String {
    let what = match error {
        CertificateError::UnknownIssuer => "is of another authority than those of --tls-ca",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            return "the server's certificate is not for the name that was asked for: \
                    --tls-name gives another"
                .to_owned();
        }
        other => return format!("the server's certificate was not accepted: {other}"),
    };
    format!("the server's certificate {what}")
}

/// The name of an alert, such as `certificate unknown`.
fn words(alert: AlertDescription) -> String {
    let (mut text, mut before) = (String::new(), 'A');
    for letter in format!("{alert:?}").chars() {
        if letter.is_ascii_uppercase() && before.is_ascii_lowercase() {
            text.push(' ');
        }
        text.push(letter.to_ascii_lowercase());
        before = letter;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_named_in_words() {
        for (alert, text) in [
            (AlertDescription::CertificateUnknown, "certificate unknown"),
            (AlertDescription::ProtocolVersion, "protocol version"),
            (AlertDescription::UnknownCA, "unknown ca"),
        ] {
            let expected = format!("the server sent the alert {text}");
            assert_eq!(describe(&Error::AlertReceived(alert)), expected);
        }
    }
}

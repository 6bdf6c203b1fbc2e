//! Metrics of TLS.

use towline_middleware::stats::COARSE;

use super::family::{Values, gauge, histogram};
use crate::counts::{Counters, HandshakeResult, TlsStatus};

/// Adds the metrics of TLS.
pub(super) fn add_families(
    status: &TlsStatus,
    counted: &Counters,
    add: &mut impl FnMut(&'static str, &'static str, Values),
) {
    let results = HandshakeResult::ALL.map(|result| {
        let [label, resumed] = result.labels();
        let labels = vec![("result", label.to_owned()), ("resumed", resumed.to_owned())];
        (labels, counted.handshakes[result as usize])
    });
    add(
        "towline_tls_handshakes_total",
        "TLS handshakes, by result and by whether an earlier session was resumed. failed: also those that the \
         client ended.",
        Values::Counter(results.into()),
    );
    add(
        "towline_tls_handshake_duration_seconds",
        "Time from the beginning of a TLS handshake to its end, the waits for the client included. Of those that \
         did not fail.",
        histogram(&COARSE, &counted.handshake_duration),
    );
    let expiries = status.expiries.iter().enumerate();
    let expiries =
        expiries.map(|(index, at)| (vec![("certificate", index.to_string())], *at as f64));
    add(
        "towline_tls_certificate_expiry_timestamp_seconds",
        "When a certificate expires, in seconds since 1970, by its place in tls.cert.",
        Values::Gauge(expiries.collect()),
    );
    let reloads = ["ok", "error"].into_iter().zip(status.reloads);
    let reloads = reloads.map(|(result, count)| (vec![("result", result.to_owned())], count));
    add(
        "towline_tls_reloads_total",
        "Times that changed certificates, keys or authorities were taken over (ok), or were wrong and left those of \
         before in force (error).",
        Values::Counter(reloads.collect()),
    );
    add(
        "towline_tls_last_reload_successful",
        "1 if the certificates in force are those of the files, 0 if the files are wrong and those of before are \
         still in force.",
        gauge(f64::from(u8::from(status.last_reload_ok))),
    );
}

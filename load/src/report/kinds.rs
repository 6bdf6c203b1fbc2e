//! Counters as maps of the kinds that occurred.

use std::collections::BTreeMap;

use crate::counters::Counters;

/// Failed connects by kind.
pub(super) fn connect_errors(total: &Counters) -> BTreeMap<String, u64> {
    occurred(&[
        ("refused", total.refused),
        ("timeout", total.connect_timeout),
        ("no_port", total.no_port),
        ("no_address", total.no_address),
        ("no_descriptor", total.no_descriptor),
        ("not_subscribed", total.not_subscribed),
        ("tls_handshake", total.tls_handshake),
        ("tls_timeout", total.tls_timeout),
        ("other", total.connect_other),
    ])
}

/// `ERR …` lines by kind.
pub(super) fn error_lines(total: &Counters) -> BTreeMap<String, u64> {
    occurred(&[
        ("timeout", total.err_timeout),
        ("overloaded", total.err_overloaded),
        ("line_too_long", total.err_line_too_long),
        ("too_many_connections", total.err_too_many_connections),
        ("other", total.err_other),
    ])
}

fn occurred(kinds: &[(&str, u64)]) -> BTreeMap<String, u64> {
    kinds.iter().filter(|(_, n)| *n > 0).map(|(name, n)| ((*name).to_owned(), *n)).collect()
}

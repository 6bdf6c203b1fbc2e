//! Validates settings as a whole: those that contradict each other.

use crate::{
    edge::ProxyMode,
    effective::Effective,
    error::{Error, quoted},
    key::Key,
    listener::Listen,
    settings::Settings,
};

/// Records what cannot be served as configured.
pub(crate) fn settings(effective: &Effective, errors: &mut Vec<Error>) {
    if errors.is_empty() {
        for contradiction in contradictions(&effective.settings) {
            errors.push(contradiction.error(effective));
        }
    }
}

/// A key whose value contradicts another, and how.
struct Contradiction {
    key: &'static str,
    why: &'static str,
}

impl Contradiction {
    fn error(&self, effective: &Effective) -> Error {
        let key = Key::find(self.key);
        Error::Conflict {
            key: self.key,
            value: key.map_or_else(String::new, |key| {
                quoted(&key.value(&effective.settings).to_string())
            }),
            origin: key.map_or_else(String::new, |key| effective.origin(key)),
            conflict: self.why.to_owned(),
        }
    }
}

/// Least number of the longest lines for which `limits.buffer_bytes` has room.
const LINES_PER_BUFFER: usize = 4;

fn contradictions(settings: &Settings) -> Vec<Contradiction> {
    let tls = &settings.tls;
    let listens_on = |address: Listen| {
        settings.server.listen.iter().any(|listener| listener.address.overlaps(&address))
    };
    let same_address = settings.server.admin.is_some_and(|admin| listens_on(Listen::Tcp(admin)));
    let same_socket =
        settings.admin.socket.clone().is_some_and(|path| listens_on(Listen::Unix(path)));
    let optional_proxy =
        (0..settings.server.listen.len()).any(|at| settings.proxy_mode(at) == ProxyMode::Optional);
    let timeouts = &settings.timeouts;
    let delays =
        timeouts.drain_delay.unwrap_or_default() + timeouts.drain_spread.unwrap_or_default();
    let line_share = settings.limits.buffer_bytes.map(|bytes| bytes / LINES_PER_BUFFER);
    let rules = [
        (
            line_share.is_some_and(|share| settings.limits.line_bytes > share),
            "limits.line_bytes",
            "is more than a quarter of limits.buffer_bytes, and one line would leave no memory for \
             others: expected a shorter line, or a larger limits.buffer_bytes",
        ),
        (
            delays >= timeouts.drain,
            "timeouts.drain",
            "leaves no time to finish: expected more than timeouts.drain_delay and \
             timeouts.drain_spread together",
        ),
        (
            settings.server.listen.is_empty(),
            "server.listen",
            "has no address: expected at least one",
        ),
        (
            any_two(&settings.server.listen, |one, other| one.address.overlaps(&other.address)),
            "server.listen",
            "has two addresses that overlap: expected each once, and no other of its port beside 0.0.0.0 or [::]",
        ),
        (
            any_two(&settings.server.listen, |one, other| {
                one.label() == other.label() && one.name.is_some()
            }),
            "server.listen",
            "has two listeners of one name: expected a name of its own for each",
        ),
        (
            same_address,
            "server.admin",
            "is also server.listen: give the admin port an address of its own, or off",
        ),
        (
            same_socket,
            "admin.socket",
            "is also the path of server.listen: give the admin socket a path of its own",
        ),
        (
            optional_proxy && settings.proxy_protocol.trusted.is_none(),
            "proxy_protocol.trusted",
            "leaves open whose PROXY headers are believed where they are optional: expected the networks of \
             the load balancers",
        ),
        (
            !tls.key.is_empty() && tls.cert.is_empty(),
            "tls.key",
            "has no certificate beside it: set tls.cert too",
        ),
        (
            !tls.cert.is_empty() && tls.key.is_empty(),
            "tls.cert",
            "has no private key beside it: set tls.key too",
        ),
        (
            !tls.key.is_empty() && !tls.cert.is_empty() && tls.key.len() != tls.cert.len(),
            "tls.key",
            "has another number of files than tls.cert: expected the key of each certificate, in the same order",
        ),
        (
            tls.client_ca.is_some() && tls.cert.is_empty(),
            "tls.client_ca",
            "has no certificate beside it: set tls.cert and tls.key too",
        ),
        (
            tls.client_crl.is_some() && tls.client_ca.is_none(),
            "tls.client_crl",
            "has no authorities beside it: set tls.client_ca too",
        ),
        (
            !tls.client_allow.is_empty() && tls.client_ca.is_none(),
            "tls.client_allow",
            "has no authorities beside it, and any client can claim a name: set tls.client_ca too",
        ),
    ];
    rules
        .into_iter()
        .filter(|(broken, ..)| *broken)
        .map(|(_, key, why)| Contradiction { key, why })
        .collect()
}

/// Whether any two of `items` are as `alike` says.
fn any_two<T>(items: &[T], alike: impl Fn(&T, &T) -> bool) -> bool {
    items.iter().enumerate().any(|(at, one)| items[..at].iter().any(|other| alike(one, other)))
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, time::Duration};

    use super::*;

    fn keys_at_fault(change: impl FnOnce(&mut Settings)) -> Vec<&'static str> {
        let mut settings = Settings::default();
        change(&mut settings);
        contradictions(&settings).iter().map(|contradiction| contradiction.key).collect()
    }

    #[test]
    fn the_defaults_do_not_contradict_each_other() {
        assert!(keys_at_fault(|_settings| ()).is_empty());
    }

    #[test]
    fn a_drain_is_longer_than_its_delays() {
        let drain = |delay, spread| {
            keys_at_fault(|settings| {
                settings.timeouts.drain = Duration::from_secs(30);
                settings.timeouts.drain_delay = delay;
                settings.timeouts.drain_spread = spread;
            })
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert!(drain(None, None).is_empty());
        assert!(drain(seconds(10), seconds(19)).is_empty());
        assert_eq!(drain(seconds(10), seconds(20)), ["timeouts.drain"]);
        assert_eq!(drain(seconds(40), None), ["timeouts.drain"]);
    }

    /// With lines of 1 GiB and memory of 64 MiB for all buffers, one client made the server hold 25 times
    /// that memory.
    #[test]
    fn one_line_takes_a_quarter_of_the_memory_for_buffers_at_most() {
        let limits = |line_bytes, buffer_bytes| {
            keys_at_fault(|settings| {
                settings.limits.line_bytes = line_bytes;
                settings.limits.buffer_bytes = buffer_bytes;
            })
        };
        assert!(limits(1000, Some(4000)).is_empty());
        assert_eq!(limits(1001, Some(4000)), ["limits.line_bytes"]);
        assert!(limits(usize::MAX, None).is_empty(), "auto is not known before the start");
    }

    #[test]
    fn the_admin_socket_is_not_that_of_lines() {
        let path = || PathBuf::from("/run/towline.sock");
        let sockets = |settings: &mut Settings| {
            settings.server.listen = vec![Listen::Unix(path()).into()];
            settings.admin.socket = Some(path());
        };
        assert_eq!(keys_at_fault(sockets), ["admin.socket"]);
    }

    #[test]
    fn parts_of_tls_need_each_other() {
        let file = || Some(PathBuf::from("file.pem"));
        let files = |count| vec![PathBuf::from("file.pem"); count];
        assert_eq!(keys_at_fault(|settings| settings.tls.key = files(1)), ["tls.key"]);
        assert_eq!(keys_at_fault(|settings| settings.tls.cert = files(1)), ["tls.cert"]);
        assert_eq!(keys_at_fault(|settings| settings.tls.client_ca = file()), ["tls.client_ca"]);
        assert_eq!(keys_at_fault(|settings| settings.tls.client_crl = file()), ["tls.client_crl"]);
        let names = || vec!["a".to_owned()];
        assert_eq!(
            keys_at_fault(|settings| settings.tls.client_allow = names()),
            ["tls.client_allow"]
        );
        let with_keys = |count| {
            keys_at_fault(|settings| {
                settings.tls.key = files(count);
                settings.tls.cert = files(2);
                settings.tls.client_ca = file();
                settings.tls.client_crl = file();
                settings.tls.client_allow = names();
            })
        };
        assert!(with_keys(2).is_empty());
        assert_eq!(with_keys(1), ["tls.key"]);
    }
}

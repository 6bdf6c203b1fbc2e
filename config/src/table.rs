//! The one table of keys. Files, environment, flags, `towline config`, the reference file and the help
//! texts all derive from it: a key added here is known everywhere.
//!
//! A key's name is the path of its field in [`crate::Settings`], so the two cannot differ. The keys are in the files of
//! `table/`, by their sections.

mod edge;
mod limits;
mod serving;
mod times;

use std::{sync::LazyLock, time::Duration};

use crate::{
    grammar::{Count, Or, Size, Time, Words},
    key::Key,
};

/// The key whose name is the path of a field.
macro_rules! key {
    ($section:ident . $field:ident, $grammar:expr, $doc:expr $(,)?) => {
        Key::new(
            concat!(stringify!($section), ".", stringify!($field)),
            &Field {
                get: |settings: &Settings| &settings.$section.$field,
                get_mut: |settings: &mut Settings| &mut settings.$section.$field,
                grammar: $grammar,
            },
            $doc,
        )
    };
}
use key;

impl Key {
    /// All keys, in the order of the reference file.
    pub fn all() -> &'static [Self] {
        static ALL: LazyLock<Vec<Key>> =
            LazyLock::new(|| [serving::KEYS, limits::KEYS, times::KEYS, edge::KEYS].concat());
        &ALL
    }

    /// The key with this dotted name.
    pub fn find(name: &str) -> Option<&'static Self> {
        Self::all().iter().find(|key| key.name == name)
    }
}

/// The TOML tables, with what they are about.
#[cfg(feature = "file")]
pub(crate) const SECTIONS: &[(&str, &str)] = &[
    ("server", "Addresses, threads and processes."),
    ("admin", "Commands to the running server: `towline ctl`."),
    ("workload", "The service that answers lines."),
    ("flush", "When replies are written."),
    ("limits", "How much the server takes on, and what happens at each limit."),
    ("push", "Messages that a program sends unasked: the workloads of `towline` send none."),
    ("timeouts", "Timeouts, which start again on activity, and deadlines, which do not."),
    ("heartbeat", "How the server tells a quiet client from a dead one."),
    ("socket", "Options of accepted sockets."),
    ("tls", "TLS on the line port."),
    ("proxy_protocol", "The client's address behind a load balancer."),
    ("log", "The log, on standard error."),
];

const GIB: u64 = 1 << 30;
/// listen(2), setsockopt(2) and friends take a C int.
const C_INT: u32 = i32::MAX.cast_unsigned();
const COUNT: Count = Count { min: 1, max: u32::MAX };
const SIZE: Size = Size { min: 1, max: GIB };
/// A smaller budget would be exceeded by a few full blocks.
const BUDGET: Size = Size { min: 1 << 20, max: 1024 * GIB };
/// Up to a year: every clock can add that without overflow.
const TIME: Time = milliseconds_up_to(Duration::from_secs(8760 * 3600));
/// Ages are looked at once a second.
const AGE: Time = Time { step: Duration::from_secs(1), unit: "seconds", ..TIME };
/// TCP_USER_TIMEOUT is a C int of milliseconds.
const USER_TIMEOUT: Time = milliseconds_up_to(Duration::from_secs(24 * 86_400));
/// TCP_KEEPIDLE is counted in seconds, in 15 bits.
const KEEPALIVE: Time =
    Time { max: Duration::from_secs(32_767), step: Duration::from_secs(1), unit: "seconds" };
const BOOL: Words<bool> = Words(&[("true", true), ("false", false)]);
/// A boolean with a flag, which takes `on` and `off` as well.
const SWITCH: Words<bool> =
    Words(&[("true", true), ("false", false), ("on", true), ("off", false)]);

const fn milliseconds_up_to(max: Duration) -> Time {
    Time { max, step: Duration::from_millis(1), unit: "milliseconds" }
}

const fn off<G>(inner: G) -> Or<G> {
    Or { word: "off", inner }
}

const fn auto<G>(inner: G) -> Or<G> {
    Or { word: "auto", inner }
}

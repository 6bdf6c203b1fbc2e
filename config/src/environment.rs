//! The environment as a layer: `TOWLINE_` and the key with `.` as `__`, in capitals.

use std::{collections::BTreeMap, ffi::OsString, fmt};

use crate::{
    error::{Error, ValueError, shown},
    key::Key,
    loader::Loader,
    suggest::nearest_key,
};

/// The variable from which the systemd unit takes the flags of `towline serve`.
const UNIT_FLAGS: &str = "TOWLINE_FLAGS";

/// What a `TOWLINE_` variable says.
enum Meaning {
    /// Sets this key.
    Setting(&'static Key),
    /// Names no key but has the form of one, or is a key's name with `_` for `__`. The key is the
    /// nearest one.
    Mistake(&'static Key),
    /// Made by Kubernetes for a service whose name begins with `towline`, or by the systemd unit.
    NotASetting,
    /// Names no key and has not the form of one.
    Unknown,
}

impl Meaning {
    fn of(name: &str, value: &str) -> Self {
        let bare = |name: &str| name.replace('_', "");
        let keys = Key::all();
        if let Some(key) = keys.iter().find(|key| key.variable() == name) {
            Self::Setting(key)
        } else if let Some(key) = keys.iter().find(|key| bare(&key.variable()) == bare(name)) {
            Self::Mistake(key)
        } else if name.contains("__") {
            Self::Mistake(nearest_key(&without_prefix(name).replace("__", ".")))
        } else if name == UNIT_FLAGS || is_service_link(name, value) {
            Self::NotASetting
        } else {
            Self::Unknown
        }
    }
}

/// Sets what `variables`, all of which begin with `TOWLINE_`, name.
pub(crate) fn read(variables: &BTreeMap<String, OsString>, loader: &mut Loader) {
    for (name, value) in variables {
        let text = value.to_string_lossy();
        match Meaning::of(name, &text) {
            Meaning::Setting(key) => {
                let origin = format!("environment {name}");
                match value.to_str() {
                    Some(text) => loader.set(key, text, origin),
                    None => loader.reject(key, &text, origin, ValueError::new("is not UTF-8")),
                }
            }
            Meaning::Mistake(key) => loader
                .errors
                .push(Error::UnknownVariable { name: shown(name), nearest: key.variable() }),
            Meaning::NotASetting | Meaning::Unknown => {}
        }
    }
}

/// A `TOWLINE_` variable that is neither a setting nor an error. `Display` is one sentence.
///
/// Compose files and deployment scripts have variables of their own with this prefix, so such a
/// variable stops no server. It deserves a warning, because it may be a setting misspelt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IgnoredVariable {
    /// As found, with control characters escaped.
    pub name: String,
    /// The variable or flag that sets what the name resembles, if it resembles anything.
    pub instead: Option<String>,
}

impl IgnoredVariable {
    /// The variables among `variables` that may be misspelt settings.
    pub(crate) fn among(variables: &BTreeMap<String, OsString>) -> Vec<Self> {
        let ignored = variables.iter().filter(|(name, value)| {
            matches!(Meaning::of(name, &value.to_string_lossy()), Meaning::Unknown)
        });
        ignored.map(|(name, _)| Self { name: shown(name), instead: instead(name) }).collect()
    }
}

impl fmt::Display for IgnoredVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown environment variable {} is ignored: ", self.name)?;
        match &self.instead {
            Some(instead) => write!(f, "did you mean {instead}?"),
            None => f.write_str("no setting has a name like it"),
        }
    }
}

fn instead(name: &str) -> Option<String> {
    let bare = without_prefix(name);
    // The two sources that have a flag only.
    if let "CONFIG" | "PROFILE" = bare {
        return Some(format!("the flag --{}", bare.to_lowercase()));
    }
    Key::like(bare).map(Key::variable)
}

fn without_prefix(name: &str) -> &str {
    name.strip_prefix(Key::VARIABLE_PREFIX).unwrap_or(name)
}

/// Whether Kubernetes made this variable. For a service `NAME` it sets, in every container of the
/// namespace, `NAME_SERVICE_HOST`, `NAME_SERVICE_PORT` and `NAME_SERVICE_PORT_…`, and in the older
/// form of Docker links `NAME_PORT`, `NAME_PORT_9000_TCP` and `NAME_PORT_9000_TCP_…`.
fn is_service_link(name: &str, value: &str) -> bool {
    // With the prefix's own underscore, so that a service `towline` matches as `towline-x` does.
    let rest = name.strip_prefix(Key::VARIABLE_PREFIX.trim_end_matches('_')).unwrap_or(name);
    if rest.ends_with("_SERVICE_HOST")
        || rest.ends_with("_SERVICE_PORT")
        || rest.contains("_SERVICE_PORT_")
    {
        return true;
    }
    // `TOWLINE_PORT=9000` is a person's, `TOWLINE_PORT=tcp://10.0.0.7:9000` is Kubernetes'.
    if rest.ends_with("_PORT") && value.contains("://") {
        return true;
    }
    rest.rsplit_once("_PORT_").is_some_and(|(_, port)| is_port_and_protocol(port))
}

/// `9000_TCP`, `9000_TCP_ADDR`, `9000_TCP_PORT` or `9000_TCP_PROTO`.
fn is_port_and_protocol(text: &str) -> bool {
    let mut parts = text.split('_');
    let port = parts.next().is_some_and(|port| port.parse::<u16>().is_ok());
    let protocol = parts.next().is_some_and(|it| ["TCP", "UDP", "SCTP"].contains(&it));
    let detail = parts.next().is_none_or(|it| ["PROTO", "PORT", "ADDR"].contains(&it));
    port && protocol && detail && parts.next().is_none()
}

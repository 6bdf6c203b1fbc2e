//! What to do about a row, in the words of the place where it has to be done.

use super::{Facts, Place, Row, Scope};

/// What would put a row right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fix {
    /// Set a kernel knob.
    Sysctl {
        /// Its name.
        key: &'static str,
        /// What to set it to.
        value: String,
        /// Where it is set.
        scope: Scope,
    },
    /// Allow so many descriptors a process; with more processes, fewer would do.
    Descriptors {
        /// The limit to set.
        limit: u64,
        /// Processes that do with the limit as it is; 0 when none would.
        processes: u64,
    },
    /// Allow the control group so many bytes of memory.
    Memory(u64),
    /// Allow the control group so many threads.
    Tasks(u64),
    /// Change a setting of towline.
    Setting {
        /// The key, as in a configuration file.
        key: &'static str,
        /// Its value there.
        value: String,
    },
    /// Something that no file says.
    Words(String),
}

impl Fix {
    /// What to type or to write where this runs.
    pub fn here(&self, facts: &Facts) -> String {
        let place = facts.place;
        match self {
            Self::Sysctl { key, value, scope } => sysctl(key, value, *scope, facts),
            Self::Descriptors { limit, processes } => {
                let raise = match place {
                    Place::Bare => format!("ulimit -n {limit}, in the shell that starts it"),
                    Place::Systemd => format!("LimitNOFILE={limit} in the unit"),
                    Place::Container => {
                        format!("--ulimit nofile={limit} when the container starts")
                    }
                    Place::Kubernetes => {
                        format!("LimitNOFILE={limit} for the node's container runtime")
                    }
                };
                match processes {
                    0 => raise,
                    _ => format!("--processes {processes}, or {raise}"),
                }
            }
            Self::Memory(bytes) => match place {
                Place::Bare => format!("a memory limit of at least {bytes} bytes for the group"),
                Place::Systemd => format!("MemoryMax={bytes} in the unit"),
                Place::Container => format!("--memory {bytes} when the container starts"),
                Place::Kubernetes => format!("resources.limits.memory: \"{bytes}\""),
            },
            Self::Tasks(count) => match place {
                Place::Bare => format!("pids.max of at least {count} for the group"),
                Place::Systemd => format!("TasksMax={count} in the unit"),
                Place::Container => format!("--pids-limit {count} when the container starts"),
                Place::Kubernetes => {
                    format!("podPidsLimit: {count} in the kubelet's configuration")
                }
            },
            Self::Setting { key, value } => format!("{}={value}", variable(key)),
            Self::Words(words) => words.clone(),
        }
    }
}

impl Row {
    /// What to type or to write where this runs; `None` when there is nothing to do.
    pub fn fix_here(&self, facts: &Facts) -> Option<String> {
        self.fix.as_ref().map(|fix| fix.here(facts))
    }
}

fn sysctl(key: &str, value: &str, scope: Scope, facts: &Facts) -> String {
    let set = if value.contains(' ') {
        format!("sysctl -w {key}=\"{value}\"")
    } else {
        format!("sysctl -w {key}={value}")
    };
    match (facts.place, scope) {
        // Seen and writable: set where this runs, whatever that is.
        _ if facts.sysctls.settable(key) => set,
        (Place::Container, Scope::Namespace) => {
            format!("--sysctl {}", set.trim_start_matches("sysctl -w "))
        }
        (Place::Kubernetes, Scope::Namespace) => {
            format!("securityContext.sysctls: {{name: {key}, value: \"{value}\"}}")
        }
        _ => format!("on the host: {set}"),
    }
}

/// The environment variable of a setting.
pub(super) fn variable(key: &str) -> String {
    format!("TOWLINE_{}", key.to_uppercase().replace('.', "__"))
}

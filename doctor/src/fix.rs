//! The change that would make a row right, in the syntax of the environment where it is made.

use super::{Environment, Facts, Row, Scope};

/// The change that would make a row right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fix {
    /// Set a kernel parameter.
    Sysctl {
        /// Its name.
        key: &'static str,
        /// Its new value.
        value: String,
        /// Where it applies.
        scope: Scope,
    },
    /// Raise the descriptor limit of a process, or spread connections over more processes.
    Descriptors {
        /// The limit to set.
        limit: u64,
        /// Processes that suffice with the limit as it is; 0 when no number does.
        processes: u64,
    },
    /// Raise the memory limit of the control group to this many bytes.
    Memory(u64),
    /// Raise the thread limit of the control group to this many.
    Tasks(u64),
    /// Change a setting of towline.
    Setting {
        /// The key, as in a configuration file.
        key: &'static str,
        /// Its value there.
        value: String,
    },
    /// Advice that no configuration file can express.
    Words(String),
}

impl Fix {
    /// The command or configuration line for the environment of this process.
    pub fn here(&self, facts: &Facts) -> String {
        let environment = facts.environment;
        match self {
            Self::Sysctl { key, value, scope } => sysctl(key, value, *scope, facts),
            Self::Descriptors { limit, processes } => {
                let raise = match environment {
                    Environment::Bare => format!("ulimit -n {limit}, in the shell that starts it"),
                    Environment::Systemd => format!("LimitNOFILE={limit} in the unit"),
                    Environment::Container => {
                        format!("--ulimit nofile={limit} when the container starts")
                    }
                    Environment::Kubernetes => {
                        format!("LimitNOFILE={limit} for the node's container runtime")
                    }
                };
                match processes {
                    0 => raise,
                    _ => format!("--processes {processes}, or {raise}"),
                }
            }
            Self::Memory(bytes) => match environment {
                Environment::Bare => {
                    format!("a memory limit of at least {bytes} bytes for the group")
                }
                Environment::Systemd => format!("MemoryMax={bytes} in the unit"),
                Environment::Container => format!("--memory {bytes} when the container starts"),
                Environment::Kubernetes => format!("resources.limits.memory: \"{bytes}\""),
            },
            Self::Tasks(count) => match environment {
                Environment::Bare => format!("pids.max of at least {count} for the group"),
                Environment::Systemd => format!("TasksMax={count} in the unit"),
                Environment::Container => format!("--pids-limit {count} when the container starts"),
                Environment::Kubernetes => {
                    format!("podPidsLimit: {count} in the kubelet's configuration")
                }
            },
            Self::Setting { key, value } => format!("{}={value}", variable(key)),
            Self::Words(words) => words.clone(),
        }
    }
}

impl Row {
    /// The command or configuration line for this row's fix; `None` when nothing needs to change.
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
    match (facts.environment, scope) {
        // Visible and writable here: set it here, whatever the environment is.
        _ if facts.sysctls.settable(key) => set,
        (Environment::Container, Scope::Namespace) => {
            format!("--sysctl {}", set.trim_start_matches("sysctl -w "))
        }
        (Environment::Kubernetes, Scope::Namespace) => {
            format!("securityContext.sysctls: {{name: {key}, value: \"{value}\"}}")
        }
        _ => format!("on the host: {set}"),
    }
}

/// The environment variable of a configuration key.
pub(super) fn variable(key: &str) -> String {
    format!("TOWLINE_{}", key.to_uppercase().replace('.', "__"))
}

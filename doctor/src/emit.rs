//! The fixes as a fragment of a configuration file.

use std::fmt::Write as _;

use super::{Facts, Fix, Row, Scope, Target, fix::variable, grouped};

/// The kind of file to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `/etc/sysctl.d/*.conf`
    Sysctl,
    /// A drop-in of a unit, `towline.service.d/*.conf`
    Systemd,
    /// A Compose file that is merged with the project's
    Compose,
    /// A patch of a Deployment
    Kubernetes,
}

/// Kernel parameters that a pod may set without the kubelet allowing them explicitly.
const SAFE: [&str; 7] = [
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// Writes the fixes of `rows`, each with its reason in a comment. Fixes that the form cannot express
/// are comments too, with the place where they belong.
pub fn fragment(rows: &[Row], facts: &Facts, target: &Target, form: Form) -> String {
    let mut sorted = Sorted::default();
    for row in rows {
        if let Some(fix) = &row.fix {
            sorted.take(row, fix, facts);
        }
    }
    let mut text = format!(
        "# For {} connections, {} new ones per second; side: {}. By towline doctor.\n",
        grouped(target.connections),
        grouped(target.burst),
        target.side.name()
    );
    let out = &mut text;
    match form {
        Form::Sysctl => sorted.sysctl(out),
        Form::Systemd => sorted.systemd(out),
        Form::Compose => sorted.compose(out),
        Form::Kubernetes => sorted.kubernetes(out),
    }
    if sorted.is_empty() {
        out.push_str("# Nothing to change.\n");
    }
    text
}

/// Fixes grouped by the kind of setting, each with its reason.
#[derive(Debug, Default)]
struct Sorted {
    sysctls: Vec<(String, &'static str, String, Scope)>,
    descriptors: Option<(String, u64)>,
    memory: Option<(String, u64)>,
    tasks: Option<(String, u64)>,
    settings: Vec<(String, &'static str, String)>,
    words: Vec<(String, String)>,
}

impl Sorted {
    fn take(&mut self, row: &Row, fix: &Fix, facts: &Facts) {
        let why = row.why.clone();
        match fix {
            Fix::Sysctl { key, value, scope } => {
                if self.sysctls.iter().all(|(_, known, ..)| known != key) {
                    self.sysctls.push((why, *key, value.clone(), *scope));
                }
            }
            Fix::Descriptors { limit, processes } => {
                let most = facts.sysctls.number("fs.nr_open").unwrap_or(u64::MAX);
                if *processes > 0 && *limit > most {
                    self.settings.push((why, "server.processes", processes.to_string()));
                } else {
                    self.descriptors = Some((why, *limit));
                }
            }
            Fix::Memory(limit) => self.memory = Some((why, *limit)),
            Fix::Tasks(limit) => self.tasks = Some((why, *limit)),
            Fix::Setting { key, value } => self.settings.push((why, key, value.clone())),
            Fix::Words(words) => self.words.push((why, words.clone())),
        }
    }

    fn is_empty(&self) -> bool {
        self.sysctls.is_empty()
            && self.descriptors.is_none()
            && self.memory.is_none()
            && self.tasks.is_none()
            && self.settings.is_empty()
            && self.words.is_empty()
    }

    fn sysctl(&self, out: &mut String) {
        for (why, key, value, scope) in &self.sysctls {
            comment(out, "", why);
            if *scope == Scope::Host {
                comment(out, "", "Changes the whole host, for every process on it.");
            }
            line(out, format_args!("{key} = {value}"));
        }
        if let Some((why, limit)) = &self.descriptors {
            aside(out, why, &format!("LimitNOFILE={limit} (--emit systemd)"));
        }
        self.limits_aside(out);
        self.settings_aside(out);
        self.words_aside(out);
    }

    fn systemd(&self, out: &mut String) {
        line(out, format_args!("[Service]"));
        let limits = [
            ("LimitNOFILE", &self.descriptors),
            ("MemoryMax", &self.memory),
            ("TasksMax", &self.tasks),
        ];
        for (name, limit) in limits {
            if let Some((why, limit)) = limit {
                comment(out, "", why);
                line(out, format_args!("{name}={limit}"));
            }
        }
        for (why, key, value) in &self.settings {
            comment(out, "", why);
            line(out, format_args!("Environment={}={value}", variable(key)));
        }
        self.sysctls_aside(out, |_| true);
        self.words_aside(out);
    }

    fn compose(&self, out: &mut String) {
        const FIELD: &str = "      ";
        line(out, format_args!("services:"));
        let own = self.sysctls.iter().filter(|(.., scope)| *scope == Scope::Namespace);
        let own: Vec<_> = own.collect();
        let limits = self.memory.is_some() || self.tasks.is_some();
        if own.is_empty() && self.descriptors.is_none() && self.settings.is_empty() && !limits {
            line(out, format_args!("  towline: {{}}"));
        } else {
            line(out, format_args!("  towline:"));
        }
        if !own.is_empty() {
            line(out, format_args!("    sysctls:"));
        }
        for (why, key, value, _) in own {
            comment(out, FIELD, why);
            line(out, format_args!("{FIELD}{key}: \"{value}\""));
        }
        if let Some((why, limit)) = &self.descriptors {
            line(out, format_args!("    ulimits:"));
            comment(out, FIELD, why);
            line(out, format_args!("{FIELD}nofile: {{soft: {limit}, hard: {limit}}}"));
        }
        if !self.settings.is_empty() {
            line(out, format_args!("    environment:"));
        }
        for (why, key, value) in &self.settings {
            comment(out, FIELD, why);
            line(out, format_args!("{FIELD}{}: \"{value}\"", variable(key)));
        }
        if let Some((why, limit)) = &self.memory {
            comment(out, "    ", why);
            line(out, format_args!("    mem_limit: {limit}"));
        }
        if let Some((why, limit)) = &self.tasks {
            comment(out, "    ", why);
            line(out, format_args!("    pids_limit: {limit}"));
        }
        self.sysctls_aside(out, |scope| scope != Scope::Namespace);
        self.words_aside(out);
    }

    fn kubernetes(&self, out: &mut String) {
        line(out, format_args!("spec:\n  template:\n    spec:"));
        let own = self.sysctls.iter().filter(|(.., scope)| *scope == Scope::Namespace);
        let own: Vec<_> = own.collect();
        if !own.is_empty() {
            line(out, format_args!("      securityContext:\n        sysctls:"));
        }
        for (why, key, value, _) in own {
            comment(out, "          ", why);
            if !SAFE.contains(key) {
                let allow = "Only where the kubelet has --allowed-unsafe-sysctls=";
                line(out, format_args!("          # {allow}{key}"));
            }
            line(out, format_args!("          - name: {key}\n            value: \"{value}\""));
        }
        line(out, format_args!("      containers:\n        - name: towline"));
        if !self.settings.is_empty() {
            line(out, format_args!("          env:"));
        }
        for (why, key, value) in &self.settings {
            comment(out, "            ", why);
            let name = variable(key);
            line(out, format_args!("            - name: {name}\n              value: \"{value}\""));
        }
        if let Some((why, limit)) = &self.memory {
            line(out, format_args!("          resources:\n            limits:"));
            comment(out, "              ", why);
            line(out, format_args!("              memory: \"{limit}\""));
        }
        if let Some((why, limit)) = &self.descriptors {
            let words = format!("LimitNOFILE={limit} for the container runtime of the node");
            aside(out, why, &words);
        }
        if let Some((why, limit)) = &self.tasks {
            aside(out, why, &format!("podPidsLimit: {limit} in the kubelet's configuration"));
        }
        self.sysctls_aside(out, |scope| scope != Scope::Namespace);
        self.words_aside(out);
    }

    fn sysctls_aside(&self, out: &mut String, which: impl Fn(Scope) -> bool) {
        for (why, key, value, scope) in &self.sysctls {
            if which(*scope) {
                aside(out, why, &format!("on the host: sysctl -w {key}=\"{value}\""));
            }
        }
    }

    fn settings_aside(&self, out: &mut String) {
        for (why, key, value) in &self.settings {
            aside(out, why, &format!("{}={value}", variable(key)));
        }
    }

    fn limits_aside(&self, out: &mut String) {
        for (name, limit) in [("MemoryMax", &self.memory), ("TasksMax", &self.tasks)] {
            if let Some((why, limit)) = limit {
                aside(out, why, &format!("{name}={limit} (--emit systemd)"));
            }
        }
    }

    fn words_aside(&self, out: &mut String) {
        for (why, words) in &self.words {
            aside(out, why, words);
        }
    }
}

/// Writes a fix that this form cannot express, as a comment.
fn aside(out: &mut String, why: &str, words: &str) {
    comment(out, "", why);
    line(out, format_args!("# {words}"));
}

fn comment(out: &mut String, indent: &str, why: &str) {
    line(out, format_args!("{indent}# {why}"));
}

/// Appends a line. Writing into a `String` cannot fail.
fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(format_args!("{text}\n"));
}

//! `towline config`: what a server would run with, and the source of each value.

use std::{fs, process::ExitCode};

use towline::{Settings, internal::ProcessPlan};
use towline_config::{Key, ReceiveBuffer};
use towline_host::{HostLimits, buffer_limit, raise_descriptor_limit};
use towline_units::{human, print_size};

use crate::{exit, flags::SettingFlags, help};

/// Print the effective configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = help::PRECEDENCE)]
pub(crate) struct Args {
    /// Only validate: print mistakes and warnings, and exit with 0 or 2
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    for warning in args.settings.warnings() {
        exit::warn(warning);
    }
    match args.settings.load() {
        Err(errors) => exit::with_configuration(&errors),
        Ok(_) if args.check => ExitCode::from(exit::CLEAN),
        Ok(effective) => {
            let here = Here::of(&effective.settings);
            exit::printing(&effective.to_annotated_toml(|key| here.auto(key, &effective.settings)))
        }
    }
}

/// What `auto` comes to on this host, computed as a server does at start.
struct Here {
    /// `None` if a server with these settings would not start.
    plan: Option<ProcessPlan>,
}

impl Here {
    fn of(settings: &Settings) -> Self {
        // A server raises its limit too.
        raise_descriptor_limit();
        Self { plan: ProcessPlan::of(settings, HostLimits::read()).ok() }
    }

    /// A note for `key`, if its value is an `auto` that depends on the host.
    fn auto(&self, key: &Key, settings: &Settings) -> Option<String> {
        if key.value(settings).to_string() != "auto" {
            return None;
        }
        let plan = self.plan.as_ref();
        let here = match key.name {
            "server.threads" => plan?.threads.to_string(),
            "server.processes" => plan?.processes.to_string(),
            "limits.connections" => plan?.connections.to_string(),
            "limits.buffer_bytes" => human::bytes(buffer_limit(None)),
            "socket.receive_buffer" => {
                let [small, large] = receive_buffers(receive_buffer_max()?).map(print_size);
                format!("{small} to {large}")
            }
            _ => return None,
        };
        Some(format!("{here} here"))
    }
}

/// The sizes that `socket.receive_buffer = "auto"` sets where the kernel allows at most `max`.
fn receive_buffers(max: u64) -> [u64; 2] {
    [ReceiveBuffer::SMALL_BYTES, ReceiveBuffer::LARGE_BYTES].map(|bytes| max.min(bytes.into()))
}

/// The largest receive buffer that the kernel lets a program set, net.core.rmem_max.
fn receive_buffer_max() -> Option<u64> {
    fs::read_to_string("/proc/sys/net/core/rmem_max").ok()?.trim().parse().ok()
}

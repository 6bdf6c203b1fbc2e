//! `towline health`: asks the admin port, as a container's health check does.

use std::{process::ExitCode, time::Duration};

use crate::{
    exit,
    flags::AdminFlags,
    http::{Endpoint, Request, SentRequest},
};

/// Longest wait for the connection, and again for the status.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Ask a running server whether it is healthy: exit code 0 when it is, else 1.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Ask whether it accepts connections (/readyz), not only whether it is alive (/healthz)
    #[arg(long)]
    ready: bool,
    #[command(flatten)]
    admin: AdminFlags,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let effective = match args.admin.load() {
        Ok(effective) => effective,
        Err(errors) => return exit::with_configuration(&errors),
    };
    let Some(admin) = effective.settings.server.admin else {
        return exit::with(exit::FAILED, "server.admin is off, so there is no port to ask");
    };
    let path = if args.ready { "/readyz" } else { "/healthz" };
    let sent = Request::get(path).send(&Endpoint::of_listener(admin), TIMEOUT);
    match sent.and_then(SentRequest::status) {
        Ok(200) => exit::printing(&format!("{admin} answered {path} with 200\n")),
        Ok(status) => {
            exit::with(exit::FAILED, format_args!("{admin} answered {path} with {status}"))
        }
        Err(error) => {
            exit::with(exit::FAILED, format_args!("{admin} did not answer {path}: {error}"))
        }
    }
}

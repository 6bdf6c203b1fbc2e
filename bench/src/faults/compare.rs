//! The same attacks on servers that do less: shows the machine's part of a client's wait.
//!
//! Clients, attackers and server share the cores, so every server has to wait for one. A server that
//! only echoes shows how long that takes; what towline's clients wait beyond it is due to towline.

use std::{fmt::Write as _, net::SocketAddr, path::Path, process::Command, thread, time::Duration};

use super::{
    AFTERMATH, Attacker,
    attack::{ATTACKS, Attack},
    well_behaved::ClientReport,
};
use crate::{
    Error, c_programs::CPrograms, child::Server, observed_server::ObservedServer, select::select,
};

/// Attacks on what only towline has: a limit for each address, hashing, an admin port.
const ON_TOWLINE_ALONE: [&str; 3] = ["18-one-address", "23-hash-bombs", "33-scrapes"];

/// The threads and the line limit of the towline server.
const THREADS: &str = "2";
const LINE_BYTES: &str = "65536";

/// Longest wait for a reference's start.
const START_TIMEOUT: Duration = Duration::from_secs(10);

const TABLE_HEAD: &str = "| attack | on | well-behaved clients' p50 and p99 before, ms | under attack | \
                          their lines |\n|---|---|---|---|---|\n";

/// The server that is attacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AttackedServer {
    Towline,
    BareTokio,
    C,
}

impl AttackedServer {
    const ALL: [Self; 3] = [Self::Towline, Self::BareTokio, Self::C];

    const fn name(self) -> &'static str {
        match self {
            Self::Towline => "towline",
            Self::BareTokio => "bare tokio",
            Self::C => "C on epoll",
        }
    }

    fn start(
        self,
        attack: &Attack,
        towline: &Path,
        programs: &CPrograms,
    ) -> Result<RunningServer, Error> {
        let mut command = match self {
            Self::Towline => {
                return Ok(RunningServer::Towline(ObservedServer::start(towline, attack.serve)?));
            }
            Self::BareTokio => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["peer", "for-each", "--threads", THREADS]);
                command.args(["--line-bytes", LINE_BYTES]);
                command
            }
            Self::C => {
                let mut command = Command::new(programs.path("c-limited"));
                command.arg(THREADS);
                command
            }
        };
        Ok(RunningServer::Reference(Server::start_on_all_cores(&mut command, START_TIMEOUT)?))
    }
}

/// A running server, killed when this is dropped.
enum RunningServer {
    Towline(ObservedServer),
    Reference(Server),
}

impl RunningServer {
    /// Its address, and that of its admin port; a reference has none, and no attack here needs it.
    fn addresses(&self) -> (SocketAddr, SocketAddr) {
        match self {
            Self::Towline(server) => (server.addr, server.admin),
            Self::Reference(server) => (server.addr, server.addr),
        }
    }
}

/// Carries out the attacks whose names begin with one of `only`, on each server in turn.
pub(crate) fn report(
    towline: &Path,
    only: &[String],
    time: Duration,
    repetitions: u32,
) -> Result<String, Error> {
    let programs = CPrograms::compile_all()?;
    let mut table = String::from(TABLE_HEAD);
    let attacks = select(&ATTACKS, |attack| attack.name, only)?;
    for attack in attacks.into_iter().filter(|attack| !ON_TOWLINE_ALONE.contains(&attack.name)) {
        for on in AttackedServer::ALL {
            eprintln!("{} on {}", attack.name, on.name());
            let server = on.start(attack, towline, &programs)?;
            let [before, under] = carry_out(attack, towline, &server, time, repetitions)?;
            let name = if on == AttackedServer::ALL[0] { attack.name } else { "" };
            let latency =
                |report: ClientReport| format!("{:.2}, {:.2}", report.p50_ms, report.p99_ms);
            writeln!(
                table,
                "| {name} | {} | {} | {} | {:.1} % |",
                on.name(),
                latency(before),
                latency(under),
                100.0 * under.share,
            )?;
        }
    }
    Ok(table)
}

/// The clients' reports before and during the attack.
fn carry_out(
    attack: &Attack,
    towline: &Path,
    server: &RunningServer,
    time: Duration,
    repetitions: u32,
) -> Result<[ClientReport; 2], Error> {
    let (addr, admin) = server.addresses();
    let before = ClientReport::measure(towline, addr, true, time, 1)?;
    let attacker = Attacker::start(attack.kind, towline, addr, admin)?;
    thread::sleep(attack.settles);
    let under = ClientReport::measure(towline, addr, true, time, repetitions)?;
    drop(attacker);
    thread::sleep(AFTERMATH);
    Ok([before, under])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attacks_on_towline_alone_are_in_the_table() {
        for name in ON_TOWLINE_ALONE {
            assert!(ATTACKS.iter().any(|attack| attack.name == name), "{name}");
        }
    }
}

//! The same attacks on servers that do less: what of a polite peer's wait is the machine's.
//!
//! Polite peers, attackers and server share the cores, so whoever serves has to wait for one. A
//! server that only echoes shows how long that takes; what towline's peers wait beyond it is
//! towline's doing.

use std::{fmt::Write as _, net::SocketAddr, path::Path, process::Command, thread, time::Duration};

use super::{AFTERMATH, Attacker, attack::Attack, select, well_behaved::Polite};
use crate::{Error, c_peers::Workshop, child::Server, observed_server::Victim};

/// Attacks that need what only towline has: a limit for each address, hashing, an admin port.
const ON_TOWLINE_ALONE: [&str; 3] = ["18-one-address", "23-hash-bombs", "33-scrapes"];

/// As many threads as towline has, and the same limit of a line.
const THREADS: &str = "2";
const LINE_BYTES: &str = "65536";

const TABLE_HEAD: &str = "| attack | on | p50 and p99 of the polite in calm, ms | under attack | their lines |\n\
                          |---|---|---|---|---|\n";

/// Who is attacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    Towline,
    BareTokio,
    C,
}

impl On {
    const ALL: [Self; 3] = [Self::Towline, Self::BareTokio, Self::C];

    const fn name(self) -> &'static str {
        match self {
            Self::Towline => "towline",
            Self::BareTokio => "bare tokio",
            Self::C => "C on epoll",
        }
    }
}

/// What is attacked, and what keeps it alive.
enum Target {
    Victim(Victim),
    Reference(Server),
}

impl Target {
    fn start(on: On, attack: &Attack, towline: &Path, shop: &Workshop) -> Result<Self, Error> {
        let mut command = match on {
            On::Towline => return Ok(Self::Victim(Victim::start(towline, attack.serve)?)),
            On::BareTokio => Command::new(std::env::current_exe()?),
            On::C => Command::new(shop.path("c-limited")),
        };
        match on {
            On::C => command.arg(THREADS),
            _ => command
                .args(["peer", "for-each", "--threads", THREADS])
                .args(["--line-bytes", LINE_BYTES]),
        };
        Ok(Self::Reference(Server::start_anywhere(&mut command, Duration::from_secs(10))?))
    }

    /// Its address, and that of its admin port if it has one.
    fn addresses(&self) -> (SocketAddr, SocketAddr) {
        match self {
            Self::Victim(victim) => (victim.addr, victim.admin),
            Self::Reference(server) => (server.addr, server.addr),
        }
    }
}

/// Carries the attacks out whose names begin so, on each in turn.
pub(crate) fn report(
    towline: &Path,
    only: &[String],
    time: Duration,
    talks: u32,
) -> Result<String, Error> {
    let shop = Workshop::open()?;
    let mut table = String::from(TABLE_HEAD);
    let attacks = select(only)?;
    for attack in attacks.into_iter().filter(|attack| !ON_TOWLINE_ALONE.contains(&attack.name)) {
        for on in On::ALL {
            eprintln!("{} on {}", attack.name, on.name());
            let target = Target::start(on, attack, towline, &shop)?;
            let [calm, under] = carry_out(attack, towline, &target, time, talks)?;
            let name = if on == On::ALL[0] { attack.name } else { "" };
            let spread = |polite: Polite| format!("{:.2}, {:.2}", polite.p50_ms, polite.p99_ms);
            writeln!(
                table,
                "| {name} | {} | {} | {} | {:.1} % |",
                on.name(),
                spread(calm),
                spread(under),
                100.0 * under.share,
            )?;
        }
    }
    Ok(table)
}

fn carry_out(
    attack: &Attack,
    towline: &Path,
    target: &Target,
    time: Duration,
    talks: u32,
) -> Result<[Polite; 2], Error> {
    let (addr, admin) = target.addresses();
    let calm = Polite::talk(towline, addr, time, 1)?;
    let attacker = Attacker::start(attack.by, towline, addr, admin)?;
    thread::sleep(attack.settles);
    let under = Polite::talk(towline, addr, time, talks)?;
    drop(attacker);
    thread::sleep(AFTERMATH);
    Ok([calm, under])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attacks_that_only_towline_can_suffer_are_among_those_there_are() {
        for name in ON_TOWLINE_ALONE {
            assert!(select(&[name.to_owned()]).is_ok_and(|attacks| attacks.len() == 1), "{name}");
        }
    }
}

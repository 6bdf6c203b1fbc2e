//! One server under one load, with clients at its admin port by turns.

use std::time::Duration;

use super::clients::{Clients, Doing, Had};
use crate::{
    Error,
    generator::{Generator, Load, Mark},
    implementation::{Cores, Stable, Subject},
    kernel::{resident_bytes, spent_by},
};

/// The load says so often how far it is.
const EVERY: Duration = Duration::from_millis(500);

/// Of these, how many pass until what changed has settled, and how many are a window.
const SETTLES: usize = 3;
const LASTS: usize = 5;

/// What one window saw, calm or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    pub(super) seconds: f64,
    pub(super) lines: f64,
    /// CPU time of the threads that serve lines, of the admin thread, and of all there are.
    pub(super) serving: f64,
    pub(super) admin: f64,
    pub(super) all: f64,
}

/// What a whole run saw: one calm window more than others.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) calm: Vec<Window>,
    pub(super) visited: Vec<Window>,
    /// What the clients had in each of their turns, and the server's resident memory at its end.
    pub(super) had: Vec<Had>,
    pub(super) resident: Vec<u64>,
}

/// How long a turn of the clients is, the part before its window included.
pub(super) const TURN: Duration = EVERY.saturating_mul((SETTLES + LASTS) as u32);

/// Opens windows for `pairs` turns of the clients, between and around which there is calm.
pub(super) fn watch(
    stable: &Stable,
    load: Load,
    doing: Doing,
    pairs: usize,
) -> Result<Seen, Error> {
    let server = stable.start(Subject::Towline, &[], Cores::One)?;
    let admin = server.admin.ok_or("the server has no admin endpoint")?;
    let turns = 2 * pairs + 1;
    let more = [
        "warm=1000".to_owned(),
        format!("every={}", EVERY.as_millis()),
        format!("marks={}", turns * (SETTLES + LASTS)),
    ];
    let mut generator = Generator::open(&stable.shop, &server, load, &more)?;
    generator.mark()?;
    let mut seen = Seen::default();
    for turn in 0..turns {
        let is_calm = turn % 2 == 0;
        eprint!("{}", if is_calm { '.' } else { '*' });
        let clients = Clients::start((!is_calm).then_some(admin), doing)?;
        let from = edge(&mut generator, server.pid(), SETTLES)?;
        let to = edge(&mut generator, server.pid(), LASTS)?;
        if is_calm {
            seen.calm.push(from.until(&to));
        } else {
            seen.visited.push(from.until(&to));
            seen.resident.push(resident_bytes(server.pid())?);
        }
        let had = clients.finish()?;
        if !is_calm {
            seen.had.push(had);
        }
    }
    eprintln!();
    Ok(seen)
}

#[derive(Debug)]
struct Edge {
    mark: Mark,
    serving: Duration,
    admin: Duration,
    all: Duration,
}

fn edge(generator: &mut Generator, pid: u32, after: usize) -> Result<Edge, Error> {
    for _ in 1..after {
        generator.mark()?;
    }
    let mark = generator.mark()?;
    Ok(Edge {
        mark,
        serving: spent_by(pid, |name| name.starts_with("shard-")),
        admin: spent_by(pid, |name| name == "admin"),
        all: spent_by(pid, |_| true),
    })
}

impl Edge {
    #[expect(clippy::cast_precision_loss, reason = "ratios do not need the 53rd bit")]
    fn until(&self, end: &Self) -> Window {
        let cpu = |of: fn(&Self) -> Duration| of(end).saturating_sub(of(self)).as_secs_f64();
        Window {
            seconds: (end.mark.at_ns - self.mark.at_ns) as f64 / 1e9,
            lines: (end.mark.lines - self.mark.lines) as f64,
            serving: cpu(|edge| edge.serving),
            admin: cpu(|edge| edge.admin),
            all: cpu(|edge| edge.all),
        }
    }
}

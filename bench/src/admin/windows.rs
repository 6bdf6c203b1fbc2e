//! One server under one load, with and without clients at its admin port by turns.

use std::time::Duration;

use super::clients::{Activity, ClientProcess, ClientTotals};
use crate::{
    Error,
    generator::{Generator, Load, Mark},
    implementation::Implementation,
    kernel::{cpu_time_of, resident_bytes},
    launcher::{Cores, Launcher},
};

/// Interval at which the generator reports a mark.
const MARK_INTERVAL: Duration = Duration::from_millis(500);

/// Marks of a turn before its window, while the change takes effect, and marks of the window.
const SETTLE_MARKS: usize = 3;
const WINDOW_MARKS: usize = 5;

/// The figures of one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    pub(super) seconds: f64,
    pub(super) lines: f64,
    /// CPU time of the threads that serve lines, of the admin thread, and of all threads.
    pub(super) serving: f64,
    pub(super) admin: f64,
    pub(super) all: f64,
}

/// The windows of a run: one more without clients than with them.
#[derive(Debug, Default)]
pub(super) struct Observations {
    pub(super) without_clients: Vec<Window>,
    pub(super) with_clients: Vec<Window>,
    /// The clients' totals in each of their turns, and the server's resident memory at its end.
    pub(super) totals: Vec<ClientTotals>,
    pub(super) resident: Vec<u64>,
}

/// Duration of a turn, the part before its window included.
pub(super) const TURN: Duration =
    MARK_INTERVAL.saturating_mul((SETTLE_MARKS + WINDOW_MARKS) as u32);

/// Measures `pairs` turns with clients, and the turns without them between and around those.
pub(super) fn observe(
    launcher: &Launcher,
    load: Load,
    activity: Activity,
    pairs: usize,
) -> Result<Observations, Error> {
    let server = launcher.start(Implementation::Towline, &[], Cores::One)?;
    let admin = server.admin.ok_or("the server has no admin endpoint")?;
    let turns = 2 * pairs + 1;
    let more = [
        "warm=1000".to_owned(),
        format!("every={}", MARK_INTERVAL.as_millis()),
        format!("marks={}", turns * (SETTLE_MARKS + WINDOW_MARKS)),
    ];
    let mut generator = Generator::open(&launcher.programs, &server, load, &more)?;
    generator.mark()?;
    let mut observations = Observations::default();
    for turn in 0..turns {
        let has_clients = turn % 2 == 1;
        eprint!("{}", if has_clients { '*' } else { '.' });
        let clients = ClientProcess::start(has_clients.then_some(admin), activity)?;
        let from = edge(&mut generator, server.pid(), SETTLE_MARKS)?;
        let to = edge(&mut generator, server.pid(), WINDOW_MARKS)?;
        if has_clients {
            observations.with_clients.push(from.until(&to));
            observations.resident.push(resident_bytes(server.pid())?);
        } else {
            observations.without_clients.push(from.until(&to));
        }
        let totals = clients.finish()?;
        if has_clients {
            observations.totals.push(totals);
        }
    }
    eprintln!();
    Ok(observations)
}

/// The state at one end of a window.
#[derive(Debug)]
struct Edge {
    mark: Mark,
    serving: Duration,
    admin: Duration,
    all: Duration,
}

/// Waits for `marks` marks; the last one is the edge.
fn edge(generator: &mut Generator, pid: u32, marks: usize) -> Result<Edge, Error> {
    for _ in 1..marks {
        generator.mark()?;
    }
    let mark = generator.mark()?;
    Ok(Edge {
        mark,
        serving: cpu_time_of(pid, |name| name.starts_with("shard-")),
        admin: cpu_time_of(pid, |name| name == "admin"),
        all: cpu_time_of(pid, |_| true),
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

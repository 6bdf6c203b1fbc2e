//! Drives the C generator: what to load a server with, and what came back.

use std::{
    io::{BufRead, BufReader, Write},
    process::{ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use serde::Deserialize;

use crate::{
    Error,
    c_peers::Workshop,
    child::{LOAD_CORE, Owned, Server, on_core},
    kernel::{Counters, queued},
};

/// The shape of a load; the fields are the generator's options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) mode: &'static str,
    pub(crate) conns: u32,
    pub(crate) pipes: u32,
    pub(crate) line: u32,
}

impl Load {
    pub(crate) const fn new(mode: &'static str, conns: u32) -> Self {
        Self { mode, conns, pipes: 0, line: 5 }
    }

    pub(crate) const fn beside_pipes(self, pipes: u32) -> Self {
        Self { pipes, ..self }
    }
}

/// How long, besides connecting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) warm: Duration,
    pub(crate) run: Duration,
}

/// What the generator saw between the edges of its window.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Seen {
    pub(crate) seconds: f64,
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
    pub(crate) errors: u64,
    pub(crate) server_ticks: u64,
    pub(crate) ticks_per_second: u64,
    pub(crate) generator_cpu_seconds: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// How far a load without a window is.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Mark {
    pub(crate) at_ns: u64,
    pub(crate) lines: u64,
    errors: u64,
}

impl Seen {
    /// Newlines and bytes are counted apart. When they disagree by more than the unfinished lines at
    /// the window's edges, the server answered something else than the lines it was sent.
    pub(crate) fn check(&self, load: Load) -> Result<(), Error> {
        if self.errors > 0 {
            return Err(format!("{} connections closed early", self.errors).into());
        }
        let expected = self.lines * u64::from(load.line);
        let slack = u64::from((load.conns + load.pipes) * load.line);
        if self.bytes.abs_diff(expected) > slack {
            return Err(format!("{} lines, but {} bytes", self.lines, self.bytes).into());
        }
        if self.lines == 0 {
            return Err("not one line came back".into());
        }
        Ok(())
    }
}

/// A generator under way, told what to do through its standard input.
#[derive(Debug)]
pub(crate) struct Generator {
    child: Owned,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Generator {
    /// Opens the connections and exchanges one line over each. In `idle` mode they then wait for a
    /// burst; in the others the load begins and, once warm, the window.
    pub(crate) fn open(
        shop: &Workshop,
        server: &Server,
        load: Load,
        more: &[String],
    ) -> Result<Self, Error> {
        let mut command = Command::new(shop.path("gen"));
        command
            .arg(format!("port={}", server.addr.port()))
            .arg(format!("pid={}", list(&server.processes())))
            .arg(format!("mode={}", load.mode))
            .arg(format!("conns={}", load.conns))
            .arg(format!("pipes={}", load.pipes))
            .arg(format!("line={}", load.line))
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = Owned(on_core(LOAD_CORE, || command.spawn())?);
        let answers = BufReader::new(child.0.stdout.take().ok_or("no pipe")?);
        let commands = child.0.stdin.take().ok_or("no pipe")?;
        let mut generator = Self { child, commands, answers };
        generator.wait_for(if load.mode == "idle" { "open" } else { "run" })?;
        Ok(generator)
    }

    /// The report at the end of the window. The connections stay until this value is dropped.
    pub(crate) fn finish(&mut self) -> Result<Seen, Error> {
        self.answer("its report")
    }

    /// The next of the marks it was asked for.
    pub(crate) fn mark(&mut self) -> Result<Mark, Error> {
        let mark: Mark = self.answer("a mark")?;
        if mark.errors == 0 {
            return Ok(mark);
        }
        Err(format!("{} connections closed early", mark.errors).into())
    }

    /// Sends and drains 16 KiB of lines over each connection.
    pub(crate) fn burst(&mut self) -> Result<(), Error> {
        self.commands.write_all(b"burst\n")?;
        self.wait_for("burst")
    }

    fn wait_for(&mut self, phase: &str) -> Result<(), Error> {
        #[derive(Deserialize)]
        struct Phase {
            phase: String,
            errors: u64,
        }
        let seen: Phase = self.answer(phase)?;
        if seen.phase == phase && seen.errors == 0 {
            return Ok(());
        }
        Err(format!("{phase}: {} connections closed early", seen.errors).into())
    }

    fn answer<T: for<'a> Deserialize<'a>>(&mut self, what: &str) -> Result<T, Error> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line)
            .map_err(|error| format!("the load generator ended before {what} ({error})").into())
    }
}

/// What happened around a window that its figures should be read with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Circumstances {
    /// Kernel counters that moved: the run is void.
    pub(crate) moved: Vec<String>,
    /// Time the server or the load, whichever was worse off, stood in line for its core.
    pub(crate) queued: Duration,
}

/// Loads `server` for a window of time.
pub(crate) fn run(
    shop: &Workshop,
    server: &Server,
    load: Load,
    timing: Timing,
) -> Result<(Seen, Circumstances), Error> {
    let times =
        [format!("warm={}", timing.warm.as_millis()), format!("run={}", timing.run.as_millis())];
    let mut generator = Generator::open(shop, server, load, &times)?;
    let both = [server.processes(), vec![generator.child.0.id()]];
    let stood = || both.each_ref().map(|side| side.iter().copied().map(queued).sum::<Duration>());
    let (counters, before) = (Counters::read(), stood());
    let seen = generator.finish()?;
    let moved = Counters::read().moved_since(&counters);
    let waits = stood().into_iter().zip(before).map(|(now, then)| now.saturating_sub(then));
    seen.check(load)?;
    Ok((seen, Circumstances { moved, queued: waits.max().unwrap_or_default() }))
}

/// Numbers with commas between them.
fn list(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

/// Exchanges exactly `lines` lines, however long that takes, within bounds.
pub(crate) fn exchange(shop: &Workshop, server: &Server, lines: u64) -> Result<(), Error> {
    const BOUND: &str = "run=120000";
    let more = [format!("lines={lines}"), BOUND.to_owned()];
    let seen = Generator::open(shop, server, Load::new("pingpong", 1), &more)?.finish()?;
    if seen.lines < lines {
        return Err(format!("{} of {lines} lines came back", seen.lines).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(lines: u64, bytes: u64, errors: u64) -> Seen {
        let text = format!(
            r#"{{"seconds":3.0,"lines":{lines},"bytes":{bytes},"errors":{errors},
                "server_ticks":300,"ticks_per_second":100,"generator_cpu_seconds":2.5,
                "latencies":0,"p50_us":0,"p99_us":0,"p999_us":0,"max_us":0}}"#
        );
        serde_json::from_str(&text).expect("the generator's own format")
    }

    #[test]
    fn lines_and_bytes_must_tell_the_same_story() {
        let load = Load::new("flood", 100);
        assert!(seen(1000, 5000, 0).check(load).is_ok());
        assert!(seen(1000, 5499, 0).check(load).is_ok(), "unfinished lines at the edges");
        assert!(seen(1000, 65_000, 0).check(load).is_err(), "digests instead of echoes");
        assert!(seen(1000, 5000, 1).check(load).is_err(), "a lost connection");
        assert!(seen(0, 0, 0).check(load).is_err(), "silence");
    }
}

//! Drives the load generator, a C program: its options, and its reports.

use std::{
    io::{BufRead, BufReader, Write},
    process::{ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use serde::Deserialize;

use crate::{
    Error,
    c_programs::CPrograms,
    child::{ChildGuard, LOAD_CORE, Server, on_core},
    kernel::{KernelCounters, core_wait},
};

/// A load; the fields are the generator's options of the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) mode: &'static str,
    pub(crate) conns: u32,
    pub(crate) pipes: u32,
    pub(crate) line: u32,
    /// Most bytes in flight on a flooding connection; 0 for as many as the sockets take.
    pub(crate) window: u32,
}

impl Load {
    pub(crate) const fn new(mode: &'static str, conns: u32) -> Self {
        Self { mode, conns, pipes: 0, line: 5, window: 0 }
    }

    pub(crate) const fn beside_pipes(self, pipes: u32) -> Self {
        Self { pipes, ..self }
    }

    /// The same with lines of this length in bytes, terminator included.
    pub(crate) const fn of_bytes(self, line: u32) -> Self {
        Self { line, ..self }
    }

    /// The same with at most `window` bytes in flight on a connection, in whole lines.
    pub(crate) const fn in_flight(self, window: u32) -> Self {
        Self { window, ..self }
    }
}

/// Duration of a load after all connections are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) warm: Duration,
    pub(crate) run: Duration,
}

/// The generator's report of its window.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct WindowReport {
    pub(crate) seconds: f64,
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
    pub(crate) errors: u64,
    pub(crate) server_cpu_ns: u64,
    pub(crate) generator_cpu_seconds: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// The generator's state at one moment of a load without a window.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Mark {
    pub(crate) at_ns: u64,
    pub(crate) lines: u64,
    errors: u64,
}

impl WindowReport {
    /// Checks the report. Newlines and bytes are counted separately: when they disagree by more than the
    /// unfinished lines at the edges of the window, the server did not echo the lines.
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
            return Err("no line came back".into());
        }
        Ok(())
    }
}

/// A running generator, controlled through its standard input.
#[derive(Debug)]
pub(crate) struct Generator {
    child: ChildGuard,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Generator {
    /// Makes the connections and exchanges one line over each. In `idle` mode they then wait for a
    /// burst; in the other modes the load begins, and after the warm-up the window.
    pub(crate) fn open(
        programs: &CPrograms,
        server: &Server,
        load: Load,
        more: &[String],
    ) -> Result<Self, Error> {
        let mut command = Command::new(programs.path("gen"));
        command
            .arg(match &server.path {
                Some(path) => format!("unix={}", path.display()),
                None => format!("port={}", server.addr.port()),
            })
            .arg(format!("pid={}", list(&server.processes())))
            .arg(format!("mode={}", load.mode))
            .arg(format!("conns={}", load.conns))
            .arg(format!("pipes={}", load.pipes))
            .arg(format!("line={}", load.line))
            .arg(format!("window={}", load.window))
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = ChildGuard(on_core(LOAD_CORE, || command.spawn())?);
        let answers = BufReader::new(child.0.stdout.take().ok_or("no pipe")?);
        let commands = child.0.stdin.take().ok_or("no pipe")?;
        let mut generator = Self { child, commands, answers };
        generator.wait_for(if load.mode == "idle" { "open" } else { "run" })?;
        Ok(generator)
    }

    /// Waits for the end of the window. The connections stay open until this value is dropped.
    pub(crate) fn finish(&mut self) -> Result<WindowReport, Error> {
        self.answer("its report")
    }

    /// Waits for the next of the marks requested by `marks=N`.
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
        let reached: Phase = self.answer(phase)?;
        if reached.phase == phase && reached.errors == 0 {
            return Ok(());
        }
        Err(format!("{phase}: {} connections closed early", reached.errors).into())
    }

    fn answer<T: for<'a> Deserialize<'a>>(&mut self, what: &str) -> Result<T, Error> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line)
            .map_err(|error| format!("the load generator ended before {what} ({error})").into())
    }
}

/// What disturbed a window.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunConditions {
    /// Kernel counters that grew: the measurement is void.
    pub(crate) moved: Vec<String>,
    /// Time that the server or the load, whichever is longer, waited for its core.
    pub(crate) queued: Duration,
}

/// Loads `server` for a window.
pub(crate) fn run(
    programs: &CPrograms,
    server: &Server,
    load: Load,
    timing: Timing,
) -> Result<(WindowReport, RunConditions), Error> {
    let times =
        [format!("warm={}", timing.warm.as_millis()), format!("run={}", timing.run.as_millis())];
    let mut generator = Generator::open(programs, server, load, &times)?;
    let both = [server.processes(), vec![generator.child.0.id()]];
    let waited =
        || both.each_ref().map(|side| side.iter().copied().map(core_wait).sum::<Duration>());
    let (counters, before) = (KernelCounters::read(), waited());
    let report = generator.finish()?;
    let moved = KernelCounters::read().moved_since(&counters);
    let waits = waited().into_iter().zip(before).map(|(now, then)| now.saturating_sub(then));
    report.check(load)?;
    Ok((report, RunConditions { moved, queued: waits.max().unwrap_or_default() }))
}

/// Numbers separated by commas.
fn list(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

/// Exchanges exactly `lines` lines over one connection, within two minutes.
pub(crate) fn exchange(programs: &CPrograms, server: &Server, lines: u64) -> Result<(), Error> {
    const TIMEOUT: &str = "run=120000";
    let more = [format!("lines={lines}"), TIMEOUT.to_owned()];
    let report = Generator::open(programs, server, Load::new("pingpong", 1), &more)?.finish()?;
    if report.lines < lines {
        return Err(format!("{} of {lines} lines came back", report.lines).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(lines: u64, bytes: u64, errors: u64) -> WindowReport {
        let text = format!(
            r#"{{"seconds":3.0,"lines":{lines},"bytes":{bytes},"errors":{errors},
                "server_cpu_ns":3000000000,"generator_cpu_seconds":2.5,
                "latencies":0,"p50_us":0,"p99_us":0,"p999_us":0,"max_us":0}}"#
        );
        serde_json::from_str(&text).expect("the generator's own format")
    }

    #[test]
    fn lines_and_bytes_must_agree() {
        let load = Load::new("flood", 100);
        assert!(report(1000, 5000, 0).check(load).is_ok());
        assert!(report(1000, 5499, 0).check(load).is_ok(), "unfinished lines at the edges");
        assert!(report(1000, 65_000, 0).check(load).is_err(), "digests instead of echoes");
        assert!(report(1000, 5000, 1).check(load).is_err(), "a lost connection");
        assert!(report(0, 0, 0).check(load).is_err(), "silence");
    }
}

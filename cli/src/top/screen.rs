//! The loop on a terminal: answers and keys come, screens are drawn.

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyEventKind},
    widgets::Paragraph,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::Signal,
};
use towline_load::TargetAddr;

use super::{
    INTERVALS,
    fetch::{self, Answer, Query},
    keys::Action,
    model::Model,
    view::{View, screen},
};
use crate::exit;

/// Queries that may wait while servers are asked.
const QUERIES_MAX: usize = 8;

/// Longest wait for a key before answers and signals are looked at.
const KEY_WAIT: Duration = Duration::from_millis(50);

/// Shows the servers until a key or a signal ends it.
pub(super) fn run(servers: Vec<TargetAddr>, query: Query, interval: Duration) -> ExitCode {
    let ended = Arc::<AtomicBool>::default();
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        // Both fail only for signals that no process can handle. A second signal ends the program at once.
        let _ = signal_hook::flag::register_conditional_shutdown(
            signal.as_raw(),
            exit::FAILED.into(),
            ended.clone(),
        );
        let _ = signal_hook::flag::register(signal.as_raw(), ended.clone());
    }
    let (queries, asked) = sync_channel(QUERIES_MAX);
    let (fetched, answers) = sync_channel(1);
    let model = Model::new(&servers, query);
    let fetcher = thread::Builder::new()
        .name("fetch".to_owned())
        .spawn(move || fetch::run(&servers, &asked, &fetched));
    if let Err(error) = fetcher {
        return exit::with(exit::FAILED, format_args!("a thread cannot be started: {error}"));
    }
    // Also restores the terminal after a panic.
    let shown = ratatui::try_init().and_then(|terminal| {
        let view = View { plain: std::env::var_os("NO_COLOR").is_some(), ..View::default() };
        Screen { model, view, queries, interval, unasked: true }.run(terminal, &answers, &ended)
    });
    let restored = ratatui::try_restore();
    match shown.and(restored) {
        Ok(()) => ExitCode::from(exit::CLEAN),
        Err(error) => {
            exit::with(exit::FAILED, format_args!("the terminal cannot be used: {error}"))
        }
    }
}

/// Waits for a key, for a while. Returns `false` if the terminal is gone: crossterm would read its end again and again
/// without returning, and no signal would end the program any more.
fn wait_for_key() -> io::Result<bool> {
    const GONE: PollFlags = PollFlags::HUP.union(PollFlags::ERR).union(PollFlags::NVAL);
    let (input, output) = (io::stdin(), io::stdout());
    // Where standard input is no terminal, crossterm reads keys from the one that controls the process.
    let keys = if input.is_terminal() { PollFlags::IN } else { PollFlags::empty() };
    let mut terminal = [PollFd::new(&input, keys), PollFd::new(&output, PollFlags::empty())];
    let wait = Timespec { tv_sec: 0, tv_nsec: KEY_WAIT.subsec_nanos().into() };
    match poll(&mut terminal, Some(&wait)) {
        Ok(_) | Err(Errno::INTR) => Ok(!terminal.iter().any(|end| end.revents().intersects(GONE))),
        Err(error) => Err(error.into()),
    }
}

struct Screen {
    model: Model,
    view: View,
    queries: SyncSender<(Query, Duration)>,
    interval: Duration,
    /// A query is still to be asked.
    unasked: bool,
}

impl Screen {
    fn run(
        mut self,
        mut terminal: DefaultTerminal,
        answers: &Receiver<(Query, Vec<Answer>)>,
        ended: &AtomicBool,
    ) -> io::Result<()> {
        let mut changed = true;
        while !ended.load(Relaxed) {
            if self.unasked {
                self.ask();
            }
            while let Ok((query, answers)) = answers.try_recv() {
                // One to an earlier query says nothing about this one.
                if query == self.model.query && !self.view.paused {
                    self.model.take(answers);
                    changed = true;
                }
            }
            if std::mem::take(&mut changed) {
                self.keep_choice_in_bounds();
                self.draw(&mut terminal)?;
            }
            if !wait_for_key()? {
                return Ok(());
            }
            if event::poll(Duration::ZERO)? {
                match event::read()? {
                    Event::Key(key) if key.kind != KeyEventKind::Release => {
                        let action = self.view.input.key(key, &self.model.query.conditions);
                        if action == Action::End {
                            return Ok(());
                        }
                        self.act(action);
                        changed = true;
                    }
                    Event::Resize(..) => changed = true,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn draw(&self, terminal: &mut DefaultTerminal) -> io::Result<()> {
        terminal.draw(|frame| {
            let area = frame.area();
            let lines = screen(&self.model, &self.view, area.width.into(), area.height.into());
            frame.render_widget(Paragraph::new(lines), area);
        })?;
        Ok(())
    }

    fn act(&mut self, action: Action) {
        let Self { model, view, interval, .. } = self;
        match action {
            Action::Redraw | Action::End => return,
            Action::Move(rows) => {
                view.chosen = view.chosen.saturating_add_signed(rows);
                return;
            }
            Action::Sort(step) => {
                let sorts = Query::SORTS;
                let at = sorts.iter().position(|sort| *sort == model.query.sort).unwrap_or(0);
                let next = (at as isize + step).rem_euclid(sorts.len() as isize);
                sorts[next as usize].clone_into(&mut model.query.sort);
            }
            Action::Conditions(conditions) => model.query.conditions = conditions,
            Action::ToggleClosed => model.query.closed = !model.query.closed,
            Action::TogglePause => view.paused = !view.paused,
            Action::Faster => *interval = (*interval / 2).max(INTERVALS[0]),
            Action::Slower => *interval = (*interval * 2).min(INTERVALS[1]),
        }
        self.unasked = true;
    }

    /// Asks what is wanted now, unless many questions wait for a server that is slow.
    fn ask(&mut self) {
        let query = (self.model.query.clone(), self.interval);
        self.unasked = self.queries.try_send(query).is_err();
    }

    fn keep_choice_in_bounds(&mut self) {
        let Model { query, rows, closed, .. } = &self.model;
        let rows = if query.closed { closed.len() } else { rows.len() };
        self.view.chosen = self.view.chosen.min(rows.saturating_sub(1));
    }
}

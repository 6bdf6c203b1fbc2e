//! A worker process: runs event loops for a leader, over [`protocol`](super::protocol).

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;

use super::loop_threads::LoopThreads;
use super::protocol::{LeaderMsg, WorkerMsg};
use super::{EVENTS_MAX, event::Event};
use crate::clock;
use crate::error::LoadError;
use crate::host;
use crate::job::Job;

/// Runs event loops for a leader in another process, until the run is over or the leader is gone.
///
/// The program that [`WorkerProgram`](crate::WorkerProgram) names calls this function and nothing else:
/// standard input and output belong to the protocol.
///
/// # Errors
/// When a message is not understood or an event loop cannot start. The error also goes to the leader.
pub fn serve_as_worker() -> Result<(), LoadError> {
    // An interrupt from the terminal reaches all processes of the run; the leader acts on it.
    let ignored = Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let _ = signal_hook::flag::register(signal, Arc::clone(&ignored));
    }
    let served = serve();
    if let Err(error) = &served {
        // Fails only when the leader is gone.
        let _ = write_line(&mut io::stdout().lock(), &WorkerMsg::Failed(error.to_string()));
    }
    served
}

fn serve() -> Result<(), LoadError> {
    let mut messages = io::BufReader::new(io::stdin()).lines();
    let mut next = move || -> Result<Option<LeaderMsg>, LoadError> {
        let Some(Ok(line)) = messages.next() else { return Ok(None) };
        let message = serde_json::from_str(&line);
        message.map(Some).map_err(|e| {
            LoadError::failed(format!("a message of the leader is not understood: {e}"))
        })
    };
    let Some(LeaderMsg::Prepare(plan, shares)) = next()? else { return Ok(()) };
    host::raise_descriptor_limit();
    host::disable_huge_pages();
    let job = Arc::new(Job::new(*plan)?);
    send(&WorkerMsg::Ready)?;
    let Some(LeaderMsg::Start(timing)) = next()? else { return Ok(()) };

    let (outbox, inbox) = sync_channel(EVENTS_MAX);
    let threads = LoopThreads::start(&job, &shares, timing, &outbox)?;
    let control = Arc::clone(&threads.control);
    // Ends with the process: it reads messages until the end of standard input.
    thread::spawn(move || {
        loop {
            match next() {
                Ok(Some(LeaderMsg::Steady(at, stop))) => control.steady(at, stop),
                Ok(Some(LeaderMsg::Stop(at))) => control.stop(at),
                Ok(Some(LeaderMsg::Published(messages))) => control.set_published(messages),
                Ok(Some(LeaderMsg::Prepare(..) | LeaderMsg::Start(_))) => {}
                Ok(None) | Err(_) => return control.stop(clock::now()),
            }
        }
    });
    drop(outbox);
    for event in inbox {
        send(&WorkerMsg::Event(event))?;
    }
    threads.join();
    Ok(())
}

fn send(message: &WorkerMsg) -> Result<(), LoadError> {
    write_line(&mut io::stdout().lock(), message)
        .map_err(|e| LoadError::failed(format!("the leader is gone: {e}")))
}

fn write_line(out: &mut impl Write, message: &WorkerMsg) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.flush()
}

/// Reads a worker's messages and forwards its events. If the worker ends early, `forward` gets an
/// [`Event::Failed`] for each of its event loops that has not ended.
pub(super) fn read_events(
    from: impl io::Read,
    loops: &[u32],
    ready: impl FnOnce(),
    mut forward: impl FnMut(Event) -> bool,
) {
    let (mut ready, mut left) = (Some(ready), loops.len());
    let mut why = "it ended without an error message".to_owned();
    for line in io::BufReader::new(from).lines() {
        let Ok(line) = line else { break };
        match serde_json::from_str(&line) {
            Ok(WorkerMsg::Ready) => {
                if let Some(ready) = ready.take() {
                    ready();
                }
            }
            Ok(WorkerMsg::Event(event)) => {
                left -= usize::from(event.is_last()).min(left);
                if !forward(event) {
                    return;
                }
            }
            Ok(WorkerMsg::Failed(reason)) => why = reason,
            Err(error) => why = format!("it sent a message that is not understood: {error}"),
        }
    }
    for _ in 0..left {
        forward(Event::Failed(format!("a worker process was lost: {why}")));
    }
}

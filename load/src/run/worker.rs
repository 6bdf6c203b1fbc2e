//! A worker process: obeys orders from standard input, runs its lanes, tells on standard output.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;

use super::loop_threads::Lanes;
use super::protocol::{Order, Word};
use super::{EVENTS, event::Event};
use crate::clock;
use crate::error::LoadError;
use crate::host;
use crate::job::Job;

/// Serves as a worker of a leader in another process, until the run is over or the leader is gone.
///
/// The command that [`WorkerCommand`](crate::WorkerCommand) names must call this and nothing else.
///
/// # Errors
/// When the orders are not understood or the lanes cannot start; the leader is told as well.
pub fn serve_as_worker() -> Result<(), LoadError> {
    // An interrupt from the terminal reaches every process; it is the leader who decides.
    let ignored = Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let _ = signal_hook::flag::register(signal, Arc::clone(&ignored));
    }
    let served = obey();
    if let Err(error) = &served {
        // When the leader is gone there is nobody left to tell.
        let _ = say(&mut io::stdout().lock(), &Word::Failed(error.to_string()));
    }
    served
}

fn obey() -> Result<(), LoadError> {
    let mut orders = io::BufReader::new(io::stdin()).lines();
    let mut next = move || -> Result<Option<Order>, LoadError> {
        let Some(Ok(line)) = orders.next() else { return Ok(None) };
        let order = serde_json::from_str(&line);
        order.map(Some).map_err(|e| LoadError::failed(format!("an order is not understood: {e}")))
    };
    let Some(Order::Prepare(plan, shares)) = next()? else { return Ok(()) };
    host::raise_descriptor_limit();
    host::refuse_huge_pages();
    let job = Arc::new(Job::new(*plan)?);
    tell(&Word::Ready)?;
    let Some(Order::Start(timing)) = next()? else { return Ok(()) };

    let (outbox, inbox) = sync_channel(EVENTS);
    let lanes = Lanes::start(&job, &shares, timing, &outbox)?;
    let control = Arc::clone(&lanes.control);
    // Ends with the process: it waits for an order, and the last one is the end of its input.
    thread::spawn(move || {
        loop {
            match next() {
                Ok(Some(Order::Steady(at, stop))) => control.steady(at, stop),
                Ok(Some(Order::Stop(at))) => control.stop(at),
                Ok(Some(Order::Prepare(..) | Order::Start(_))) => {}
                Ok(None) | Err(_) => return control.stop(clock::now()),
            }
        }
    });
    drop(outbox);
    for event in inbox {
        tell(&Word::Event(event))?;
    }
    lanes.join();
    Ok(())
}

fn tell(word: &Word) -> Result<(), LoadError> {
    say(&mut io::stdout().lock(), word)
        .map_err(|e| LoadError::failed(format!("the leader no longer listens: {e}")))
}

fn say(out: &mut impl Write, word: &Word) -> io::Result<()> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.flush()
}

/// Turns a worker's lines into events, and its death into one for every lane it leaves behind.
pub(super) fn listen(
    from: impl io::Read,
    lanes: &[u32],
    ready: impl FnOnce(),
    mut tell: impl FnMut(Event) -> bool,
) {
    let (mut ready, mut left) = (Some(ready), lanes.len());
    let mut why = "it ended without a word".to_owned();
    for line in io::BufReader::new(from).lines() {
        let Ok(line) = line else { break };
        match serde_json::from_str(&line) {
            Ok(Word::Ready) => {
                if let Some(ready) = ready.take() {
                    ready();
                }
            }
            Ok(Word::Event(event)) => {
                left -= usize::from(!matches!(event, Event::Tick(_))).min(left);
                if !tell(event) {
                    return;
                }
            }
            Ok(Word::Failed(reason)) => why = reason,
            Err(error) => why = format!("it said what is no event: {error}"),
        }
    }
    for _ in 0..left {
        tell(Event::Failed(format!("a worker process is lost: {why}")));
    }
}

//! Level-triggered epoll: a socket is reported as long as it is ready, so one read and one write per
//! event are enough, and no connection can delay the others.
//!
//! With edge-triggered polling, the only kind that mio offers, every reply would cost a further read
//! just to see that nothing more has arrived.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::{Errno, Result};

use super::conn::Interest;
use crate::clock;

/// The token of the wake-up descriptor; no connection has this index.
const WAKE: u64 = u64::MAX;
/// Events taken by one system call.
const EVENTS_MAX: usize = 512;

/// What a socket is ready for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    /// The connection's index in its event loop.
    pub(crate) conn: usize,
    /// Bytes, the end of the stream, or an error can be read.
    pub(crate) read: bool,
    /// Bytes can be written, or an error is pending.
    pub(crate) write: bool,
}

/// An epoll instance and the events last taken from it.
pub(crate) struct Epoll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Epoll {
    /// Makes an instance that also wakes whenever `wake`, an eventfd, is written to.
    pub(crate) fn new(wake: impl AsFd) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        // Edge-triggered and never read: one write wakes every event loop once.
        let flags = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, wake, EventData::new_u64(WAKE), flags)?;
        Ok(Self { epoll, events: Vec::with_capacity(EVENTS_MAX) })
    }

    pub(crate) fn add(&self, fd: impl AsFd, conn: usize, interest: Interest) -> Result<()> {
        epoll::add(&self.epoll, fd, EventData::new_u64(conn as u64), flags(interest))
    }

    pub(crate) fn modify(&self, fd: impl AsFd, conn: usize, interest: Interest) -> Result<()> {
        epoll::modify(&self.epoll, fd, EventData::new_u64(conn as u64), flags(interest))
    }

    /// Waits at most `span` nanoseconds and returns the number of events.
    pub(crate) fn wait(&mut self, span: u64) -> Result<usize> {
        self.events.clear();
        let spare = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, spare, Some(&clock::timespec(span))) {
            Err(Errno::INTR) => Ok(0),
            other => other,
        }
    }

    /// An event of the last wait; `None` for the wake-up, which carries nothing.
    pub(crate) fn event(&self, index: usize) -> Option<Ready> {
        let event = self.events[index];
        let conn = event.data.u64();
        if conn == WAKE {
            return None;
        }
        let set = event.flags;
        let gone = set.intersects(EventFlags::HUP | EventFlags::ERR);
        Some(Ready {
            conn: conn as usize,
            read: gone || set.intersects(EventFlags::IN | EventFlags::RDHUP),
            write: gone || set.contains(EventFlags::OUT),
        })
    }
}

impl fmt::Debug for Epoll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Epoll").field("epoll", &self.epoll).finish_non_exhaustive()
    }
}

fn flags(interest: Interest) -> EventFlags {
    match interest {
        // A client that does not read still learns that the server has closed.
        Interest::Nothing => EventFlags::RDHUP,
        Interest::Read => EventFlags::IN,
        Interest::Write => EventFlags::OUT | EventFlags::RDHUP,
        Interest::Both => EventFlags::IN | EventFlags::OUT,
    }
}

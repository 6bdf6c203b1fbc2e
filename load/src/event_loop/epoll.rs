//! epoll, level-triggered: a socket is reported for as long as there is something to do, so one read
//! and one write a report are enough, and no connection can keep the others waiting.
//!
//! Edge-triggered polling (all that mio offers) would need a further read a reply just to see that
//! there is nothing more.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::{Errno, Result};

use super::conn::Interest;
use crate::clock;

/// What the wake-up descriptor is registered as: no connection has this number.
const WAKE: u64 = u64::MAX;
/// Reports taken by one system call.
const BATCH: usize = 512;

/// What a socket is ready for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    /// The connection's place in the lane.
    pub(crate) conn: usize,
    /// There are bytes, the end of the stream, or an error to be read.
    pub(crate) read: bool,
    /// There is room for bytes, or an error to be met.
    pub(crate) write: bool,
}

/// An epoll instance and the batch of reports last taken from it.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poll {
    /// A new instance that also wakes whenever `wake`, an eventfd, is written to.
    pub(crate) fn new(wake: impl AsFd) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        // Edge-triggered and never read: one write wakes every lane once.
        let flags = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, wake, EventData::new_u64(WAKE), flags)?;
        Ok(Self { epoll, events: Vec::with_capacity(BATCH) })
    }

    pub(crate) fn add(&self, fd: impl AsFd, conn: usize, interest: Interest) -> Result<()> {
        epoll::add(&self.epoll, fd, EventData::new_u64(conn as u64), flags(interest))
    }

    pub(crate) fn modify(&self, fd: impl AsFd, conn: usize, interest: Interest) -> Result<()> {
        epoll::modify(&self.epoll, fd, EventData::new_u64(conn as u64), flags(interest))
    }

    /// Waits at most `span` nanoseconds and returns how many reports came.
    pub(crate) fn wait(&mut self, span: u64) -> Result<usize> {
        self.events.clear();
        let spare = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, spare, Some(&clock::timespec(span))) {
            Err(Errno::INTR) => Ok(0),
            other => other,
        }
    }

    /// A report of the last batch; `None` for the wake-up, which carries nothing.
    pub(crate) fn report(&self, index: usize) -> Option<Ready> {
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

impl fmt::Debug for Poll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poll").field("epoll", &self.epoll).finish_non_exhaustive()
    }
}

fn flags(interest: Interest) -> EventFlags {
    match interest {
        // Even who does not read notices that the server has closed.
        Interest::Nothing => EventFlags::RDHUP,
        Interest::Read => EventFlags::IN,
        Interest::Write => EventFlags::OUT | EventFlags::RDHUP,
        Interest::Both => EventFlags::IN | EventFlags::OUT,
    }
}

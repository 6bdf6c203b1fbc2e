//! A line that tasks of one thread stand in, and whoever lets them on.

use std::{
    cell::RefCell,
    collections::VecDeque,
    task::{Context, Poll, Waker},
    thread::LocalKey,
};

/// A thread's line, where somebody attends to it.
pub(super) type Place = RefCell<Option<Line>>;

/// Each connection stands in it at most once, unless something else woke it meanwhile.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: VecDeque<Waker>,
    attendant: Option<Waker>,
}

/// Puts a task in line: `cx` is woken when it is its turn. False where nobody attends.
pub(super) fn stand_in(place: &'static LocalKey<Place>, cx: &Context<'_>) -> bool {
    let attendant = place.with_borrow_mut(|line| {
        let line = line.as_mut()?;
        line.waiting.push_back(cx.waker().clone());
        Some(line.attendant.take())
    });
    let attended = attendant.is_some();
    attendant.flatten().into_iter().for_each(Waker::wake);
    attended
}

/// While it lives, there is a line on this thread.
#[derive(Debug)]
pub(super) struct OnDuty(&'static LocalKey<Place>);

impl OnDuty {
    pub(super) fn begin(place: &'static LocalKey<Place>) -> Self {
        place.set(Some(Line::default()));
        Self(place)
    }

    /// Ready when somebody waits.
    pub(super) fn poll_waiting(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.with_borrow_mut(|line| match line {
            Some(line) if line.waiting.is_empty() => {
                line.attendant = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        })
    }

    /// Lets on as many of the line as `share` says of its length.
    pub(super) fn let_on(&self, share: impl FnOnce(usize) -> usize) {
        let waiting = self.0.with_borrow(|line| line.as_ref().map_or(0, |line| line.waiting.len()));
        for _ in 0..share(waiting) {
            self.next().into_iter().for_each(Waker::wake);
        }
    }

    fn next(&self) -> Option<Waker> {
        self.0.with_borrow_mut(|line| line.as_mut()?.waiting.pop_front())
    }
}

impl Drop for OnDuty {
    fn drop(&mut self) {
        // Nobody may wait for an attendant that is gone.
        let line = self.0.take();
        line.into_iter().flat_map(|line| line.waiting).for_each(Waker::wake);
    }
}

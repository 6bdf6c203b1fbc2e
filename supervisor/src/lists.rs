//! Lists that come in several messages.

use std::collections::VecDeque;

use tokio::sync::oneshot;

/// Requests for lists that a process answers one after the other.
#[derive(Debug)]
pub(crate) struct Lists<T>(VecDeque<(Vec<T>, oneshot::Sender<Vec<T>>)>);

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Lists<T> {
    /// A request that was sent.
    pub(crate) fn push(&mut self, answer: oneshot::Sender<Vec<T>>) {
        self.0.push_back((Vec::new(), answer));
    }

    /// A part of the answer to the oldest request.
    pub(crate) fn add(&mut self, mut part: Vec<T>, last: bool) {
        let Some((list, _)) = self.0.front_mut() else { return };
        list.append(&mut part);
        if last && let Some((list, answer)) = self.0.pop_front() {
            // Fails if the request has given up waiting.
            let _ = answer.send(list);
        }
    }

    /// Tells those that wait that no answer is to be had. What the process still answers is dropped.
    pub(crate) fn give_up(&mut self) {
        for (_, answer) in &mut self.0 {
            let (unheard, _) = oneshot::channel();
            *answer = unheard;
        }
    }
}

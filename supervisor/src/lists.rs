//! Lists that come in several messages.

use std::collections::VecDeque;

use tokio::{
    sync::oneshot,
    task::{JoinHandle, spawn_blocking},
};

use crate::channel::Channel;

/// Most requests for lists of one kind that a process has not answered. Further ones get no answer.
const LISTS_MAX: usize = 8;

/// Nice value of the threads that make lists.
const NICE: i32 = 10;

/// Requests for lists that a process answers one after the other.
#[derive(Debug)]
pub(crate) struct Lists<T>(VecDeque<(Vec<T>, oneshot::Sender<Vec<T>>)>);

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Lists<T> {
    /// Adds a request, and returns whether it is to be sent: not when [`LISTS_MAX`] wait for their answers.
    pub(crate) fn push(&mut self, answer: oneshot::Sender<Vec<T>>) -> bool {
        let has_room = self.0.len() < LISTS_MAX;
        if has_room {
            self.0.push_back((Vec::new(), answer));
        }
        has_room
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

/// Lists that a worker process was asked for. Each is made beside the thread that serves connections, which it would
/// delay. The supervisor asks for no more than [`LISTS_MAX`] of each kind at a time.
#[derive(Debug, Default)]
pub(crate) struct ListsToSend {
    /// The messages of lists, the oldest first.
    lists: VecDeque<JoinHandle<Vec<Vec<u8>>>>,
    /// Those of the oldest list that are still to be sent.
    messages: VecDeque<Vec<u8>>,
}

impl ListsToSend {
    pub(crate) fn push(&mut self, list: impl FnOnce() -> Vec<Vec<u8>> + Send + 'static) {
        self.lists.push_back(spawn_blocking(|| {
            // Of this thread alone, as that of the admin endpoint has it. If it cannot be set, the default serves.
            let _ = rustix::process::setpriority_process(None, NICE);
            list()
        }));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.lists.is_empty()
    }

    /// Sends the next message of the oldest list, if there is one. An error is ignored: the next receive reports
    /// that the supervisor has ended.
    ///
    /// Cancel safe: a message that was not sent is the next one again.
    pub(crate) async fn send_part(&mut self, channel: &Channel) {
        if self.messages.is_empty()
            && let Some(list) = self.lists.front_mut()
        {
            // Without messages if it panicked: then the supervisor waits in vain.
            self.messages = list.await.unwrap_or_default().into();
            self.lists.pop_front();
        }
        if let Some(message) = self.messages.front() {
            let _ = channel.send(message).await;
            self.messages.pop_front();
        }
    }
}

/// A list in parts of `max` items at most, with whether each is the last. An empty list is one empty part.
pub(crate) fn parts<T>(list: Vec<T>, max: usize) -> impl Iterator<Item = (Vec<T>, bool)> {
    let mut rest = Some(list.into_iter());
    std::iter::from_fn(move || {
        let items = rest.as_mut()?;
        let part = items.by_ref().take(max).collect();
        let last = items.len() == 0;
        if last {
            rest = None;
        }
        Some((part, last))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_cut_into_parts_and_put_together_again() {
        for (length, count) in [(0, 1), (1, 1), (4, 1), (5, 2), (8, 2), (9, 3)] {
            let all: Vec<usize> = (0..length).collect();
            let cut: Vec<_> = parts(all.clone(), 4).collect();
            assert_eq!(cut.len(), count, "{length}");
            assert!(cut.iter().enumerate().all(|(at, (_, last))| *last == (at + 1 == count)));
            let mut lists = Lists::default();
            let (answer, mut whole) = oneshot::channel();
            assert!(lists.push(answer));
            for (part, last) in cut {
                lists.add(part, last);
            }
            assert_eq!(whole.try_recv().ok(), Some(all));
        }
    }

    #[test]
    fn a_process_that_answers_no_request_is_not_sent_more_and_more() {
        let mut lists = Lists::<usize>::default();
        let mut answers: VecDeque<_> = std::iter::repeat_with(oneshot::channel).take(9).collect();
        let pushed: Vec<_> = answers.drain(..).map(|(answer, _)| lists.push(answer)).collect();
        assert_eq!(pushed, [[true; LISTS_MAX].as_slice(), &[false]].concat());
        lists.add(vec![1], true);
        assert!(lists.push(oneshot::channel().0), "one was answered");
    }
}

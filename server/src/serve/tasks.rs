//! The tasks of connections, so that a drain can cut them.

use std::sync::{Mutex, PoisonError};

use tokio::task::JoinHandle;

/// Fewest tasks that are kept before those that have ended are dropped.
const KEPT_MIN: usize = 64;

/// The tasks of open connections, and of at most as many that have ended, or [`KEPT_MIN`]. Each of those takes
/// the memory of its task, some 500 bytes.
#[derive(Debug, Default)]
pub(super) struct ConnectionTasks(Mutex<Vec<JoinHandle<()>>>);

impl ConnectionTasks {
    /// Keeps a task. *Costs*: amortised, a check of one other task.
    pub(super) fn add(&self, task: JoinHandle<()>) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tasks.len() == tasks.capacity() {
            tasks.retain(|task| !task.is_finished());
            let room = tasks.len().max(KEPT_MIN);
            tasks.reserve_exact(room);
        }
        tasks.push(task);
    }

    /// Cuts every connection. One whose service does not await is cut when it next does.
    pub(super) fn cut(&self) {
        let tasks = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.iter().for_each(JoinHandle::abort);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_that_have_ended_are_dropped_when_there_are_as_many_as_others() {
        let tasks = ConnectionTasks::default();
        for _ in 0..10 * KEPT_MIN {
            let task = tokio::spawn(async {});
            while !task.is_finished() {
                tokio::task::yield_now().await;
            }
            tasks.add(task);
        }
        let kept = tasks.0.lock().expect("no panic").len();
        assert!(kept <= KEPT_MIN, "{kept} tasks are kept");
    }

    #[tokio::test]
    async fn a_cut_ends_the_tasks_that_wait() {
        let tasks = ConnectionTasks::default();
        let (held, mut dropped) = tokio::sync::mpsc::channel::<()>(1);
        for _ in 0..3 * KEPT_MIN {
            let held = held.clone();
            tasks.add(tokio::spawn(async move {
                std::future::pending::<()>().await;
                drop(held);
            }));
        }
        drop(held);
        tasks.cut();
        assert_eq!(dropped.recv().await, None);
    }
}

//! The concurrency limit of a process, which can be changed while its permits are out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::{runtime, sync::Semaphore, task::AbortHandle};

/// The permits of the concurrency limit.
///
/// Lowering it takes back what is free at once and the rest as it comes back; batches that were let
/// in before keep theirs.
#[derive(Debug)]
pub(crate) struct Permits {
    semaphore: Arc<Semaphore>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    limit: usize,
    /// Permits there are, out or free: the limit, and what is still to be taken back.
    there_are: usize,
    /// Counts changes, so that who takes back for an older one stops.
    change: u64,
    taking_back: Option<AbortHandle>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // No code that can panic runs under this lock.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Permits {
    pub(crate) fn new(limit: usize) -> Self {
        let state = State { limit, there_are: limit, change: 0, taking_back: None };
        Self { semaphore: Arc::new(Semaphore::new(limit)), state: Arc::new(Mutex::new(state)) }
    }

    /// What the layers of the concurrency limit take permits from.
    pub(crate) fn semaphore(&self) -> Arc<Semaphore> {
        self.semaphore.clone()
    }

    pub(crate) fn limit(&self) -> usize {
        lock(&self.state).limit
    }

    pub(crate) fn in_use(&self) -> usize {
        lock(&self.state).there_are.saturating_sub(self.semaphore.available_permits())
    }

    /// Changes the limit. What cannot be taken back at once is waited for on `runtime`.
    pub(crate) fn set_limit(&self, limit: usize, runtime: &runtime::Handle) {
        let mut state = lock(&self.state);
        state.limit = limit;
        state.change += 1;
        if let Some(older) = state.taking_back.take() {
            older.abort();
        }
        if let Some(more) = limit.checked_sub(state.there_are) {
            state.there_are = limit;
            self.semaphore.add_permits(more);
            return;
        }
        state.there_are -= self.semaphore.forget_permits(state.there_are - limit);
        // Both are at most what `limits.concurrency` takes, 32 bits.
        let excess = u32::try_from(state.there_are - limit).unwrap_or(u32::MAX);
        if excess > 0 {
            let (semaphore, shared) = (self.semaphore.clone(), self.state.clone());
            let task = runtime.spawn(take_back(semaphore, shared, excess, state.change));
            state.taking_back = Some(task.abort_handle());
        }
    }
}

/// Stands in line with the batches, for all of them at once: those behind it get none before the
/// limit holds.
async fn take_back(semaphore: Arc<Semaphore>, state: Arc<Mutex<State>>, excess: u32, change: u64) {
    let Ok(permits) = semaphore.acquire_many(excess).await else { return };
    let mut state = lock(&state);
    if state.change == change {
        permits.forget();
        state.there_are -= excess as usize;
    }
}

#[cfg(test)]
mod tests {
    use tokio::{sync::OwnedSemaphorePermit, task::yield_now};

    use super::*;

    fn taken(permits: &Permits, count: usize) -> Vec<OwnedSemaphorePermit> {
        let take = || permits.semaphore().try_acquire_owned().expect("there is one");
        (0..count).map(|_| take()).collect()
    }

    #[tokio::test]
    async fn a_raised_limit_lets_in_who_waits() {
        let permits = Permits::new(1);
        let _out = taken(&permits, 1);
        let waiting = tokio::spawn(permits.semaphore().acquire_owned());
        yield_now().await;
        permits.set_limit(2, &runtime::Handle::current());
        let _permit = waiting.await.expect("no panic").expect("open");
        assert_eq!((permits.limit(), permits.in_use()), (2, 2));
    }

    #[tokio::test]
    async fn a_lowered_limit_is_reached_as_permits_come_back_and_before_anybody_gets_one() {
        let permits = Permits::new(10);
        let mut out = taken(&permits, 8);
        permits.set_limit(3, &runtime::Handle::current());
        yield_now().await;
        assert_eq!((permits.limit(), permits.in_use()), (3, 8));
        let waiting = tokio::spawn(permits.semaphore().acquire_owned());
        while out.len() > 2 {
            assert!(!waiting.is_finished(), "{} are out", out.len());
            out.pop();
            yield_now().await;
            yield_now().await;
        }
        let permit = waiting.await.expect("no panic").expect("open");
        assert_eq!(permits.in_use(), 3);
        drop((permit, out));
        yield_now().await;
        assert_eq!((permits.in_use(), permits.semaphore.available_permits()), (0, 3));
    }

    #[tokio::test]
    async fn a_change_of_mind_leaves_exactly_as_many_as_were_asked_for_last() {
        let permits = Permits::new(10);
        let out = taken(&permits, 10);
        let runtime = runtime::Handle::current();
        for limit in [2, 7, 1, 20, 5, 12] {
            permits.set_limit(limit, &runtime);
        }
        drop(out);
        for _ in 0..20 {
            yield_now().await;
        }
        assert_eq!((permits.in_use(), permits.semaphore.available_permits()), (0, 12));
    }
}

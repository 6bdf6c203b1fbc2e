//! The limits of connections of single listeners.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use towline_config::ListenerSettings;

use super::slots::ConnectionTag;
use crate::counts::Rejection;

/// Open connections of the listeners that have a limit of their own.
#[derive(Debug)]
pub(super) struct ListenerLimits(Vec<Option<Limit>>);

#[derive(Debug)]
struct Limit {
    max: usize,
    open: Arc<AtomicUsize>,
}

/// One counted connection; dropping it takes the count back.
#[derive(Debug)]
pub(super) struct ListenerGuard(Arc<AtomicUsize>);

impl ListenerLimits {
    pub(super) fn new(listeners: &[ListenerSettings]) -> Self {
        let limit = |listener: &ListenerSettings| {
            let max = listener.connections?.get() as usize;
            Some(Limit { max, open: Arc::default() })
        };
        Self(listeners.iter().map(limit).collect())
    }

    /// Counts a connection that came by a listener, if that has a limit.
    ///
    /// # Errors
    /// At the limit.
    pub(super) fn acquire(&self, listener: u8) -> Result<Option<ListenerGuard>, Rejection> {
        let Some(Some(limit)) = self.0.get(usize::from(listener)) else { return Ok(None) };
        // Only the acceptor counts up, so the check and the increment need not be one step.
        if limit.open.load(Relaxed) >= limit.max {
            return Err(Rejection::MaxConnections);
        }
        limit.open.fetch_add(1, Relaxed);
        Ok(Some(ListenerGuard(limit.open.clone())))
    }
}

impl Drop for ListenerGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The tag of a connection that also holds `guard`.
pub(super) fn with_guard(
    tag: Option<ConnectionTag>,
    guard: Option<ListenerGuard>,
) -> Option<ConnectionTag> {
    match (tag, guard) {
        (tag, None) => tag,
        (None, Some(guard)) => Some(Box::new(guard)),
        (Some(tag), Some(guard)) => Some(Box::new((tag, guard))),
    }
}

#[cfg(test)]
mod tests {
    use towline_config::Listen;

    use super::*;

    #[test]
    fn a_listener_at_its_limit_rejects_until_one_of_its_connections_ends() {
        let mut listeners: Vec<ListenerSettings> =
            vec![Listen::Unix("/one".into()).into(), Listen::Unix("/two".into()).into()];
        listeners[1].connections = 2.try_into().ok();
        let limits = ListenerLimits::new(&listeners);
        let open: Vec<_> = (0..2).map(|_| limits.acquire(1)).collect();
        assert!(open.iter().all(|guard| matches!(guard, Ok(Some(_)))));
        assert!(matches!(limits.acquire(1), Err(Rejection::MaxConnections)));
        assert!(matches!(limits.acquire(0), Ok(None)), "it has no limit");
        assert!(matches!(limits.acquire(200), Ok(None)), "it is no entry");
        drop(open);
        assert!(matches!(limits.acquire(1), Ok(Some(_))));
    }
}

//! The `/metrics` page: rendered for each request of an honest client, shared when many come.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use hyper::body::Bytes;
use tokio::{sync::Mutex, time::Instant};

use super::{
    StatusSource,
    format::{self, Format},
};
use crate::exporter::Exporter;

/// Most time for which a page is served again.
const CACHE_PERIOD: Duration = Duration::from_millis(250);

/// Renderings in a period before requests get a cached page: 128 per second. More than clients request
/// in earnest, so they always get fresh numbers; and a bound on what clients without a pause can cost.
const RENDERINGS_PER_PERIOD: u32 = 32;

/// Renders the page, one rendering at a time, and shares it among requests.
///
/// A page is at least as new as the page before it. It is newer than its request, unless there are
/// many: then it is at most [`CACHE_PERIOD`] older.
#[derive(Debug)]
pub(super) struct PageRenderer {
    requests: AtomicU64,
    last: Mutex<Rendering>,
}

#[derive(Debug)]
struct Rendering {
    exporter: Exporter,
    budget: Budget,
    /// Requests that had come when `page` was begun.
    requests: u64,
    page: Arc<Page>,
}

/// The renderings of a period.
#[derive(Debug)]
struct Budget {
    period_begun: Instant,
    used: u32,
}

/// One rendering, in the formats in which it was requested.
#[derive(Debug, Default)]
struct Page {
    text: Bytes,
    open_metrics: OnceLock<Bytes>,
}

impl PageRenderer {
    pub(super) fn new(exporter: Exporter) -> Self {
        let (budget, page) = (Budget::new(), Arc::default());
        let last = Rendering { exporter, budget, requests: 0, page };
        Self { requests: AtomicU64::new(0), last: Mutex::new(last) }
    }

    /// The page for a request that came just now.
    pub(super) async fn page(&self, source: &impl StatusSource, format: Format) -> Bytes {
        let request = self.requests.fetch_add(1, Relaxed) + 1;
        // Held while it renders: later requests wait for this rendering.
        let mut last = self.last.lock().await;
        // One that was begun after the request came is as good as a new one.
        if last.requests < request && last.budget.is_left() {
            let requests = self.requests.load(Relaxed);
            let snapshot = source.snapshot().await;
            let mut text = last.exporter.render(&source.state().status(), &snapshot);
            if let Some(user_metrics) = source.user_metrics() {
                user_metrics.append_to(&mut text);
            }
            last.page = Arc::new(Page { text: text.into(), open_metrics: OnceLock::new() });
            last.requests = requests;
            // Not before: what was begun and dropped with its request left no page.
            last.budget.used += 1;
        }
        let page = last.page.clone();
        drop(last);
        page.in_format(format)
    }
}

impl Budget {
    fn new() -> Self {
        Self { period_begun: Instant::now(), used: 0 }
    }

    /// Whether the page may be rendered now. If not, the last one is at most a period old.
    fn is_left(&mut self) -> bool {
        if self.period_begun.elapsed() >= CACHE_PERIOD {
            *self = Self::new();
        }
        self.used < RENDERINGS_PER_PERIOD
    }
}

impl Page {
    fn in_format(&self, format: Format) -> Bytes {
        match format {
            Format::Prometheus => self.text.clone(),
            Format::OpenMetrics => {
                let converted =
                    || format::open_metrics(&String::from_utf8_lossy(&self.text)).into();
                self.open_metrics.get_or_init(converted).clone()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn renders(budget: &mut Budget) -> bool {
        let renders = budget.is_left();
        budget.used += u32::from(renders);
        renders
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_is_cached_from_the_last_rendering_of_a_period_to_its_end() {
        let mut budget = Budget::new();
        for _ in 0..3 {
            assert_eq!((0..100).filter(|_| renders(&mut budget)).count(), 32);
            advance(CACHE_PERIOD - Duration::from_millis(1)).await;
            assert!(!renders(&mut budget));
            advance(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_requests_a_hundred_pages_per_second_never_gets_a_cached_one() {
        let mut budget = Budget::new();
        for _ in 0..1_000 {
            assert!(renders(&mut budget));
            advance(Duration::from_millis(10)).await;
        }
    }
}

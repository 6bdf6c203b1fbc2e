//! A user's own metrics, shown behind the server's.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// A function that renders metrics in Prometheus' text format, called at each rendering of the page.
///
/// The text is appended as it comes. Names that begin with `towline_` or `process_` are the server's:
/// Prometheus rejects a page on which a series appears twice. A panic in the function is logged and
/// leaves its part of the page out.
#[derive(Clone)]
pub struct UserMetrics(Arc<dyn Fn() -> String + Send + Sync>);

impl UserMetrics {
    /// Calls `render` at each rendering of the page. Its time delays the admin endpoint, never lines.
    pub fn new(render: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(render))
    }

    /// Appends the rendered text, terminated by a newline.
    pub(crate) fn append_to(&self, page: &mut String) {
        match catch_unwind(AssertUnwindSafe(|| (self.0)())) {
            Ok(text) if text.is_empty() => {}
            Ok(text) => {
                page.push_str(&text);
                if !text.ends_with('\n') {
                    page.push('\n');
                }
            }
            Err(_) => tracing::error!("the function that renders user metrics panicked"),
        }
    }
}

impl fmt::Debug for UserMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UserMetrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::UserMetrics;

    fn page(render: impl Fn() -> String + Send + Sync + 'static) -> String {
        let mut page = "a 1\n".to_owned();
        UserMetrics::new(render).append_to(&mut page);
        page
    }

    #[test]
    fn the_text_follows_the_servers_own_and_ends_with_a_newline() {
        assert_eq!(page(|| "b 2".into()), "a 1\nb 2\n");
        assert_eq!(page(|| "b 2\nc 3\n".into()), "a 1\nb 2\nc 3\n");
        assert_eq!(page(String::new), "a 1\n");
    }

    #[test]
    fn a_panic_leaves_the_servers_own_metrics_on_the_page() {
        assert_eq!(page(|| panic!("no metrics today")), "a 1\n");
    }
}

//! The formats of `/metrics`: Prometheus' text format and OpenMetrics.

use hyper::{
    HeaderMap,
    header::{ACCEPT, HeaderValue},
};

/// A format that a client can request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// The text format 0.0.4: the answer to clients without a preference.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

const OPEN_METRICS: &str = "application/openmetrics-text";

/// The last line of an OpenMetrics page, and of none in the text format.
const EOF: &str = "# EOF";

impl Format {
    /// The format that the request's `accept` headers prefer.
    pub(super) fn wanted(head: &HeaderMap<HeaderValue>) -> Self {
        let accepted = head.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let (mut open_metrics, mut text) = (0.0, 0.0);
        for range in accepted.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let (mut quality, mut version) = (1.0, None);
            for (key, value) in parts.filter_map(|part| part.split_once('=')) {
                match key.trim() {
                    "q" => quality = value.trim().parse().unwrap_or(0.0),
                    "version" => version = Some(value.trim()),
                    _ => {}
                }
            }
            if name.eq_ignore_ascii_case(OPEN_METRICS) && version.is_none_or(|v| v == "1.0.0") {
                open_metrics = f64::max(open_metrics, quality);
            } else if name.eq_ignore_ascii_case("text/plain") {
                text = f64::max(text, quality);
            }
        }
        if open_metrics > 0.0 && open_metrics >= text {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Converts a page from the text format to OpenMetrics.
///
/// The samples stay byte for byte as they are, so that a series has one identity in both formats. In
/// OpenMetrics a counter's family is named without `_total`, no line is empty, and the last line marks
/// the end of the page.
pub(super) fn open_metrics(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines().filter(|line| !line.is_empty() && *line != EOF) {
        match line.strip_prefix("# ").and_then(|about| about.split_once("_total ")) {
            Some((before, after)) if before.split(' ').count() == 2 => {
                out.extend(["# ", before, " ", after]);
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out.extend([EOF, "\n"]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(accept: &'static str) -> Format {
        let mut head = HeaderMap::new();
        head.insert(ACCEPT, HeaderValue::from_static(accept));
        Format::wanted(&head)
    }

    #[test]
    fn openmetrics_is_chosen_only_where_it_is_preferred() {
        for accept in [
            "application/openmetrics-text",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            // Prometheus 2 and 3.
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,*/*;q=0.1",
        ] {
            assert_eq!(wanted(accept), Format::OpenMetrics, "{accept}");
        }
        for accept in [
            "*/*",
            "",
            "text/plain;version=0.0.4",
            "application/openmetrics-text;version=2.0.0",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0.1, text/plain",
            "application/openmetrics-text;q=much",
        ] {
            assert_eq!(wanted(accept), Format::Prometheus, "{accept}");
        }
        assert_eq!(Format::wanted(&HeaderMap::new()), Format::Prometheus);
    }

    #[test]
    fn an_end_mark_in_the_middle_is_left_out() {
        assert_eq!(open_metrics("a 1\n# EOF\nb 2\n"), "a 1\nb 2\n# EOF\n");
    }

    #[test]
    fn only_family_names_of_counters_lose_total() {
        let text = "# HELP a_total Of b_total or c.\n# TYPE a_total counter\na_total{x=\"y\"} 1\n\n\
                    # HELP d Not one_total of them.\n# TYPE d gauge\nd 2\n";
        assert_eq!(
            open_metrics(text),
            "# HELP a Of b_total or c.\n# TYPE a counter\na_total{x=\"y\"} 1\n\
             # HELP d Not one_total of them.\n# TYPE d gauge\nd 2\n# EOF\n"
        );
    }
}

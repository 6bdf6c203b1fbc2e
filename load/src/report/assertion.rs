//! Assertions about a report, such as `p99<10ms`.

use towline_units::{human, parse_duration, parse_number};

use super::{FanoutReport, Latency, Rates, Report};
use crate::error::LoadError;

/// A comparison of one figure of the report with a number.
///
/// Figures: `min p50 p90 p99 p999 max mean` of the latency (with `service.`, `response.`, `connect.` or
/// `after_ramp.` or, over TLS, `handshake.` in front for those distributions); `lines_per_second mbps_up mbps_down
/// per_connection_kbps` (or with `after_ramp.`); `requested established failed closed_early`;
/// `sent received`; `checked mismatched corrupted duplicated reordered missing unanswered`; of a fan-out
/// `foreign stuck_ended`; of TLS `handshakes_full handshakes_resumed handshakes_failed tls_errors`; `connect reset timeout closed unsent errors`
/// (their sum); `error_lines`; `jain`, `spread.min spread.p1 spread.p50 spread.p99 spread.max`;
/// `cpu_seconds saturated` (0 or 1); `ramp_seconds seconds`. Operators: `< <= > >= == !=`. Times carry a
/// unit (`10ms`); counts take `k` and `m`.
///
/// An assertion about a figure that was not measured is missed, whatever it compares with: a latency of
/// no samples, a rate or the spread without a connection, `mismatched` and `missing` without
/// verification, `foreign` and `stuck_ended` without a fan-out.
#[derive(Clone, Debug, PartialEq)]
pub struct Assertion {
    text: String,
    figure: String,
    operator: &'static str,
    value: f64,
}

const OPERATORS: [&str; 6] = ["<=", ">=", "==", "!=", "<", ">"];
const TIMES: [&str; 7] = ["min", "p50", "p90", "p99", "p999", "max", "mean"];

impl Assertion {
    /// Parses an assertion.
    ///
    /// # Errors
    /// When the figure, the operator or the number is unknown; the sentence names it.
    pub fn parse(text: &str) -> Result<Self, LoadError> {
        let wrong = |what: &str| {
            LoadError::usage(format!(
                "the assertion `{text}` {what}: expected something like p99<10ms"
            ))
        };
        let found = OPERATORS
            .iter()
            .filter_map(|op| text.find(op).map(|at| (at, *op)))
            .min_by_key(|(at, op)| (*at, std::cmp::Reverse(op.len())));
        let (at, operator) = found.ok_or_else(|| wrong("has no comparison"))?;
        let figure = text[..at].trim().to_ascii_lowercase();
        let number = text[at + operator.len()..].trim();
        if !is_figure(&figure) {
            return Err(wrong(&format!("compares `{figure}`, which no report has")));
        }
        let value = if is_time(&figure) {
            // Without a unit, `p99<10` would mean ten seconds to the parser and ten milliseconds or
            // microseconds to most people.
            let duration = parse_duration(number).ok().filter(|_| number.ends_with('s'));
            duration.map(|d| d.as_secs_f64() * 1e6)
        } else {
            parse_number(number).ok()
        };
        let value = value.ok_or_else(|| {
            let unit = if is_time(&figure) { " with us, ms or s" } else { "" };
            wrong(&format!("compares with `{number}`, which is not a number{unit}"))
        })?;
        Ok(Self { text: text.to_owned(), figure, operator, value })
    }

    /// A sentence if the report does not meet the assertion.
    pub(super) fn missed_by(&self, report: &Report) -> Option<String> {
        let Figure::Measured(measured) = figure(report, &self.figure)? else {
            return Some(format!(
                "the assertion {} was missed: {} has no samples",
                self.text, self.figure
            ));
        };
        let met = match self.operator {
            "<" => measured < self.value,
            "<=" => measured <= self.value,
            ">" => measured > self.value,
            ">=" => measured >= self.value,
            "!=" => measured != self.value,
            _ => measured == self.value,
        };
        let shown = if is_time(&self.figure) {
            human::nanos((measured * 1000.0) as u64)
        } else {
            format!("{measured}")
        };
        (!met)
            .then(|| format!("the assertion {} was missed: {} is {shown}", self.text, self.figure))
    }
}

fn is_time(figure: &str) -> bool {
    let (of, name) = figure.rsplit_once('.').unwrap_or(("latency", figure));
    of != "spread" && TIMES.contains(&name)
}

/// A figure of a report.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Figure {
    Measured(f64),
    NoSamples,
}

impl Figure {
    fn if_measured(measured: bool, value: f64) -> Self {
        if measured { Self::Measured(value) } else { Self::NoSamples }
    }
}

/// Whether reports have a figure of this name.
fn is_figure(name: &str) -> bool {
    let paced = Report {
        service_us: Some(Latency::default()),
        response_us: Some(Latency::default()),
        ..Report::default()
    };
    figure(&paced, name).is_some()
}

/// The figure of a name; `None` if reports have none of this name.
fn figure(report: &Report, name: &str) -> Option<Figure> {
    if let Some((of, name)) = name.split_once('.') {
        return match of {
            "latency" => latency(&report.latency_us, name),
            "service" => latency(report.service_us.as_ref().unwrap_or(&report.latency_us), name),
            "response" => latency(report.response_us.as_ref().unwrap_or(&report.latency_us), name),
            "connect" => latency(&report.connect_us, name),
            "handshake" => {
                latency(&report.tls.as_ref().map(|tls| tls.handshake_us).unwrap_or_default(), name)
            }
            "after_ramp" => latency(&report.after_ramp.latency_us, name).or_else(|| {
                rate(report, report.after_ramp.seconds, &report.after_ramp.rates, name)
            }),
            "spread" => spread(report, name),
            _ => None,
        };
    }
    let (errors, verify) = (&report.errors, &report.verify);
    let count = match name {
        "requested" => report.connections.requested,
        "established" => report.connections.established,
        "failed" => report.connections.failed,
        "closed_early" => report.connections.closed_early,
        "sent" => report.lines.sent,
        "received" => report.lines.received,
        "checked" => verify.checked,
        "mismatched" | "missing" if verify.checked + verify.missing == 0 => {
            return Some(Figure::NoSamples);
        }
        "mismatched" => verify.mismatched,
        "missing" => verify.missing,
        "unanswered" => verify.unanswered,
        "connect" => errors.connect,
        "reset" => errors.reset,
        "timeout" => errors.timeout,
        "closed" => errors.closed,
        "unsent" => errors.unsent,
        "errors" => errors.connect + errors.reset + errors.timeout + errors.closed + errors.unsent,
        "corrupted" | "duplicated" | "reordered" if verify.checked + verify.missing == 0 => {
            return Some(Figure::NoSamples);
        }
        "corrupted" => verify.corrupted,
        "duplicated" => verify.duplicated,
        "reordered" => verify.reordered,
        "foreign" | "stuck_ended" => {
            let of = |fanout: &FanoutReport| match name {
                "foreign" => fanout.foreign as f64,
                _ => fanout.stuck_ended as f64,
            };
            return Some(
                report.fanout.as_ref().map_or(Figure::NoSamples, |f| Figure::Measured(of(f))),
            );
        }
        "handshakes_full" | "handshakes_resumed" | "handshakes_failed" | "tls_errors" => {
            let count = report.tls.as_ref().map(|tls| tls.count(name) as f64);
            return Some(count.map_or(Figure::NoSamples, Figure::Measured));
        }
        "error_lines" => report.error_lines.values().sum(),
        "saturated" => {
            // No event loop ran for long enough to tell.
            let known = !report.generator.busiest.is_empty();
            return Some(Figure::if_measured(known, report.generator.saturated.into()));
        }
        "jain" => return spread(report, name),
        "cpu_seconds" => return Some(Figure::Measured(report.generator.cpu_seconds)),
        "ramp_seconds" => return Some(Figure::Measured(report.ramp_seconds)),
        "seconds" => return Some(Figure::Measured(report.seconds)),
        _ => {
            return latency(&report.latency_us, name)
                .or_else(|| rate(report, report.seconds, &report.rates, name));
        }
    };
    Some(Figure::Measured(count as f64))
}

fn latency(of: &Latency, name: &str) -> Option<Figure> {
    let value = match name {
        "min" => of.min as f64,
        "p50" => of.p50 as f64,
        "p90" => of.p90 as f64,
        "p99" => of.p99 as f64,
        "p999" => of.p999 as f64,
        "max" => of.max as f64,
        "mean" => of.mean,
        _ => return None,
    };
    Some(Figure::if_measured(of.count > 0, value))
}

fn rate(report: &Report, seconds: f64, of: &Rates, name: &str) -> Option<Figure> {
    let value = match name {
        "lines_per_second" => of.lines_per_second,
        "mbps_up" => of.mbps_up,
        "mbps_down" => of.mbps_down,
        "per_connection_kbps" => of.per_connection_kbps,
        _ => return None,
    };
    Some(Figure::if_measured(seconds > 0.0 && has_connections(report), value))
}

fn spread(report: &Report, name: &str) -> Option<Figure> {
    let of = &report.spread;
    let count = match name {
        "min" => of.min,
        "p1" => of.p1,
        "p50" => of.p50,
        "p99" => of.p99,
        "max" => of.max,
        // Of connections that all received nothing the index is 0/0.
        "jain" => return Some(Figure::if_measured(of.squares > 0.0, of.jain)),
        _ => return None,
    };
    Some(Figure::if_measured(has_connections(report), count as f64))
}

/// Whether the report has the figures of a connection.
fn has_connections(report: &Report) -> bool {
    report.connections.established > 0 && report.histograms.lines_per_connection.count() > 0
}

#[cfg(test)]
mod tests {
    use super::super::Verification;
    use super::*;

    fn report() -> Report {
        let latency_us = Latency { count: 1, p99: 9_000, ..Latency::default() };
        let verify = Verification { checked: 1, ..Verification::default() };
        Report { latency_us, verify, ..Report::default() }
    }

    #[test]
    fn a_missed_assertion_names_the_measured_value() {
        assert_eq!(Assertion::parse("p99<10ms").unwrap().missed_by(&report()), None);
        let missed = Assertion::parse("p99 < 1.5ms").unwrap().missed_by(&report()).unwrap();
        assert!(missed.contains("9.00 ms"), "{missed}");
        assert!(Assertion::parse("mismatched==0").unwrap().missed_by(&report()).is_none());
        assert!(Assertion::parse("lines_per_second>=1k").unwrap().missed_by(&report()).is_some());
    }

    #[test]
    fn an_assertion_about_a_figure_that_was_not_measured_is_missed() {
        let nothing = Report::default();
        for text in [
            "p99<10ms",
            "connect.max<1s",
            "after_ramp.mean>=0s",
            "lines_per_second<1k",
            "after_ramp.mbps_up>=0",
            "per_connection_kbps==0",
            "jain>0.9",
            "spread.min==0",
            "mismatched==0",
            "missing==0",
            "duplicated==0",
            "foreign==0",
            "handshake.p99<1s",
            "handshakes_failed==0",
            "stuck_ended==0",
            "saturated==0",
        ] {
            let missed = Assertion::parse(text).unwrap().missed_by(&nothing).unwrap();
            assert!(missed.contains("no samples"), "{text}: {missed}");
        }
        for text in ["established==0", "sent==0", "errors==0", "checked==0", "unanswered==0"] {
            assert_eq!(Assertion::parse(text).unwrap().missed_by(&nothing), None, "{text}");
        }
    }

    #[test]
    fn unknown_figures_operators_and_numbers_are_refused() {
        for bad in ["p99", "p98<1ms", "p99<10", "p99<fast", "jain>x", "<1ms", "spread.min<1ms"] {
            assert!(Assertion::parse(bad).is_err(), "{bad}");
        }
    }
}

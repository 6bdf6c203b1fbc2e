//! Handles of the `metrics` façade for counters and gauges, set at each scrape.

use metrics::{Counter, Gauge, Key, KeyName, Label, Level, Metadata, Recorder};

use super::family::{Family, Labels, Values};

/// Handles, in the order of the families' series.
pub(super) struct Handles {
    counters: Vec<Counter>,
    gauges: Vec<Gauge>,
}

impl Handles {
    /// Registers every series with the façade's recorder.
    pub(super) fn new(recorder: &impl Recorder, families: &[Family]) -> Self {
        const METADATA: Metadata<'static> = Metadata::new("towline", Level::INFO, None);
        let key = |name: &'static str, labels: &Labels| {
            let labels = labels.iter().map(|(name, value)| Label::new(*name, value.clone()));
            Key::from_parts(name, labels.collect::<Vec<_>>())
        };
        let (mut counters, mut gauges) = (Vec::new(), Vec::new());
        for Family { name, help, values } in families {
            let described = KeyName::from_const_str(name);
            match values {
                Values::Counter(series) => {
                    recorder.describe_counter(described, None, (*help).into());
                    counters.extend(series.iter().map(|(labels, _)| {
                        recorder.register_counter(&key(name, labels), &METADATA)
                    }));
                }
                Values::Gauge(series) => {
                    recorder.describe_gauge(described, None, (*help).into());
                    gauges.extend(
                        series.iter().map(|(labels, _)| {
                            recorder.register_gauge(&key(name, labels), &METADATA)
                        }),
                    );
                }
                Values::Info(_) | Values::Seconds(_) | Values::Histogram(..) => {}
            }
        }
        Self { counters, gauges }
    }

    /// Sets every series to its value in `families`, which are those of [`new`](Self::new).
    pub(super) fn set(&self, families: &[Family]) {
        let (mut counters, mut gauges) = (self.counters.iter(), self.gauges.iter());
        for Family { values, .. } in families {
            match values {
                Values::Counter(series) => {
                    for ((_, value), counter) in series.iter().zip(&mut counters) {
                        counter.absolute(*value);
                    }
                }
                Values::Gauge(series) => {
                    for ((_, value), gauge) in series.iter().zip(&mut gauges) {
                        gauge.set(*value);
                    }
                }
                Values::Info(_) | Values::Seconds(_) | Values::Histogram(..) => {}
            }
        }
    }
}

//! The latency over time as an HdrHistogram log.

use std::time::{Duration, SystemTime};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;

use super::Report;
use crate::error::LoadError;
use crate::histogram::Hist;

impl Report {
    /// The latency as an HdrHistogram interval log (V2, compressed), which other tools read. It has one
    /// histogram of nanoseconds for every interval in which a line was timed; the maxima in its third
    /// column are in milliseconds.
    ///
    /// # Errors
    /// When a histogram of the report cannot be decoded, because the report was edited.
    pub fn hdr_log(&self) -> Result<Vec<u8>, LoadError> {
        let broken = |e: String| LoadError::failed(format!("the log cannot be written: {e}"));
        let started = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(self.started_unix.max(0.0));
        let mut out = Vec::new();
        let mut serializer = V2DeflateSerializer::new();
        let mut log = IntervalLogWriterBuilder::new()
            .add_comment(&format!("[Logged with towline load, {} at {}]", self.mode, self.target))
            .add_comment("[Histogram log format version 1.2]")
            .with_base_time(started)
            .with_start_time(started)
            .with_max_value_divisor(1e6)
            .begin_log_with(&mut out, &mut serializer)
            .map_err(|e| broken(e.to_string()))?;
        for interval in self.timeline.iter().filter(|i| !i.histogram.is_empty()) {
            let hist = Hist::from_text(&interval.histogram).map_err(broken)?;
            let (at, length) = (interval.at.max(0.0), interval.seconds.max(0.0));
            log.write_histogram(
                hist.inner(),
                Duration::from_secs_f64(at),
                Duration::from_secs_f64(length),
                None,
            )
            .map_err(|e| broken(format!("{e:?}")))?;
        }
        Ok(out)
    }
}

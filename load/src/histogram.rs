//! A histogram that merges exactly and has a text form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

/// An HdrHistogram with three significant digits, of nanoseconds or of any other count.
///
/// Grows with its values: 16 KiB when new, about 120 KiB with values of ten milliseconds. Its text form
/// is the base64 of the compressed V2 encoding, as in `.hdr` logs, which other tools read.
#[derive(Clone, Debug)]
pub struct Hist(hdrhistogram::Histogram<u64>);

impl Default for Hist {
    fn default() -> Self {
        let hist = hdrhistogram::Histogram::new(3);
        Self(hist.expect("three significant digits are always a valid precision"))
    }
}

impl Hist {
    /// Counts `value` `times` times.
    pub(crate) fn record(&mut self, value: u64, times: u64) {
        // The histogram resizes itself, so it fails only beyond the address space.
        let _ = self.0.record_n(value, times);
    }

    /// Adds the values of `other`. Merging is exact.
    pub fn add(&mut self, other: &Self) {
        if !other.0.is_empty() {
            // Both resize themselves and have the same precision, so no value is out of range.
            let _ = self.0.add(&other.0);
        }
    }

    /// The underlying histogram.
    pub fn inner(&self) -> &hdrhistogram::Histogram<u64> {
        &self.0
    }

    /// The number of values.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The value at a quantile between 0 and 1; 0 if there are no values.
    pub fn at(&self, quantile: f64) -> u64 {
        if self.0.is_empty() { 0 } else { self.0.value_at_quantile(quantile) }
    }

    /// The least value; 0 if there are no values.
    pub fn min(&self) -> u64 {
        if self.0.is_empty() { 0 } else { self.0.min() }
    }

    /// The greatest value; 0 if there are no values.
    pub fn max(&self) -> u64 {
        self.0.max()
    }

    /// The mean; 0 if there are no values.
    pub fn mean(&self) -> f64 {
        if self.0.is_empty() { 0.0 } else { self.0.mean() }
    }

    /// Encodes the histogram as text.
    pub(crate) fn to_text(&self) -> Result<String, String> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&self.0, &mut bytes).map_err(|e| e.to_string())?;
        Ok(STANDARD.encode(bytes))
    }

    /// Decodes what [`to_text`](Self::to_text) returned.
    pub(crate) fn from_text(text: &str) -> Result<Self, String> {
        let bytes = STANDARD.decode(text).map_err(|e| e.to_string())?;
        let mut hist: hdrhistogram::Histogram<u64> =
            Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(|e| e.to_string())?;
        hist.auto(true);
        Ok(Self(hist))
    }
}

impl Serialize for Hist {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_text().map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Hist {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_text(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_carries_every_value_and_merging_is_exact() {
        let (mut one, mut two, mut both) = (Hist::default(), Hist::default(), Hist::default());
        for value in [1, 999, 35_000, 1_000_000_007, 3_600_000_000_000] {
            one.record(value, 3);
            two.record(value / 7 + 1, 2);
            both.record(value, 3);
            both.record(value / 7 + 1, 2);
        }
        let text = serde_json::to_string(&two).unwrap();
        one.add(&serde_json::from_str(&text).unwrap());
        assert_eq!(one.inner(), both.inner());
    }
}

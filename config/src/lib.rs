//! Settings of the server: what can be set, and how files, environment and flags become one
//! validated whole. Plain data; knows no socket, no layer and no clock.

mod settings;

use std::collections::BTreeMap;

pub use settings::*;

/// Settings together with where each value came from.
#[derive(Debug, Clone)]
pub struct Effective {
    /// The validated settings.
    pub settings: Settings,
    /// For each key of DESIGN's table, in dotted spelling, where its value came from.
    pub origins: BTreeMap<&'static str, String>,
}

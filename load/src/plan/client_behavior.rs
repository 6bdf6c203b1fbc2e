//! What a connection does: follow the mode, or misbehave.

use serde::{Deserialize, Serialize};

use crate::error::LoadError;

/// How a client behaves: well, or badly in one of the ways that servers meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientBehavior {
    /// Follows the mode, and is measured.
    WellBehaved,
    /// Sends a byte every interval and never finishes the line.
    Slowloris,
    /// Sends whole lines, one byte every interval.
    Trickle,
    /// Floods and never reads a reply.
    NeverRead,
    /// Sends one line, then neither reads, writes nor answers heartbeats, like a client that vanished.
    HalfOpen,
    /// Sends one line, resets the connection (RST) after an interval, and connects again.
    Reset,
    /// Connects, exchanges one line, closes, and connects again at once.
    Churn,
    /// Sends a thousand lines at once every interval, and nothing in between.
    Burst,
}

impl ClientBehavior {
    /// Every behavior, in the order of reports.
    pub const ALL: [Self; 8] = [
        Self::WellBehaved,
        Self::Slowloris,
        Self::Trickle,
        Self::NeverRead,
        Self::HalfOpen,
        Self::Reset,
        Self::Churn,
        Self::Burst,
    ];

    /// The name that `--persona` and `--mix` take.
    pub fn name(self) -> &'static str {
        match self {
            Self::WellBehaved => "polite",
            Self::Slowloris => "slowloris",
            Self::Trickle => "trickle",
            Self::NeverRead => "never-read",
            Self::HalfOpen => "half-open",
            Self::Reset => "reset",
            Self::Churn => "churn",
            Self::Burst => "burst",
        }
    }

    /// Parses the name of a behavior.
    ///
    /// # Errors
    /// When there is no such behavior; the sentence lists all of them.
    pub fn parse(name: &str) -> Result<Self, LoadError> {
        Self::ALL.into_iter().find(|r| r.name() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|r| r.name()).collect();
            LoadError::usage(format!(
                "`{name}` is not a persona: expected one of {}",
                known.join(", ")
            ))
        })
    }
}

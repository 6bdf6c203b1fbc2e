//! The parts a connection can play.

use serde::{Deserialize, Serialize};

use crate::error::LoadError;

/// How a connection behaves: well, or badly in one of the ways servers meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientBehavior {
    /// Does what the mode says, and is measured.
    WellBehaved,
    /// Sends a byte every interval and never ends the line.
    Slowloris,
    /// Sends whole lines, a byte every interval.
    Trickle,
    /// Floods and never reads a reply.
    NeverRead,
    /// Sends one line, then neither reads, writes nor answers heartbeats: a peer that vanished.
    HalfOpen,
    /// Sends a line every interval, resets the connection (RST) and comes back.
    Reset,
    /// Connects, exchanges one line, closes, and comes back at once.
    Churn,
    /// Says nothing, then sends a thousand lines at once, every interval.
    Burst,
}

impl ClientBehavior {
    /// Every role, in the order of reports.
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

    /// The role as `--persona` and `--mix` spell it.
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

    /// Reads a role by its name.
    ///
    /// # Errors
    /// When there is no such role; the sentence lists them.
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

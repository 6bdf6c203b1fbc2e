//! The parts a connection can play.

use serde::{Deserialize, Serialize};

use towline_units::parse_count;

use crate::error::LoadError;

/// How a connection behaves: well, or badly in one of the ways servers meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Does what the mode says, and is measured.
    Polite,
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

impl Role {
    /// Every role, in the order of reports.
    pub const ALL: [Self; 8] = [
        Self::Polite,
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
            Self::Polite => "polite",
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

/// So many connections in one role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The role.
    pub role: Role,
    /// How many connections play it.
    pub connections: u32,
}

impl Group {
    /// Reads `polite=900,never-read=100`.
    ///
    /// # Errors
    /// When an entry is not `role=count`, or names no role.
    pub fn parse_mix(text: &str) -> Result<Vec<Self>, LoadError> {
        text.split(',')
            .map(|entry| {
                let (name, number) = entry.split_once('=').ok_or_else(|| {
                    LoadError::usage(format!(
                        "`{entry}` in the mix is not understood: expected ROLE=COUNT, such as never-read=100"
                    ))
                })?;
                let count = parse_count(number).map_err(|error| {
                    LoadError::usage(format!(
                        "`{number}` in the mix {error}: expected a whole number, such as 100 or 10k"
                    ))
                })?;
                let connections = u32::try_from(count).map_err(|_too_many| {
                    LoadError::usage(format!("`{entry}` in the mix is more than 4,294,967,295"))
                })?;
                Ok(Self { role: Role::parse(name)?, connections })
            })
            .collect()
    }
}

/// Deals roles out so that every stretch of connections holds the same mixture: each group is credited
/// its share with every connection, and the one with the most credit plays next.
#[derive(Debug)]
pub(crate) struct Dealer {
    groups: Vec<(Group, i64)>,
    total: i64,
}

impl Dealer {
    pub(crate) fn new(mix: &[Group], connections: u32) -> Self {
        let all = [Group { role: Role::Polite, connections }];
        let mix = if mix.is_empty() { &all } else { mix };
        Self {
            groups: mix.iter().map(|g| (*g, 0)).collect(),
            total: mix.iter().map(|g| i64::from(g.connections)).sum(),
        }
    }

    pub(crate) fn deal(&mut self) -> Role {
        for (group, credit) in &mut self.groups {
            *credit += i64::from(group.connections);
        }
        let next = self.groups.iter_mut().max_by_key(|(_, credit)| *credit);
        next.map_or(Role::Polite, |(group, credit)| {
            *credit -= self.total;
            group.role
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_dealt_evenly_and_exactly() {
        let mix = Group::parse_mix("polite=900,never-read=95,churn=5").unwrap();
        let mut dealer = Dealer::new(&mix, 1000);
        let dealt: Vec<Role> = (0..1000).map(|_| dealer.deal()).collect();
        let count = |role, of: &[Role]| of.iter().filter(|r| **r == role).count();
        assert_eq!(count(Role::Polite, &dealt), 900);
        assert_eq!(count(Role::NeverRead, &dealt), 95);
        assert_eq!(count(Role::Churn, &dealt), 5);
        for hundred in dealt.chunks(100) {
            assert!((9..=10).contains(&count(Role::NeverRead, hundred)));
        }
    }

    #[test]
    fn an_unknown_persona_is_answered_with_the_known_ones() {
        let error = Group::parse_mix("rude=3").unwrap_err().to_string();
        assert!(error.contains("slowloris"), "{error}");
        assert!(Group::parse_mix("polite").is_err());
    }
}

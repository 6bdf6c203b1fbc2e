//! How many connections behave in which way, and which connection is which.

use serde::{Deserialize, Serialize};
use towline_units::parse_count;

use super::ClientBehavior;
use crate::error::LoadError;

/// A number of connections with the same behavior.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BehaviorGroup {
    /// What the connections do.
    pub behavior: ClientBehavior,
    /// The number of connections.
    pub connections: u32,
}

impl BehaviorGroup {
    /// Parses a list such as `polite=900,never-read=100`.
    ///
    /// # Errors
    /// When an entry is not `behavior=count`, or names an unknown behavior.
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
                Ok(Self { behavior: ClientBehavior::parse(name)?, connections })
            })
            .collect()
    }
}

/// Assigns behaviors to connections by smooth weighted round robin, so that every stretch of connections
/// has the same mixture: each connection credits every group with its size, and the group with the most
/// credit gets the connection and pays the total.
#[derive(Debug)]
pub(crate) struct WeightedRoundRobin {
    groups: Vec<(BehaviorGroup, i64)>,
    total: i64,
}

impl WeightedRoundRobin {
    pub(crate) fn new(mix: &[BehaviorGroup], connections: u32) -> Self {
        let all = [BehaviorGroup { behavior: ClientBehavior::WellBehaved, connections }];
        let mix = if mix.is_empty() { &all } else { mix };
        Self {
            groups: mix.iter().map(|g| (*g, 0)).collect(),
            total: mix.iter().map(|g| i64::from(g.connections)).sum(),
        }
    }

    pub(crate) fn next(&mut self) -> ClientBehavior {
        for (group, credit) in &mut self.groups {
            *credit += i64::from(group.connections);
        }
        let next = self.groups.iter_mut().max_by_key(|(_, credit)| *credit);
        next.map_or(ClientBehavior::WellBehaved, |(group, credit)| {
            *credit -= self.total;
            group.behavior
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaviors_are_assigned_evenly_and_exactly() {
        let mix = BehaviorGroup::parse_mix("polite=900,never-read=95,churn=5").unwrap();
        let mut mix = WeightedRoundRobin::new(&mix, 1000);
        let assigned: Vec<ClientBehavior> = (0..1000).map(|_| mix.next()).collect();
        let count = |behavior, of: &[ClientBehavior]| of.iter().filter(|r| **r == behavior).count();
        assert_eq!(count(ClientBehavior::WellBehaved, &assigned), 900);
        assert_eq!(count(ClientBehavior::NeverRead, &assigned), 95);
        assert_eq!(count(ClientBehavior::Churn, &assigned), 5);
        for hundred in assigned.chunks(100) {
            assert!((9..=10).contains(&count(ClientBehavior::NeverRead, hundred)));
        }
    }

    #[test]
    fn an_error_about_an_unknown_behavior_lists_the_known_ones() {
        let error = BehaviorGroup::parse_mix("rude=3").unwrap_err().to_string();
        assert!(error.contains("slowloris"), "{error}");
        assert!(BehaviorGroup::parse_mix("polite").is_err());
    }
}

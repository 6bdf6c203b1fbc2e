//! Whether a worker process answers.
//!
//! Once per interval the supervisor asks each worker for its counts; every message from it is an answer.
//! Intervals are counted and not time: while the supervisor itself stands still, with its workers or
//! alone, no interval passes.

/// Questions without an answer from which on a process counts as unresponsive: it gets no new
/// connections. One per second.
const UNRESPONSIVE_AFTER: u32 = 3;

/// Questions without an answer after which a process is killed and replaced. One per second: more than a
/// debugger, a core dump or a burst of swapping usually takes.
pub(crate) const KILLED_AFTER: u32 = 30;

/// The answers of one process.
#[derive(Debug, Default)]
pub(crate) struct Liveness {
    unanswered: u32,
}

/// What follows from a question or an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    None,
    /// From now on the process counts as unresponsive.
    Unresponsive,
    /// The process answers again.
    Responsive,
    /// The process has to be replaced.
    Dead,
}

impl Liveness {
    /// Whether the process counts as unresponsive.
    pub(crate) const fn is_unresponsive(&self) -> bool {
        self.unanswered > UNRESPONSIVE_AFTER
    }

    /// Notes a question, one interval after the last one.
    pub(crate) fn asked(&mut self) -> Change {
        let was = self.is_unresponsive();
        self.unanswered += 1;
        match self.is_unresponsive() {
            true if self.unanswered > KILLED_AFTER => Change::Dead,
            true if !was => Change::Unresponsive,
            _ => Change::None,
        }
    }

    /// Notes a message from the process.
    pub(crate) fn answered(&mut self) -> Change {
        let was = self.is_unresponsive();
        self.unanswered = 0;
        if was { Change::Responsive } else { Change::None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_unresponsive_after_three_questions_and_dead_after_thirty() {
        let mut liveness = Liveness::default();
        for _ in 0..10 {
            for _ in 0..UNRESPONSIVE_AFTER {
                assert_eq!(liveness.asked(), Change::None, "it has the interval to answer");
            }
            assert_eq!(liveness.answered(), Change::None);
        }
        for asked in 1..=KILLED_AFTER {
            let unresponsive = asked == UNRESPONSIVE_AFTER + 1;
            let expected = if unresponsive { Change::Unresponsive } else { Change::None };
            assert_eq!(liveness.asked(), expected, "{asked}");
            assert_eq!(liveness.is_unresponsive(), asked > UNRESPONSIVE_AFTER);
        }
        assert_eq!(liveness.asked(), Change::Dead);
    }

    #[test]
    fn an_answer_makes_a_process_responsive_and_the_count_begins_anew() {
        let mut liveness = Liveness::default();
        for _ in 0..3 {
            for _ in 0..KILLED_AFTER {
                assert_ne!(liveness.asked(), Change::Dead);
            }
            assert_eq!(liveness.answered(), Change::Responsive);
            assert!(!liveness.is_unresponsive());
        }
    }
}

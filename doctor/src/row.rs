//! One knob: what it is, what it should be, and what follows.

use super::{Facts, Fix, Side, grouped};

/// Where a knob is set, and for whom it then holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A process, or its control group.
    Process,
    /// A network namespace, so that a container may have its own.
    Namespace,
    /// The whole host.
    Host,
    /// A socket: towline sets it itself, by a setting.
    Socket,
}

impl Scope {
    /// In one or two lower-case words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Namespace => "namespace",
            Self::Host => "host",
            Self::Socket => "kernel option",
        }
    }
}

/// What a row comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As needed.
    Ok,
    /// Cannot be seen from here.
    Unknown,
    /// Works, but with no margin, or worse than it could.
    Warn,
    /// The target is not reached with it.
    Fail,
}

impl Verdict {
    /// In one lower-case word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// A knob, judged for a target.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The kernel's or towline's name for it.
    pub name: &'static str,
    /// Where it is set.
    pub scope: Scope,
    /// Whom it matters to; never [`Side::Both`].
    pub sides: &'static [Side],
    /// What it is now; `None` where it cannot be seen.
    pub value: Option<String>,
    /// What it should be.
    pub need: String,
    /// What follows.
    pub verdict: Verdict,
    /// What happens otherwise.
    pub why: String,
    /// What to do about it; `None` when all is well or nothing can be set.
    pub fix: Option<Fix>,
}

pub(super) const SERVER: &[Side] = &[Side::Server];
pub(super) const OUTGOING: &[Side] = &[Side::Load, Side::Proxy];
pub(super) const ACCEPTING: &[Side] = &[Side::Server, Side::Proxy];
pub(super) const ALL: &[Side] = &[Side::Server, Side::Load, Side::Proxy];

impl Row {
    /// A number that should be `ample`, and must be `floor`. Below the one is a warning, below the
    /// other a failure.
    pub(super) fn at_least(
        name: &'static str,
        (scope, sides): (Scope, &'static [Side]),
        value: Option<u64>,
        (floor, ample): (u64, u64),
    ) -> Self {
        let verdict = match value {
            None => Verdict::Unknown,
            Some(value) if value < floor => Verdict::Fail,
            Some(value) if value < ample => Verdict::Warn,
            Some(_) => Verdict::Ok,
        };
        let shown = |n: u64| if n == u64::MAX { "unlimited".to_owned() } else { grouped(n) };
        Self {
            name,
            scope,
            sides,
            value: value.map(shown),
            need: format!("at least {}", grouped(ample.max(floor))),
            verdict,
            why: String::new(),
            fix: None,
        }
    }

    /// Anything that `holds` or else is only worth a warning.
    pub(super) fn advised(
        name: &'static str,
        (scope, sides): (Scope, &'static [Side]),
        value: Option<impl ToString>,
        need: impl Into<String>,
        holds: Option<bool>,
    ) -> Self {
        Self {
            name,
            scope,
            sides,
            value: value.map(|value| value.to_string()),
            need: need.into(),
            verdict: match holds {
                None => Verdict::Unknown,
                Some(true) => Verdict::Ok,
                Some(false) => Verdict::Warn,
            },
            why: String::new(),
            fix: None,
        }
    }

    /// A kernel knob that should not be more than `most`.
    pub(super) fn at_most(
        name: &'static str,
        at: (Scope, &'static [Side]),
        facts: &Facts,
        most: u64,
    ) -> Self {
        let value = facts.sysctls.number(name);
        let holds = value.map(|value| value <= most);
        Self::advised(name, at, value, format!("at most {}", grouped(most)), holds).set_to(most)
    }

    /// What happens otherwise.
    pub(super) fn because(mut self, why: impl Into<String>) -> Self {
        self.why = why.into();
        self
    }

    /// What to do about it, when something is to be done.
    pub(super) fn fix(mut self, fix: Fix) -> Self {
        if matches!(self.verdict, Verdict::Warn | Verdict::Fail) {
            self.fix = Some(fix);
        }
        self
    }

    /// A kernel knob that should be set to `value`.
    #[expect(clippy::needless_pass_by_value, reason = "numbers and texts, at many calls")]
    pub(super) fn set_to(self, value: impl ToString) -> Self {
        let fix = Fix::Sysctl { key: self.name, value: value.to_string(), scope: self.scope };
        self.fix(fix)
    }

    /// A failure instead of a warning.
    pub(super) fn failing(mut self) -> Self {
        if self.verdict == Verdict::Warn {
            self.verdict = Verdict::Fail;
        }
        self
    }

    /// What is seen, with something beside the bare number.
    pub(super) fn showing(mut self, value: impl Into<String>) -> Self {
        if self.value.is_some() {
            self.value = Some(value.into());
        }
        self
    }

    /// What is needed, in other words.
    pub(super) fn needing(mut self, need: impl Into<String>) -> Self {
        self.need = need.into();
        self
    }

    pub(super) fn matters_to(&self, side: Side) -> bool {
        match side {
            Side::Both => self.sides.iter().any(|one| matches!(one, Side::Server | Side::Load)),
            one => self.sides.contains(&one),
        }
    }
}

//! One checked parameter: its value, the value it needs, and the consequence.

use super::{Facts, Fix, Side, grouped};

/// Where a parameter is set, and what it then applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A process, or its control group.
    Process,
    /// A network namespace; a container usually has its own.
    Namespace,
    /// The whole host.
    Host,
    /// A socket: towline sets it by a setting of its own.
    Socket,
}

impl Scope {
    /// The name in lower case, as printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Namespace => "namespace",
            Self::Host => "host",
            Self::Socket => "kernel option",
        }
    }
}

/// The judgement on a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The value is as needed.
    Ok,
    /// The value cannot be read from here.
    Unknown,
    /// It works, but without margin, or worse than it could.
    Warn,
    /// The target cannot be reached with this value.
    Fail,
}

impl Verdict {
    /// The name in lower case, as printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// A parameter, judged for a target.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The kernel's or towline's name for it.
    pub name: &'static str,
    /// Where it is set.
    pub scope: Scope,
    /// The sides for which it matters; never [`Side::Both`].
    pub sides: &'static [Side],
    /// The current value; `None` where it cannot be read.
    pub value: Option<String>,
    /// The needed value.
    pub need: String,
    /// The judgement.
    pub verdict: Verdict,
    /// The consequence of a wrong value.
    pub why: String,
    /// The change to make; `None` when the value is right or cannot be changed.
    pub fix: Option<Fix>,
}

pub(super) const SERVER: &[Side] = &[Side::Server];
pub(super) const OUTGOING: &[Side] = &[Side::Load, Side::Proxy];
pub(super) const ACCEPTING: &[Side] = &[Side::Server, Side::Proxy];
pub(super) const ALL: &[Side] = &[Side::Server, Side::Load, Side::Proxy];

impl Row {
    /// A number that should be at least `ample` (else a warning) and must be at least `floor` (else a
    /// failure).
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

    /// A condition that is a warning unless it `holds`.
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

    /// A kernel parameter that should be at most `most`.
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

    /// Sets the consequence of a wrong value.
    pub(super) fn because(mut self, why: impl Into<String>) -> Self {
        self.why = why.into();
        self
    }

    /// Sets the fix, if the verdict is a warning or a failure.
    pub(super) fn fix(mut self, fix: Fix) -> Self {
        if matches!(self.verdict, Verdict::Warn | Verdict::Fail) {
            self.fix = Some(fix);
        }
        self
    }

    /// Sets the fix: the kernel parameter set to `value`.
    #[expect(clippy::needless_pass_by_value, reason = "numbers and texts, at many calls")]
    pub(super) fn set_to(self, value: impl ToString) -> Self {
        let fix = Fix::Sysctl { key: self.name, value: value.to_string(), scope: self.scope };
        self.fix(fix)
    }

    /// Turns a warning into a failure.
    pub(super) fn failing(mut self) -> Self {
        if self.verdict == Verdict::Warn {
            self.verdict = Verdict::Fail;
        }
        self
    }

    /// Replaces the printed value, if there is a value.
    pub(super) fn showing(mut self, value: impl Into<String>) -> Self {
        if self.value.is_some() {
            self.value = Some(value.into());
        }
        self
    }

    /// Replaces the printed need.
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

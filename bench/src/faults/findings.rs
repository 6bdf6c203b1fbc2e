//! What was demanded beside what was measured, as a table that knows how much of it was missed.

use std::fmt;

/// A figure, as demanded and as it is.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) demanded: String,
    pub(crate) measured: String,
    pub(crate) met: bool,
}

/// The findings about some attacks.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    rows: String,
    missed: usize,
}

impl Verdict {
    /// About one attack.
    pub(crate) fn of(name: &str, what: &str, findings: &[Finding]) -> Self {
        let mut verdict = Self::default();
        verdict.add(name, what, findings);
        verdict
    }

    pub(crate) fn add(&mut self, name: &str, what: &str, findings: &[Finding]) {
        for (at, Finding { demanded, measured, met }) in findings.iter().enumerate() {
            let (name, what) = if at == 0 { (name, what) } else { ("", "") };
            let met = if *met { "ok" } else { "**missed**" };
            self.rows += &format!("| {name} | {what} | {demanded} | {measured} | {met} |\n");
        }
        self.missed += findings.iter().filter(|finding| !finding.met).count();
    }

    /// Figures that are not what was demanded.
    pub(crate) const fn missed(&self) -> usize {
        self.missed
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("| attack | by | demanded | measured | |\n|---|---|---|---|---|\n")?;
        f.write_str(&self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_names_an_attack_once_and_counts_what_was_missed() {
        let finding = |met| Finding { demanded: "2".into(), measured: "3".into(), met };
        let verdict = Verdict::of("1-name", "what", &[finding(true), finding(false)]);
        let table = verdict.to_string();
        assert!(table.ends_with("| 1-name | what | 2 | 3 | ok |\n|  |  | 2 | 3 | **missed** |\n"));
        assert_eq!(verdict.missed(), 1);
    }
}

//! A table of demanded and measured figures that counts the missed ones.

use std::fmt;

/// A figure: its bound, its value, and whether the bound was met.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) demanded: String,
    pub(crate) measured: String,
    pub(crate) met: bool,
}

/// The findings of some runs, as rows of a table.
#[derive(Debug, Default)]
pub(crate) struct FindingsTable {
    rows: String,
    missed: usize,
}

impl FindingsTable {
    /// The table of one run.
    pub(crate) fn of(name: &str, what: &str, findings: &[Finding]) -> Self {
        let mut table = Self::default();
        table.add(name, what, findings);
        table
    }

    /// Adds the findings of a run; its name and description stand in the first row.
    pub(crate) fn add(&mut self, name: &str, what: &str, findings: &[Finding]) {
        for (at, Finding { demanded, measured, met }) in findings.iter().enumerate() {
            let (name, what) = if at == 0 { (name, what) } else { ("", "") };
            let met = if *met { "ok" } else { "**missed**" };
            self.rows += &format!("| {name} | {what} | {demanded} | {measured} | {met} |\n");
        }
        self.missed += findings.iter().filter(|finding| !finding.met).count();
    }

    /// Number of bounds missed.
    pub(crate) const fn missed(&self) -> usize {
        self.missed
    }
}

impl fmt::Display for FindingsTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("| run | what | demanded | measured | |\n|---|---|---|---|---|\n")?;
        f.write_str(&self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_once_and_missed_bounds_are_counted() {
        let finding = |met| Finding { demanded: "2".into(), measured: "3".into(), met };
        let findings = FindingsTable::of("1-name", "what", &[finding(true), finding(false)]);
        let table = findings.to_string();
        assert!(table.ends_with("| 1-name | what | 2 | 3 | ok |\n|  |  | 2 | 3 | **missed** |\n"));
        assert_eq!(findings.missed(), 1);
    }
}

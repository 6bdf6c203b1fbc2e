//! The head of a page: its title and its NAME.

use clap_mangen::roff::{Roff, bold, roman};

/// What a page is called and is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Title<'a> {
    pub(super) name: &'a str,
    pub(super) section: u8,
    /// One line without a full stop, which `apropos` searches.
    pub(super) about: &'a str,
    /// `YYYY-MM-DD`, or empty.
    pub(super) date: &'a str,
}

impl Title<'_> {
    /// `towline.1`
    pub(super) fn file_name(&self) -> String {
        format!("{}.{}", self.name, self.section)
    }

    /// A page that has its head.
    pub(super) fn page(&self) -> Roff {
        let mut roff = Roff::new();
        let section = self.section.to_string();
        let source = concat!("towline ", env!("CARGO_PKG_VERSION"));
        roff.control("TH", [&*self.name.to_uppercase(), &section, self.date, source, "Towline"]);
        roff.control("SH", ["NAME"]);
        roff.text([roman(format!("{} - {}", self.name, self.about))]);
        roff
    }
}

/// Adds SEE ALSO with these pages, but for `own`.
pub(super) fn see_also(roff: &mut Roff, own: &Title<'_>, pages: &[(&str, u8)]) {
    roff.control("SH", ["SEE ALSO"]);
    let others = pages.iter().filter(|(name, _)| *name != own.name);
    let mut line = Vec::new();
    for (name, section) in others {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.push(bold(*name));
        line.push(roman(format!("({section})")));
    }
    roff.text(line);
}

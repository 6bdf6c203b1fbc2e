//! The table as one self-contained HTML page, light and dark.

use std::fmt::Write as _;

use super::result::Table;
use super::text::Units;
use super::{ADDRESS, TITLE};

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1c2733;--dim:#5b6b7b;--line:#dde3ea;--paper:#fff;--mark:#0b67c2}
@media(prefers-color-scheme:dark){:root{--ink:#e3e9f0;--dim:#93a3b3;--line:#2b3743;--paper:#12181f;
--mark:#6cb2f5}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:72rem;
margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{text-align:right;padding:.25rem .6rem;border-top:1px solid var(--line);white-space:nowrap}
th:first-child{text-align:left}.aside{color:var(--dim)}.aside th{font-weight:400;padding-left:1.6rem}
.aside td,.aside th{border-top:0;padding-top:0}dt{font-weight:600}dd{margin:0 0 .6rem 1rem}
b{color:var(--mark)}";

impl Table {
    /// The table as an HTML page without external resources.
    pub(super) fn html(&self) -> String {
        let h = &self.host;
        let mut out = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>towline bench article</title>\
             <style>{STYLE}</style><h1>Benchmark of the article on this host</h1>\
             <p>The article is <a href=\"{ADDRESS}\">{TITLE}</a>.</p>\
             <p>{}, {} cores for this, {} GiB, Linux {}; {} descriptors a process; scale {}, {} s a column \
             after its ramp; towline {}. Our figures first, the article's (c5.2xlarge) below them.</p>\
             <div class=\"wide\"><table><tr><th></th>",
            escape(&h.cpu),
            h.cores,
            h.memory_gib,
            escape(&h.kernel),
            h.descriptors,
            self.scale,
            self.duration_seconds,
            h.version
        );
        for column in &self.columns {
            let _ = write!(out, "<th>{}</th>", escape(&column.title));
        }
        out.push_str("</tr>");
        for row in self.rows(Units::Article) {
            let class = if row.aside { " class=\"aside\"" } else { "" };
            let _ = write!(out, "<tr{class}><th>{}</th>", escape(row.name.trim()));
            for cell in row.cells {
                let _ = write!(out, "<td>{}</td>", escape(&cell));
            }
            out.push_str("</tr>");
        }
        out.push_str("</table></div><h2>What limited each column</h2><dl>");
        for column in &self.columns {
            let _ = write!(
                out,
                "<dt>{}</dt><dd><b>{}</b></dd>",
                escape(&column.title),
                escape(&column.diagnosis.sentence)
            );
            if let Some(comparison) = column.comparison() {
                let _ = write!(out, "<dd>{}</dd>", escape(&comparison));
            }
            out.push_str("<dd class=\"aside\"><details><summary>Evidence</summary><table>");
            for (name, value) in &column.diagnosis.evidence {
                let name = name.replace('_', " ");
                let _ = write!(out, "<tr><th>{name}</th><td>{value}</td></tr>");
            }
            out.push_str("</table></details></dd>");
            for note in column.measured.iter().flat_map(|m| &m.notes) {
                let _ = write!(out, "<dd>{}</dd>", escape(note));
            }
        }
        out.push_str("</dl><h2>How the figures are computed</h2><dl>");
        for (row, formula) in &self.formulas {
            let _ = write!(out, "<dt>{}</dt><dd>{}</dd>", escape(row), escape(formula));
        }
        out.push_str("</dl></html>\n");
        out
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

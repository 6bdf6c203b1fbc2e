//! The table as one self-contained page, light and dark.

use std::fmt::Write as _;

use super::result::Table;

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
    /// The table as an HTML page that needs nothing beside itself.
    pub(super) fn html(&self) -> String {
        let h = &self.host;
        let mut out = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>towline bench article</title>\
             <style>{STYLE}</style><h1>The article's table on this host</h1>\
             <p>{}, {} cores for this, {} GiB, Linux {}; {} descriptors a process; scale {}, {} s a column \
             after its ramp; towline {}. Ours first, the article's (c5.2xlarge) below.</p>\
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
            let _ = write!(out, "<th>{}</th>", escape(column.name));
        }
        out.push_str("</tr>");
        for row in self.rows() {
            let class = if row.aside { " class=\"aside\"" } else { "" };
            let _ = write!(out, "<tr{class}><th>{}</th>", escape(row.name.trim()));
            for cell in row.cells {
                let _ = write!(out, "<td>{}</td>", escape(&cell));
            }
            out.push_str("</tr>");
        }
        out.push_str("</table></div><h2>What stopped each column</h2><dl>");
        for column in &self.columns {
            let _ = write!(
                out,
                "<dt>{}</dt><dd><b>{}</b></dd>",
                escape(column.name),
                escape(&column.verdict.sentence)
            );
            for (name, value) in &column.verdict.evidence {
                let _ = write!(out, "<dd class=\"aside\">{} {value}</dd>", name.replace('_', " "));
            }
            for note in column.measured.iter().flat_map(|m| &m.notes) {
                let _ = write!(out, "<dd>{}</dd>", escape(note));
            }
        }
        out.push_str("</dl><h2>How the figures come about</h2><dl>");
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

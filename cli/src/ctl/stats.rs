//! The main figures as text.

use std::fmt::Write as _;

use serde_json::Value;

/// One figure a line, by its path in the answer; counts of 0 that are one of many are left out.
pub(super) fn said(answer: &Value) -> String {
    let mut text = String::new();
    lines("", answer, 0, &mut text);
    text
}

fn lines(path: &str, value: &Value, depth: u32, text: &mut String) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if depth >= 2 && field.as_u64() == Some(0) {
                    continue;
                }
                let dot = if path.is_empty() { "" } else { "." };
                lines(&format!("{path}{dot}{name}"), field, depth + 1, text);
            }
        }
        Value::String(word) => {
            let _ = writeln!(text, "{path:<32} {word}");
        }
        Value::Array(list) => {
            let words: Vec<_> = list.iter().filter_map(Value::as_str).collect();
            if !words.is_empty() {
                let _ = writeln!(text, "{path:<32} {}", words.join(", "));
            }
        }
        other => {
            let _ = writeln!(text, "{path:<32} {other}");
        }
    }
}

//! A TOML file as a layer. Every value keeps its line, for errors and for `towline config`.

use std::{fs::File, io::Read, path::Path};

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use crate::{
    error::{Error, Problem, alternatives, shown},
    key::Key,
    sources::Reading,
    suggest::nearest_key,
    table::SECTIONS,
};

/// More than any configuration needs; keeps `--config /dev/zero` from eating the memory.
const LARGEST: u64 = 1 << 20;

/// Sets what the file says.
pub(crate) fn read(path: &Path, reading: &mut Reading) {
    let name = shown(&path.display().to_string());
    match text(path) {
        Ok(text) => parse(&text, &|line| format!("file {name}:{line}"), reading),
        Err(reason) => reading.errors.push(Error::Unreadable { path: name, reason }),
    }
}

fn text(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST {
        return Err("it is larger than 1MiB".into());
    }
    String::from_utf8(bytes).map_err(|_error| "it is not UTF-8".into())
}

/// Sets what the TOML in `text` says; `origin` names the place of a line.
pub(crate) fn parse(text: &str, origin: &dyn Fn(usize) -> String, reading: &mut Reading) {
    let lines = Lines { text, origin };
    let table = match DeTable::parse(text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            let reason = error.message().replace('\n', ", ");
            reading.errors.push(Error::Syntax { origin: lines.at(at), reason });
            return;
        }
    };
    for (name, value) in in_order(&table) {
        let section = name.get_ref().as_ref();
        let known = SECTIONS.iter().any(|(known, _)| *known == section);
        match value.get_ref() {
            DeValue::Table(keys) if keys.is_empty() && !known => {
                reading.errors.push(Error::UnknownSection {
                    name: shown(section),
                    origin: lines.at(name.span().start),
                    expected: alternatives(SECTIONS.iter().map(|(section, _)| *section)),
                });
            }
            DeValue::Table(keys) => {
                for (name, value) in in_order(keys) {
                    entry(&format!("{section}.{}", name.get_ref()), name, value, &lines, reading);
                }
            }
            _ if known => reading.errors.push(Error::SectionAsKey {
                name: shown(section),
                origin: lines.at(name.span().start),
            }),
            _ => entry(section, name, value, &lines, reading),
        }
    }
}

/// Sets one key.
fn entry(
    dotted: &str,
    name: &Spanned<DeString<'_>>,
    value: &Spanned<DeValue<'_>>,
    lines: &Lines<'_>,
    reading: &mut Reading,
) {
    let origin = lines.at(name.span().start);
    let Some(key) = Key::find(dotted) else {
        let nearest = nearest_key(dotted).name;
        reading.errors.push(Error::UnknownKey { key: shown(dotted), origin, nearest });
        return;
    };
    match value.get_ref() {
        DeValue::String(text) => reading.set(key, text, origin),
        DeValue::Integer(number) if number.radix() == 10 => {
            reading.set(key, number.as_str(), origin);
        }
        DeValue::Boolean(bool) => reading.set(key, &bool.to_string(), origin),
        other => {
            let problem = Problem::new(format!("is {}", kind(other)));
            let written = lines.text.get(value.span()).unwrap_or_default();
            reading.wrong(key, written, origin, problem);
        }
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::Float(_) => "not a whole number",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
        DeValue::Integer(_) => "not a decimal number",
        DeValue::String(_) | DeValue::Boolean(_) => "of the wrong type",
    }
}

/// A table's entries as they stand in the text; the parser sorts them by name.
fn in_order<'a, 'i>(
    table: &'a DeTable<'i>,
) -> Vec<(&'a Spanned<DeString<'i>>, &'a Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

/// Turns a place in the text into the origin of what stands there.
struct Lines<'a> {
    text: &'a str,
    origin: &'a dyn Fn(usize) -> String,
}

impl Lines<'_> {
    fn at(&self, offset: usize) -> String {
        let before = self.text.as_bytes().get(..offset).unwrap_or_default();
        (self.origin)(1 + before.iter().filter(|byte| **byte == b'\n').count())
    }
}

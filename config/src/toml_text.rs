//! TOML as a layer. Every value keeps its line, for error sentences and for `towline config`.

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use crate::{
    error::{Error, ValueError, alternatives, shown},
    key::Key,
    loader::Loader,
    suggest::nearest_key,
    table::SECTIONS,
};

/// Sets what the TOML in `text` says; `origin` turns a line number into an origin.
pub(crate) fn read(text: &str, origin: &dyn Fn(usize) -> String, loader: &mut Loader) {
    let lines = Lines { text, origin };
    let table = match DeTable::parse(text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            let reason = error.message().replace('\n', ", ");
            loader.errors.push(Error::Syntax { origin: lines.at(at), reason });
            return;
        }
    };
    for (name, value) in in_order(&table) {
        let section = name.get_ref().as_ref();
        let known = SECTIONS.iter().any(|(known, _)| *known == section);
        match value.get_ref() {
            DeValue::Table(keys) if keys.is_empty() && !known => {
                loader.errors.push(Error::UnknownSection {
                    name: shown(section),
                    origin: lines.at(name.span().start),
                    expected: alternatives(SECTIONS.iter().map(|(section, _)| *section)),
                });
            }
            DeValue::Table(keys) => {
                for (name, value) in in_order(keys) {
                    entry(&format!("{section}.{}", name.get_ref()), name, value, &lines, loader);
                }
            }
            _ if known => loader.errors.push(Error::SectionAsKey {
                name: shown(section),
                origin: lines.at(name.span().start),
            }),
            _ => entry(section, name, value, &lines, loader),
        }
    }
}

/// Sets one key.
fn entry(
    dotted: &str,
    name: &Spanned<DeString<'_>>,
    value: &Spanned<DeValue<'_>>,
    lines: &Lines<'_>,
    loader: &mut Loader,
) {
    let origin = lines.at(name.span().start);
    let Some(key) = Key::find(dotted) else {
        let nearest = nearest_key(dotted).name;
        loader.errors.push(Error::UnknownKey { key: shown(dotted), origin, nearest });
        return;
    };
    match value.get_ref() {
        DeValue::String(text) => loader.set(key, text, origin),
        DeValue::Integer(number) if number.radix() == 10 => {
            loader.set(key, number.as_str(), origin);
        }
        // A time may have a fraction; the other grammars say that they want whole numbers.
        DeValue::Float(number) => loader.set(key, number.as_str(), origin),
        DeValue::Boolean(bool) => loader.set(key, &bool.to_string(), origin),
        DeValue::Array(items) if key.list => match list_text(items) {
            Ok(text) => loader.set(key, &text, origin),
            Err(problem) => {
                let written = lines.text.get(value.span()).unwrap_or_default();
                loader.reject(key, written, origin, problem);
            }
        },
        other => {
            let problem = ValueError::new(format!("is {}", kind(other)));
            let written = lines.text.get(value.span()).unwrap_or_default();
            loader.reject(key, written, origin, problem);
        }
    }
}

/// The text of a list: its items with commas between them. A table is its `address` with the other keys behind it as
/// options.
fn list_text(items: &[Spanned<DeValue<'_>>]) -> Result<String, ValueError> {
    let items = items.iter().map(|item| match item.get_ref() {
        DeValue::Table(keys) => table_text(keys),
        other => scalar_text(other),
    });
    Ok(items.collect::<Result<Vec<_>, _>>()?.join(","))
}

fn table_text(keys: &DeTable<'_>) -> Result<String, ValueError> {
    let (mut address, mut options) = (None, String::new());
    for (name, value) in in_order(keys) {
        let (name, text) = (name.get_ref().as_ref(), scalar_text(value.get_ref())?);
        match name {
            "address" => address = Some(text),
            _ => options.push_str(&format!(",{name}={text}")),
        }
    }
    let address = address.ok_or_else(|| ValueError::new("has a table without an address"))?;
    Ok(address + &options)
}

fn scalar_text(value: &DeValue<'_>) -> Result<String, ValueError> {
    match value {
        // It would be taken for several items.
        DeValue::String(text) if text.contains(',') => {
            let text = shown(text);
            Err(ValueError::new(format!("has an item \"{text}\" with a comma in it")))
        }
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        DeValue::Boolean(bool) => Ok(bool.to_string()),
        other => Err(ValueError::new(format!("has an item that is {}", kind(other)))),
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
        DeValue::Integer(_) => "not a decimal number",
        DeValue::String(_) | DeValue::Boolean(_) | DeValue::Float(_) => "of the wrong type",
    }
}

/// The entries of `table` in the order of the text; the parser sorts them by name.
fn in_order<'a, 'i>(
    table: &'a DeTable<'i>,
) -> Vec<(&'a Spanned<DeString<'i>>, &'a Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

/// Turns offsets in the text into origins.
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

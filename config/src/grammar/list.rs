//! Lists of texts, with commas between them.

use std::path::PathBuf;

use super::{Grammar, Path};
use crate::{error::ValueError, value::Value};

const OFF: &str = "off";

/// Most items of a list.
const ITEMS_MAX: usize = 256;

/// The items of a list; none of `off`.
fn items<T>(
    text: &str,
    item: impl Fn(&str) -> Result<T, ValueError>,
) -> Result<Vec<T>, ValueError> {
    if text == OFF {
        return Ok(Vec::new());
    }
    let items: Vec<_> = text.split(',').map(str::trim).collect();
    if items.len() > ITEMS_MAX {
        return Err(ValueError::new(format!("has more than {ITEMS_MAX} items")));
    }
    items.into_iter().map(item).collect()
}

fn printed(items: impl Iterator<Item = String>) -> Value {
    let items: Vec<_> = items.collect();
    Value::text(if items.is_empty() { OFF.to_owned() } else { items.join(",") })
}

/// Paths of files.
#[derive(Debug)]
pub(crate) struct Paths;

impl Grammar<Vec<PathBuf>> for Paths {
    fn parse(&self, text: &str) -> Result<Vec<PathBuf>, ValueError> {
        items(text, |item| Path.parse(item))
    }

    fn print(&self, value: &Vec<PathBuf>) -> Value {
        printed(value.iter().map(|path| path.display().to_string()))
    }

    fn expected(&self) -> String {
        "the path of a file, several with commas between them, or off".into()
    }

    fn placeholder(&self) -> String {
        "FILE|off".into()
    }
}

/// Names, or patterns of names.
#[derive(Debug)]
pub(crate) struct Names;

impl Grammar<Vec<String>> for Names {
    fn parse(&self, text: &str) -> Result<Vec<String>, ValueError> {
        items(text, |item| match item {
            "" => Err(ValueError::EMPTY),
            item if item.chars().any(char::is_control) => {
                Err(ValueError::new("has a control character"))
            }
            item => Ok(item.to_owned()),
        })
    }

    fn print(&self, value: &Vec<String>) -> Value {
        printed(value.iter().cloned())
    }

    fn expected(&self) -> String {
        "a name, several with commas between them, or off".into()
    }

    fn placeholder(&self) -> String {
        "NAME|off".into()
    }
}

//! A configuration file as a layer.

use std::{fs::File, io::Read, path::Path};

use crate::{
    error::{Error, shown},
    loader::Loader,
    toml_text,
};

/// Largest file that is read: more than any configuration needs, and a bound for `--config /dev/zero`.
const BYTES_MAX: u64 = 1 << 20;

/// Sets what the file at `path` says.
pub(crate) fn read(path: &Path, loader: &mut Loader) {
    let name = shown(&path.display().to_string());
    match text(path) {
        Ok(text) => toml_text::read(&text, &|line| format!("file {name}:{line}"), loader),
        Err(reason) => loader.errors.push(Error::Unreadable { path: name, reason }),
    }
}

fn text(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err("it is larger than 1MiB".into());
    }
    String::from_utf8(bytes).map_err(|_error| "it is not UTF-8".into())
}

//! The environment as a layer: `TOWLINE_` and the key with `.` as `__`, in capitals.

use std::{collections::BTreeMap, ffi::OsString};

use crate::{
    error::{Error, Problem, shown},
    key::Key,
    loader::Loader,
    suggest::nearest_key,
};

/// Sets what `variables`, all of which begin with `TOWLINE_`, name.
///
/// Compose files and Kubernetes make `TOWLINE_` variables of their own (`TOWLINE_WORKLOAD`,
/// `TOWLINE_PORT`), so one without `__` is not ours and left alone, unless it is a key's name with
/// `_` for `__`: that is a slip, and silence would hide it.
pub(crate) fn read(variables: &BTreeMap<String, OsString>, loader: &mut Loader) {
    for (name, value) in variables {
        let Some(key) = Key::all().iter().find(|key| key.variable() == *name) else {
            unknown(name, loader);
            continue;
        };
        let origin = format!("environment {name}");
        match value.to_str() {
            Some(text) => loader.set(key, text, origin),
            None => {
                let problem = Problem::new("is not UTF-8");
                loader.reject(key, &value.to_string_lossy(), origin, problem);
            }
        }
    }
}

fn unknown(name: &str, loader: &mut Loader) {
    let nearest = |key: &Key| Error::UnknownVariable { name: shown(name), nearest: key.variable() };
    let bare = |name: &str| name.replace('_', "");
    if let Some(key) = Key::all().iter().find(|key| bare(&key.variable()) == bare(name)) {
        loader.errors.push(nearest(key));
    } else if name.contains("__") {
        let dotted = name.trim_start_matches(Key::VARIABLE_PREFIX).replace("__", ".");
        loader.errors.push(nearest(nearest_key(&dotted)));
    }
}

//! The valid key that a wrong name was probably meant to be.

use crate::key::Key;

/// Distance added to a key in another section than the one written.
const OTHER_SECTION: usize = 3;

/// Most edits at which a key of another section is still suggested within a section that exists.
const TYPO: usize = 1;

/// Words that other servers use, and the key that they mean here.
const SYNONYMS: [(&str, &str); 5] = [
    ("port", "server.listen"),
    ("bind", "server.listen"),
    ("host", "server.listen"),
    ("address", "server.listen"),
    ("max_clients", "limits.connections"),
];

impl Key {
    /// The key that `written` resembles, if any does: its name, the last part of it, its section or
    /// its flag. Case does not matter, and `-` is the same as `_`. Common synonyms are known, such
    /// as `port` for `server.listen`.
    pub fn like(written: &str) -> Option<&'static Self> {
        let written = normalized(written);
        if let Some((_, name)) = SYNONYMS.iter().find(|(synonym, _)| *synonym == written) {
            return Self::find(name);
        }
        let key = nearest_key(&written);
        (3 * edits(&written, key) < written.chars().count()).then_some(key)
    }
}

/// The key most like `written`, however little that is: `limits.conections`, `connections` and
/// `limits.max_connections` all mean `limits.connections`.
pub(crate) fn nearest_key(written: &str) -> &'static Key {
    let written = normalized(written);
    let section = written.rsplit_once('.').map_or("", |(section, _)| section);
    let keys = Key::all();
    let exists = keys.iter().any(|key| key.section() == section);
    let distance = |key: &&Key| {
        let edits = edits(&written, key);
        if section == key.section() {
            return (false, edits);
        }
        (exists && edits > TYPO, edits + OTHER_SECTION)
    };
    keys.iter().min_by_key(distance).unwrap_or(&keys[0])
}

/// Edits that turn `written` into the name of `key`, or its last part into another name of it.
fn edits(written: &str, key: &Key) -> usize {
    let (section, field) = written.rsplit_once('.').unwrap_or(("", written));
    let flag = key.flag.map(|flag| normalized(flag.trim_start_matches('-')));
    let lone_section = section.is_empty().then(|| key.section());
    let names = [Some(key.field()), flag.as_deref(), lone_section];
    let by_part = names.into_iter().flatten().map(|name| strsim::damerau_levenshtein(field, name));
    by_part.fold(strsim::damerau_levenshtein(written, key.name), usize::min)
}

fn normalized(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_a_lone_field_and_a_flag_name_all_find_their_key() {
        for (written, meant) in [
            ("limits.conections", "limits.connections"),
            ("limit.connections", "limits.connections"),
            ("connections", "limits.connections"),
            ("limits.max_connections", "limits.connections"),
            ("max-connections", "limits.connections"),
            ("timeouts.request_timeout", "timeouts.request"),
            ("limits.request_timeout", "timeouts.request"),
            ("heartbeat.intervall", "heartbeat.interval"),
            ("Server.Listen", "server.listen"),
            ("log.x", "log.level"),
            ("log", "log.level"),
        ] {
            assert_eq!(nearest_key(written).name, meant, "{written}");
        }
    }

    #[test]
    fn in_a_section_that_exists_the_nearest_key_is_one_of_its_own() {
        for key in Key::all() {
            let nonsense = format!("{}.nope", key.section());
            assert_eq!(nearest_key(&nonsense).section(), key.section(), "{nonsense}");
        }
    }

    #[test]
    fn a_name_that_resembles_no_key_gets_no_suggestion() {
        for (written, meant) in [
            ("workload", Some("workload.kind")),
            ("workLOD", Some("workload.kind")),
            ("processes", Some("server.processes")),
            ("heartbeat", Some("heartbeat.interval")),
            ("listen-address", None),
            ("port", Some("server.listen")),
            ("nonsense", None),
            ("", None),
        ] {
            assert_eq!(Key::like(written).map(|key| key.name), meant, "{written}");
        }
    }
}

//! The valid key that a wrong one was probably meant to be.

use crate::key::Key;

/// The key most like `written`, whether that resembles its whole name, its last part or its flag:
/// `limits.conections`, `connections` and `limits.max_connections` all mean `limits.connections`.
pub(crate) fn nearest_key(written: &str) -> &'static Key {
    let written = written.to_lowercase().replace('-', "_");
    let (section, field) = written.rsplit_once('.').unwrap_or(("", &written));
    let distance = |key: &Key| {
        let flag = key.flag.map(|flag| flag.trim_start_matches('-').replace('-', "_"));
        let parts = [Some(key.field()), flag.as_deref()].into_iter().flatten();
        let by_part = parts.map(|part| strsim::damerau_levenshtein(field, part)).min();
        let by_name = strsim::damerau_levenshtein(&written, key.name);
        // Within the right section less likeness is enough.
        let elsewhere = if section == key.section() { 0 } else { 3 };
        by_part.map_or(by_name, |by_part| by_name.min(by_part)) + elsewhere
    };
    let keys = Key::all();
    keys.iter().min_by_key(|key| distance(key)).unwrap_or(&keys[0])
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
            ("heartbeat.intervall", "heartbeat.interval"),
            ("Server.Listen", "server.listen"),
            ("log.x", "log.level"),
        ] {
            assert_eq!(nearest_key(written).name, meant, "{written}");
        }
    }
}

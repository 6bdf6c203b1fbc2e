//! The valid key that a wrong one was probably meant to be.

use crate::key::Key;

/// The key most like `written`, whether that resembles its whole name, its last part or its flag:
/// `limits.conections`, `connections` and `limits.max_connections` all mean `limits.connections`.
pub(crate) fn nearest_key(written: &str) -> &'static Key {
    let written = written.to_lowercase().replace('-', "_");
    let written_field = written.rsplit('.').next().unwrap_or(&written);
    let distance = |key: &Key| {
        let flag = key.flag.unwrap_or_default().trim_start_matches('-').replace('-', "_");
        let by_name = strsim::damerau_levenshtein(&written, key.name);
        // A hit on a part alone is worth less than one on the whole.
        let by_part = [key.field(), flag.as_str()]
            .map(|part| strsim::damerau_levenshtein(written_field, part) + 1);
        by_part.into_iter().fold(by_name, usize::min)
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
        ] {
            assert_eq!(nearest_key(written).name, meant, "{written}");
        }
    }
}

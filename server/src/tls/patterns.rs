//! Patterns of client names: `tls.client_allow`.

/// Whether `name` is what `pattern` says: `*` stands for any number of characters.
///
/// *Costs*: at most the product of both lengths.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut from) = (0, 0);
    // Where the last `*` stands, and how much of the name it covers so far.
    let mut star = None;
    while from < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(byte) if *byte == name[from] => {
                at += 1;
                from += 1;
            }
            _ => match &mut star {
                Some((star, covered)) => {
                    *covered += 1;
                    (at, from) = (*star + 1, *covered);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_number_of_characters() {
        for (pattern, name) in [
            ("device-7", "device-7"),
            ("device-*", "device-"),
            ("spiffe://example/*/device", "spiffe://example/a/b/device"),
            ("*", ""),
            ("*.a.*", "x.a.a.y"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("device-7", "device-70"), ("*-7", "device-8"), ("", "x"), ("a*b", "a")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}

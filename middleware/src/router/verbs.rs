//! Finds a command's number by its verb.
use super::RouterError;
use crate::swar;

/// Most verbs of a table: also the most label values of its metrics.
pub(super) const VERBS_MAX: usize = 128;
/// Longest verb in bytes.
pub(super) const VERB_BYTES_MAX: usize = 64;
/// Bytes of a verb that its key holds.
const KEY_BYTES: usize = swar::HALF_BYTES;
/// Slots of the index for each verb, at least: a look-up then meets another verb in one case of six.
const SLOTS_PER_VERB: usize = 4;
/// Multipliers of which the one with the fewest steps is taken.
const MULTIPLIERS: u64 = 64;
/// An empty slot. A number of a verb is below it.
const EMPTY: u8 = u8::MAX;

/// A hash table of verbs, by their first 8 bytes: a multiplication, two loads and a comparison a look-up; one
/// load less for most verbs that are not in it.
#[derive(Debug)]
pub(super) struct Verbs {
    multiplier: u64,
    /// Of the hash, which leaves a position in `index`.
    shift: u32,
    /// Numbers of verbs, or [`EMPTY`]; one byte each, so that 128 verbs take 512 bytes.
    index: Box<[u8]>,
    verbs: Box<[Verb]>,
    exact_case: bool,
}

#[derive(Debug, Clone, Copy)]
struct Verb {
    key: u64,
    text: &'static str,
}

impl Verbs {
    /// A table in which `verbs[n]` has the number `n`.
    ///
    /// # Errors
    /// If a verb is invalid or there twice, or there are more than [`VERBS_MAX`].
    pub(super) fn new(verbs: &[&'static str], exact_case: bool) -> Result<Self, RouterError> {
        if verbs.len() > VERBS_MAX {
            return Err(RouterError::TooMany(verbs.len()));
        }
        for (at, verb) in verbs.iter().enumerate() {
            if verb.is_empty()
                || verb.len() > VERB_BYTES_MAX
                || !verb.bytes().all(|byte| byte.is_ascii_graphic())
            {
                return Err(RouterError::Invalid(verb));
            }
            let same = |other: &&str| {
                if exact_case { *other == *verb } else { other.eq_ignore_ascii_case(verb) }
            };
            if verbs[..at].iter().any(same) {
                return Err(RouterError::Twice(verb));
            }
        }
        let slots = (verbs.len() * SLOTS_PER_VERB).next_power_of_two().max(2);
        let key =
            |text: &&'static str| Verb { key: first_bytes(text.as_bytes(), exact_case), text };
        let mut table = Self {
            multiplier: 0,
            shift: 64 - slots.trailing_zeros(),
            index: vec![EMPTY; slots].into(),
            verbs: verbs.iter().map(key).collect(),
            exact_case,
        };
        let best = (0..MULTIPLIERS).map(spread).min_by_key(|&multiplier| table.fill(multiplier));
        table.fill(best.unwrap_or(1));
        Ok(table)
    }

    /// Makes the index anew. Returns the steps of all look-ups together.
    fn fill(&mut self, multiplier: u64) -> usize {
        self.multiplier = multiplier;
        self.index.fill(EMPTY);
        let mut steps = 0;
        for (number, verb) in self.verbs.iter().enumerate() {
            let mut at = self.slot(verb.key, verb.text.len());
            while self.index[at] != EMPTY {
                at = (at + 1) & (self.index.len() - 1);
                steps += 1;
            }
            self.index[at] = number as u8;
        }
        steps
    }

    /// The verbs, in the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &'static str> {
        self.verbs.iter().map(|verb| verb.text)
    }

    /// The number of `verb`, or `None` if it is not in the table.
    #[inline]
    pub(super) fn find(&self, verb: &[u8]) -> Option<usize> {
        let key = first_bytes(verb, self.exact_case);
        let mut at = self.slot(key, verb.len());
        // Ends: three of four slots are empty.
        while let Some(found) = self.verbs.get(usize::from(self.index[at])) {
            if found.key == key
                && found.text.len() == verb.len()
                && (verb.len() <= KEY_BYTES || self.same_tail(verb, found.text.as_bytes()))
            {
                return Some(usize::from(self.index[at]));
            }
            at = (at + 1) & (self.index.len() - 1);
        }
        None
    }

    #[inline]
    fn slot(&self, key: u64, len: usize) -> usize {
        ((key ^ len as u64).wrapping_mul(self.multiplier) >> self.shift) as usize
    }

    fn same_tail(&self, a: &[u8], b: &[u8]) -> bool {
        let (a, b) = (&a[KEY_BYTES..], &b[KEY_BYTES..]);
        if self.exact_case { a == b } else { a.eq_ignore_ascii_case(b) }
    }
}

/// The first 8 bytes, in lower case unless case is exact.
#[inline]
fn first_bytes(verb: &[u8], exact_case: bool) -> u64 {
    let key = swar::load_half(verb);
    if exact_case { key } else { swar::to_ascii_lowercase(key) }
}

/// A well mixed odd number for each number (the finaliser of SplitMix64).
const fn spread(number: u64) -> u64 {
    let z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (z ^ (z >> 27)) | 1
}

#[cfg(test)]
mod tests {
    use proptest::{
        collection::{hash_set, vec},
        prelude::*,
    };

    use super::*;

    const VERBS: [&str; 9] = [
        "GET",
        "SET",
        "get2",
        "a-verb-of-more-than-16-bytes",
        "a-verb-of-more-than-17-bytes",
        "X",
        "Y",
        "@a",
        "PING",
    ];

    #[test]
    fn a_verb_is_found_in_any_case_and_no_other_is() {
        let table = Verbs::new(&VERBS, false).expect("valid");
        for (number, verb) in VERBS.iter().enumerate() {
            for written in [verb.to_string(), verb.to_ascii_lowercase(), verb.to_ascii_uppercase()]
            {
                assert_eq!(table.find(written.as_bytes()), Some(number), "{written}");
            }
            for end in 0..verb.len() {
                assert_eq!(
                    table.find(&verb.as_bytes()[..end]),
                    (&verb[..end] == "get").then_some(0),
                    "{verb} to {end}"
                );
            }
        }
        for verb in [
            &b""[..],
            b"\0",
            b"`a",
            b"GET\0",
            b"a-verb-of-more-than-18-bytes",
            &[0xc7; 3],
            &[b'x'; 1000],
        ] {
            assert_eq!(table.find(verb), None, "{}", verb.escape_ascii());
        }
    }

    #[test]
    fn as_many_verbs_as_are_allowed_are_found_and_more_are_an_error() {
        let name = |n: usize, long: bool| -> &'static str {
            if long { format!("THE-SAME-BEGINNING-{n:03}").leak() } else { format!("V{n}").leak() }
        };
        for long in [false, true] {
            let verbs: Vec<_> = (0..=VERBS_MAX).map(|n| name(n, long)).collect();
            let table = Verbs::new(&verbs[..VERBS_MAX], false).expect("valid");
            assert!((0..VERBS_MAX).all(|n| table.find(verbs[n].as_bytes()) == Some(n)));
            assert_eq!(table.find(verbs[VERBS_MAX].as_bytes()), None);
            assert_eq!(Verbs::new(&verbs, false).expect_err("too many"), RouterError::TooMany(129));
        }
        assert_eq!(Verbs::new(&[], false).expect("valid").find(b"x"), None);
    }

    proptest! {
        #[test]
        fn a_table_finds_what_a_search_through_its_verbs_finds(
            verbs in hash_set("[!-~]{1,20}", 0..40),
            others in vec("[ -~]{0,20}", 0..40),
            exact_case: bool,
        ) {
            let verbs: Vec<&'static str> = verbs.into_iter().map(|verb| &*verb.leak()).collect();
            let same = |a: &str, b: &str| if exact_case { a == b } else { a.eq_ignore_ascii_case(b) };
            let Ok(table) = Verbs::new(&verbs, exact_case) else {
                let twice = |at| verbs[..at].iter().any(|verb| same(verb, verbs[at]));
                prop_assert!((0..verbs.len()).any(twice));
                return Ok(());
            };
            let turned = verbs.iter().map(|verb| verb.to_ascii_uppercase());
            for other in others.into_iter().chain(turned).chain(verbs.iter().map(ToString::to_string)) {
                let found = verbs.iter().position(|verb| same(verb, &other));
                prop_assert_eq!(table.find(other.as_bytes()), found, "{:?}", other);
            }
        }
    }
}

//! Which connections a request wants, and in which order.

use super::{Filter, InvalidCondition};

/// The order of a listing: by this, largest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Sort {
    #[default]
    WriteWait,
    Unsent,
    Idle,
    Age,
    Lines,
    Bytes,
    Rtt,
}

const SORTS: [(&str, Sort); 7] = [
    ("write_wait", Sort::WriteWait),
    ("unsent", Sort::Unsent),
    ("idle", Sort::Idle),
    ("age", Sort::Age),
    ("lines", Sort::Lines),
    ("bytes", Sort::Bytes),
    ("rtt", Sort::Rtt),
];

impl Sort {
    /// The word of the query.
    pub(crate) fn label(self) -> &'static str {
        SORTS.iter().find(|(_, sort)| *sort == self).map_or("", |(word, _)| word)
    }

    /// What it needs of the kernel.
    const fn needs(self) -> Needs {
        match self {
            Self::WriteWait | Self::Age | Self::Lines => Needs::Nothing,
            Self::Unsent => Needs::Queues,
            Self::Idle | Self::Bytes | Self::Rtt => Needs::Details,
        }
    }
}

/// What is asked of the kernel for every open connection, to choose from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Needs {
    Nothing,
    /// How many bytes are in its queues.
    Queues,
    /// All that it knows, which costs a tenth more.
    Details,
}

/// A request for a list of connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) sort: Sort,
    /// Most open connections in the answer.
    pub(crate) limit: usize,
    pub(crate) filter: Filter,
    /// Most closed connections in the answer.
    pub(crate) closed: usize,
}

/// Connections in an answer, if the request does not say how many.
const LIMIT: usize = 50;
/// Most connections of each kind in an answer.
const LIMIT_MAX: usize = 1_000;

impl Query {
    /// Reads the part of a URL behind the question mark.
    ///
    /// # Errors
    /// In one sentence, for the first part that cannot be read.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut query = Self { limit: LIMIT, ..Self::default() };
        for part in text.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let value = decode(value).ok_or_else(|| format!("{part:?} is not encoded as a URL"))?;
            let condition = |error: InvalidCondition| error.to_string();
            match name {
                "sort" => {
                    let known = SORTS.iter().find(|(word, _)| *word == value);
                    query.sort = known.map(|(_, sort)| *sort).ok_or_else(|| {
                        let all = SORTS.map(|(word, _)| word).join(", ");
                        format!("sort={value:?}: expected one of {all}")
                    })?;
                }
                "limit" => query.limit = count(name, &value, 1)?,
                "closed" => query.closed = count(name, &value, 0)?,
                "match" => {
                    query.filter = query.filter.and(Filter::parse(&value).map_err(condition)?);
                }
                "state" => query.filter = query.filter.and_state(&value).map_err(condition)?,
                _ => {
                    return Err(format!(
                        "{name:?} is no parameter: expected sort, limit, match, state or closed"
                    ));
                }
            }
        }
        Ok(query)
    }

    /// What must be asked of the kernel for all connections.
    pub(crate) fn needs(&self) -> Needs {
        self.sort.needs().max(self.filter.needs())
    }

    /// Whether nothing but rows decides which connections are the first.
    pub(crate) fn needs_only_rows(&self) -> bool {
        self.needs() == Needs::Nothing && !self.filter.asks_for_causes()
    }
}

fn count(name: &str, value: &str, min: usize) -> Result<usize, String> {
    let number = value.parse().ok().filter(|number| (min..=LIMIT_MAX).contains(number));
    number.ok_or_else(|| format!("{name}={value:?}: expected a number from {min} to {LIMIT_MAX}"))
}

/// Decodes a value of a query: `%2C` and `+`.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_what_it_wants_and_the_rest_is_the_default() {
        let query = Query::parse("").expect("the default");
        assert_eq!((query.sort, query.limit, query.closed), (Sort::WriteWait, 50, 0));
        assert!(query.filter.matches_all());
        let query = Query::parse(
            "sort=rtt&limit=1000&closed=7&state=idle&match=peer%3D10.0.0.0%2F8,age%3E1h",
        );
        let query = query.expect("all known");
        assert_eq!((query.sort, query.limit, query.closed), (Sort::Rtt, 1000, 7));
        let both = Filter::parse("state=idle,peer=10.0.0.0/8,age>1h").expect("three conditions");
        assert_eq!(query.filter, both);
    }

    #[test]
    fn what_cannot_be_read_is_named_with_what_was_expected() {
        for (text, why) in [
            (
                "sort=size",
                "sort=\"size\": expected one of write_wait, unsent, idle, age, lines, bytes, rtt",
            ),
            ("limit=0", "limit=\"0\": expected a number from 1 to 1000"),
            ("closed=1001", "closed=\"1001\": expected a number from 0 to 1000"),
            ("match=%zz", "\"match=%zz\" is not encoded as a URL"),
            ("top=5", "\"top\" is no parameter: expected sort, limit, match, state or closed"),
            (
                "state=asleep",
                "\"asleep\" is no state: expected one of handshake, idle, read_wait, ready, service, limit_wait, push_wait, write_wait, closing",
            ),
        ] {
            assert_eq!(Query::parse(text), Err(why.to_owned()));
        }
    }
}

//! A command's arguments, borrowed from its frame.

use std::fmt;

use super::{FromArgs, ReplyError};
use crate::swar;

/// Takes the next argument off the front of its bytes, or returns `None` if there is none.
///
/// Called with what a peer sent: it must not panic, whatever the bytes are.
pub type NextArg = for<'b> fn(&mut &'b [u8]) -> Option<&'b [u8]>;

/// How arguments are written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Syntax {
    Words,
    Each(NextArg),
}

impl Syntax {
    #[inline]
    fn next<'b>(self, rest: &mut &'b [u8]) -> Option<&'b [u8]> {
        match self {
            Self::Words => Some(take_word(rest)).filter(|word| !word.is_empty()),
            Self::Each(next) => next(rest),
        }
    }
}

/// A command: its verb, and its arguments, taken one after another.
///
/// The same type for the words of a line and for a RESP array, so that one handler serves both. `Copy`, 56
/// bytes; arguments are found when they are asked for. A [`body`](Self::body) is not one of them.
///
/// ```
/// use towline_middleware::reply::{Args, ReplyError, Rest};
///
/// # fn main() -> Result<(), ReplyError> {
/// let args = Args::words(b"TELL ann 3 how are you?");
/// assert_eq!(args.verb(), b"TELL");
/// let ([name], others) = args.at_least()?;
/// assert_eq!((name, others.iter().count()), (&b"ann"[..], 4));
/// let (name, times, words): (&str, u8, Rest<'_>) = args.parse()?;
/// assert_eq!((name, times, &*words), ("ann", 3, "how are you?"));
///
/// let error = args.exactly::<2>().unwrap_err();
/// assert_eq!(error.to_string(), "ERR wrong number of arguments for 'tell' command");
/// let error = Args::words(b"SLEEP soon").parse::<f64>().unwrap_err();
/// assert_eq!(error.to_string(), "ERR argument 1 is not a number");
/// # Ok(()) }
/// ```
#[derive(Clone, Copy)]
pub struct Args<'a> {
    verb: &'a [u8],
    rest: &'a [u8],
    syntax: Syntax,
    body: Option<&'a [u8]>,
}

impl<'a> Args<'a> {
    /// Splits the words of `line` at spaces. The first is the verb; an empty line has an empty one.
    #[inline]
    pub fn words(mut line: &'a [u8]) -> Self {
        let verb = take_word(&mut line);
        Self::from_parts(verb, line, Syntax::Words)
    }

    /// Splits `frame` by `next`, for protocols of your own. The first argument is the verb.
    ///
    /// ```
    /// use towline_middleware::reply::Args;
    ///
    /// /// Arguments that end in a comma.
    /// fn next<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    ///     let end = rest.iter().position(|&byte| byte == b',')?;
    ///     let (arg, behind) = rest.split_at(end);
    ///     *rest = &behind[1..];
    ///     Some(arg)
    /// }
    ///
    /// let args = Args::new(b"SET,a key,a value,", next);
    /// assert!(args.iter().eq([b"a key".as_slice(), b"a value"]));
    /// ```
    pub fn new(mut frame: &'a [u8], next: NextArg) -> Self {
        let verb = next(&mut frame).unwrap_or_default();
        Self::from_parts(verb, frame, Syntax::Each(next))
    }

    /// The verb, the bytes behind it, and how they are split.
    pub(crate) const fn into_parts(self) -> (&'a [u8], &'a [u8], Syntax) {
        (self.verb, self.rest, self.syntax)
    }

    pub(crate) const fn from_parts(verb: &'a [u8], rest: &'a [u8], syntax: Syntax) -> Self {
        Self { verb, rest, syntax, body: None }
    }

    /// The same command with a body.
    ///
    /// ```
    /// use towline_middleware::reply::Args;
    ///
    /// let args = Args::words(b"set key 5").with_body(b"a\r\nb\0");
    /// assert_eq!(args.parse(), Ok(("key", 5)));
    /// assert_eq!(args.body(), Some(&b"a\r\nb\0"[..]));
    /// ```
    #[must_use]
    pub const fn with_body(self, body: &'a [u8]) -> Self {
        Self { body: Some(body), ..self }
    }

    /// The bytes behind the line of a [`LineWithBody`](crate::protocol::LineWithBody) that announced some.
    pub const fn body(&self) -> Option<&'a [u8]> {
        self.body
    }

    /// The verb, as it came.
    pub const fn verb(&self) -> &'a [u8] {
        self.verb
    }

    /// The bytes behind the verb, as they came; for words without the spaces in front.
    pub fn rest(&self) -> &'a [u8] {
        match self.syntax {
            Syntax::Words => self.rest.trim_ascii_start(),
            Syntax::Each(_) => self.rest,
        }
    }

    /// The arguments, verb excluded.
    pub const fn iter(&self) -> ArgsIter<'a> {
        ArgsIter { rest: self.rest, syntax: self.syntax }
    }

    /// Exactly `N` arguments: `let [key, value] = args.exactly()?;`.
    ///
    /// # Errors
    /// A [`ReplyError`] that names the verb, if there are more or fewer.
    pub fn exactly<const N: usize>(&self) -> Result<[&'a [u8]; N], ReplyError> {
        let (first, rest) = self.at_least()?;
        if rest.iter().next().is_some() { Err(self.wrong_number()) } else { Ok(first) }
    }

    /// The first `N` arguments, and the others: `let ([key], values) = args.at_least()?;`.
    ///
    /// # Errors
    /// A [`ReplyError`] that names the verb, if there are fewer.
    pub fn at_least<const N: usize>(&self) -> Result<([&'a [u8]; N], Self), ReplyError> {
        let mut args = self.iter();
        let mut first = [&[][..]; N];
        for arg in &mut first {
            *arg = args.next().ok_or_else(|| self.wrong_number())?;
        }
        Ok((first, Self { rest: args.rest, ..*self }))
    }

    /// All arguments as a value or a tuple of up to eight: `let (name, celsius): (&str, f64) = args.parse()?;`.
    ///
    /// # Errors
    /// A [`ReplyError`] if there are more or fewer, or one does not convert: it says which.
    pub fn parse<T: FromArgs<'a>>(&self) -> Result<T, ReplyError> {
        T::from_args(self)
    }

    /// What to answer to too few or too many arguments.
    #[cold]
    pub fn wrong_number(&self) -> ReplyError {
        let verb = shown_verb(self.verb).to_ascii_lowercase();
        ReplyError::owned(format!("wrong number of arguments for '{verb}' command"))
    }
}

/// Bytes of a verb that an error shows.
const SHOWN_VERB_BYTES_MAX: usize = 64;

/// A verb as an error shows it: its beginning, in printable ASCII.
pub(crate) fn shown_verb(verb: &[u8]) -> String {
    verb[..verb.len().min(SHOWN_VERB_BYTES_MAX)].escape_ascii().to_string()
}

/// Takes the first word off `rest`: an empty one if there is none.
#[inline]
fn take_word<'b>(rest: &mut &'b [u8]) -> &'b [u8] {
    let line = rest.trim_ascii_start();
    let (word, behind) = line.split_at(word_end(line));
    *rest = behind;
    word
}

/// The position of the first white space, or the end.
#[inline]
fn word_end(line: &[u8]) -> usize {
    // White space is control characters and the space. Zeros behind a short line are found, too.
    match swar::position_below(swar::load(line), b' ' + 1) {
        Some(end) if end >= line.len() => line.len(),
        Some(end) if line[end].is_ascii_whitespace() => end,
        _ => line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len()),
    }
}

impl fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Args(\"{}\", \"{}\")", self.verb.escape_ascii(), self.rest.escape_ascii())
    }
}

impl<'a> IntoIterator for Args<'a> {
    type Item = &'a [u8];
    type IntoIter = ArgsIter<'a>;

    fn into_iter(self) -> ArgsIter<'a> {
        self.iter()
    }
}

/// The arguments of a command, made by [`Args::iter`].
#[derive(Debug, Clone)]
pub struct ArgsIter<'a> {
    rest: &'a [u8],
    syntax: Syntax,
}

impl<'a> ArgsIter<'a> {
    /// The words that are left, as they came; elsewhere the next argument.
    pub(crate) fn take_rest(&mut self) -> Option<&'a [u8]> {
        match self.syntax {
            Syntax::Words => Some(std::mem::take(&mut self.rest).trim_ascii_start()),
            Syntax::Each(_) => self.next(),
        }
    }
}

impl<'a> Iterator for ArgsIter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.syntax.next(&mut self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said<T: fmt::Debug>(result: Result<T, ReplyError>) -> String {
        result.expect_err("no such arguments").to_string()
    }

    #[test]
    fn words_are_split_at_spaces_and_counted() {
        let args = Args::words(b" SET  key a value ");
        assert_eq!((args.verb(), args.rest()), (&b"SET"[..], &b"key a value "[..]));
        assert!(args.iter().eq([&b"key"[..], b"a", b"value"]));
        let [key, a, value] = args.exactly().expect("three");
        assert_eq!((key, a, value), (&b"key"[..], &b"a"[..], &b"value"[..]));
        let ([key], others) = args.at_least().expect("three");
        assert_eq!((key, others.iter().count()), (&b"key"[..], 2));
        assert_eq!(said(args.exactly::<2>()), "ERR wrong number of arguments for 'set' command");
        assert_eq!(said(args.at_least::<4>()), "ERR wrong number of arguments for 'set' command");
        assert!(Args::words(b"").verb().is_empty());
    }

    #[test]
    fn a_verb_in_an_error_cannot_end_the_line() {
        let shown = said(Args::words(b"\x00\xffX y").exactly::<0>());
        assert_eq!(shown, "ERR wrong number of arguments for '\\x00\\xffx' command");
    }
}

#[cfg(test)]
#[test]
fn arguments_are_seven_words() {
    assert_eq!(size_of::<Args<'_>>(), 7 * size_of::<usize>());
}

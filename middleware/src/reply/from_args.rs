//! Typed arguments.

use std::{fmt, ops::Deref};

use super::{Args, ArgsIter, ReplyError};

/// Why an argument is none of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArgError(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Missing,
    Wrong(&'static str),
}

impl ArgError {
    /// `what` completes "argument 2 …": "is not a number".
    pub const fn new(what: &'static str) -> Self {
        Self(Kind::Wrong(what))
    }
}

/// A type that one argument converts into. Implement it for types of your own.
///
/// ```
/// use towline_middleware::reply::{ArgError, Args, FromArg};
///
/// #[derive(Debug, PartialEq)]
/// enum Unit {
///     Celsius,
///     Kelvin,
/// }
///
/// impl FromArg<'_> for Unit {
///     fn from_arg(arg: &[u8]) -> Result<Self, ArgError> {
///         match arg {
///             b"C" => Ok(Self::Celsius),
///             b"K" => Ok(Self::Kelvin),
///             _ => Err(ArgError::new("is neither C nor K")),
///         }
///     }
/// }
///
/// assert_eq!(Args::words(b"SET 21.5 C").parse(), Ok((21.5, Unit::Celsius)));
/// let error = Args::words(b"SET 70 F").parse::<(f64, Option<Unit>)>().unwrap_err();
/// assert_eq!(error.to_string(), "ERR argument 2 is neither C nor K");
/// ```
#[diagnostic::on_unimplemented(
    message = "an argument does not convert into `{Self}`",
    note = "arguments convert into `&[u8]`, `&str`, integers, floats, `bool`, `Rest<'_>`, `Option` of these, and types that implement `FromArg`"
)]
pub trait FromArg<'a>: Sized {
    /// Converts one argument.
    ///
    /// # Errors
    /// What is wrong with it.
    fn from_arg(arg: &'a [u8]) -> Result<Self, ArgError>;

    /// Takes it off the arguments. Default: the next one, which must be there.
    #[doc(hidden)]
    fn take(args: &mut ArgsIter<'a>) -> Result<Self, ArgError> {
        Self::from_arg(args.next().ok_or(ArgError(Kind::Missing))?)
    }
}

/// What [`Args::parse`] returns: a [`FromArg`], or a tuple of up to eight.
#[diagnostic::on_unimplemented(
    message = "arguments do not convert into `{Self}`",
    note = "arguments convert into one `FromArg`, or a tuple of up to eight"
)]
pub trait FromArgs<'a>: Sized {
    /// Converts all arguments.
    ///
    /// # Errors
    /// See [`Args::parse`].
    fn from_args(args: &Args<'a>) -> Result<Self, ReplyError>;
}

#[cold]
fn reply(args: &Args<'_>, position: usize, error: ArgError) -> ReplyError {
    match error.0 {
        Kind::Missing => args.wrong_number(),
        Kind::Wrong(what) => ReplyError::owned(format!("argument {position} {what}")),
    }
}

fn end<T>(args: &Args<'_>, rest: &mut ArgsIter<'_>, value: T) -> Result<T, ReplyError> {
    if rest.next().is_some() { Err(args.wrong_number()) } else { Ok(value) }
}

impl<'a, T: FromArg<'a>> FromArgs<'a> for T {
    fn from_args(args: &Args<'a>) -> Result<Self, ReplyError> {
        let mut rest = args.iter();
        let value = T::take(&mut rest).map_err(|error| reply(args, 1, error))?;
        end(args, &mut rest, value)
    }
}

macro_rules! tuples {
    ($($T:ident $at:literal),*) => {
        impl<'a, $($T: FromArg<'a>),*> FromArgs<'a> for ($($T,)*) {
            fn from_args(args: &Args<'a>) -> Result<Self, ReplyError> {
                let mut rest = args.iter();
                let value = ($($T::take(&mut rest).map_err(|error| reply(args, $at, error))?,)*);
                end(args, &mut rest, value)
            }
        }
    };
}
tuples!(A 1, B 2);
tuples!(A 1, B 2, C 3);
tuples!(A 1, B 2, C 3, D 4);
tuples!(A 1, B 2, C 3, D 4, E 5);
tuples!(A 1, B 2, C 3, D 4, E 5, F 6);
tuples!(A 1, B 2, C 3, D 4, E 5, F 6, G 7);
tuples!(A 1, B 2, C 3, D 4, E 5, F 6, G 7, H 8);

impl<'a> FromArgs<'a> for () {
    fn from_args(args: &Args<'a>) -> Result<(), ReplyError> {
        end(args, &mut args.iter(), ())
    }
}

impl<'a> FromArg<'a> for &'a [u8] {
    fn from_arg(arg: &'a [u8]) -> Result<Self, ArgError> {
        Ok(arg)
    }
}

impl<'a> FromArg<'a> for &'a str {
    fn from_arg(arg: &'a [u8]) -> Result<Self, ArgError> {
        std::str::from_utf8(arg).map_err(|_not_utf8| ArgError::new("is not UTF-8"))
    }
}

macro_rules! numbers {
    ($what:literal: $($T:ty)*) => { $(
        impl<'a> FromArg<'a> for $T {
            fn from_arg(arg: &'a [u8]) -> Result<Self, ArgError> {
                <&str>::from_arg(arg).ok().and_then(|text| text.parse().ok()).ok_or(ArgError::new($what))
            }
        }
    )* };
}
numbers!("is not an integer or out of range": u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);
numbers!("is not a number": f32 f64);

impl<'a> FromArg<'a> for bool {
    fn from_arg(arg: &'a [u8]) -> Result<Self, ArgError> {
        match arg {
            b"1" | b"true" | b"yes" | b"on" => Ok(true),
            b"0" | b"false" | b"no" | b"off" => Ok(false),
            _ => Err(ArgError::new("is neither true nor false")),
        }
    }
}

/// `None` if there is no further argument.
impl<'a, T: FromArg<'a>> FromArg<'a> for Option<T> {
    fn from_arg(arg: &'a [u8]) -> Result<Self, ArgError> {
        T::from_arg(arg).map(Some)
    }

    fn take(args: &mut ArgsIter<'a>) -> Result<Self, ArgError> {
        args.next().map(T::from_arg).transpose()
    }
}

/// The rest of a line as text, spaces inside it included; it may be empty. Of
/// a RESP array it is one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest<'a>(pub &'a str);

impl<'a> FromArg<'a> for Rest<'a> {
    fn from_arg(arg: &'a [u8]) -> Result<Self, ArgError> {
        <&str>::from_arg(arg).map(Self)
    }

    fn take(args: &mut ArgsIter<'a>) -> Result<Self, ArgError> {
        Self::from_arg(args.take_rest().ok_or(ArgError(Kind::Missing))?)
    }
}

impl Deref for Rest<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.0
    }
}

impl fmt::Display for Rest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Args<'_> {
        Args::words(line.as_bytes())
    }

    #[test]
    fn tuples_and_single_values_take_exactly_their_arguments() {
        assert_eq!(args("SET t 21.5").parse(), Ok(("t", 21.5_f64)));
        assert_eq!(args("X 7").parse(), Ok(7_u8));
        assert_eq!(args("X").parse(), Ok(None::<&str>));
        assert_eq!(args("X a").parse(), Ok(Some("a")));
        assert_eq!(args("TELL bob  hi there ").parse(), Ok(("bob", Rest("hi there "))));
        assert_eq!(args("SAY").parse(), Ok(Rest("")));
        assert_eq!(args("PING").parse(), Ok(()));
    }

    #[test]
    fn errors_name_the_argument_or_the_number() {
        let said = |result: Result<(&str, u8), ReplyError>| result.expect_err("wrong").to_string();
        assert_eq!(
            said(args("SET a b").parse()),
            "ERR argument 2 is not an integer or out of range"
        );
        assert_eq!(
            said(args("SET a 256").parse()),
            "ERR argument 2 is not an integer or out of range"
        );
        assert_eq!(said(args("SET a").parse()), "ERR wrong number of arguments for 'set' command");
        assert_eq!(
            said(args("SET a 1 2").parse()),
            "ERR wrong number of arguments for 'set' command"
        );
        let not_utf8 = Args::words(b"X \xff").parse::<&str>().expect_err("wrong").to_string();
        assert_eq!(not_utf8, "ERR argument 1 is not UTF-8");
    }
}

//! What a command answers when it fails.

use std::{borrow::Cow, convert::Infallible, error::Error, fmt};

/// A failure that is answered; the conversation goes on.
///
/// [`Lf`](crate::protocol::Lf) says `ERR text`, [`Resp`](crate::protocol::Resp) `-ERR text`, and
/// [`CrLf`](crate::protocol::CrLf) `500 text`, or the code of [`with_code`](Self::with_code). `Display` is the
/// kind and the text.
///
/// ```
/// use towline_middleware::reply::ReplyError;
///
/// assert_eq!(ReplyError::new("no such key").to_string(), "ERR no such key");
/// assert_eq!(ReplyError::of("WRONGTYPE", "not a list").to_string(), "WRONGTYPE not a list");
/// assert!(ReplyError::owned(format!("{} tries", 3)).fatal().is_fatal());
/// assert_eq!(ReplyError::with_code(552, "too much mail").code(), Some(552));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyError {
    kind: Cow<'static, str>,
    text: Cow<'static, str>,
    code: Option<u16>,
    fatal: bool,
}

impl ReplyError {
    /// An error of the kind `ERR`.
    pub const fn new(text: &'static str) -> Self {
        Self::of("ERR", text)
    }

    /// An error whose text is made at run time, of the kind `ERR`.
    pub fn owned(text: String) -> Self {
        Self { text: Cow::Owned(text), ..Self::new("") }
    }

    /// An error of a kind that the peer tells apart, such as `WRONGTYPE`.
    pub const fn of(kind: &'static str, text: &'static str) -> Self {
        Self { kind: Cow::Borrowed(kind), text: Cow::Borrowed(text), code: None, fatal: false }
    }

    /// An error with a number, for protocols that have them.
    pub const fn with_code(code: u16, text: &'static str) -> Self {
        Self {
            kind: Cow::Borrowed("ERR"),
            text: Cow::Borrowed(text),
            code: Some(code),
            fatal: false,
        }
    }

    /// Ends the connection behind it.
    #[must_use]
    pub fn fatal(mut self) -> Self {
        self.fatal = true;
        self
    }

    /// The kind: `ERR` unless given.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The text, without kind and code.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The number, if it has one.
    pub const fn code(&self) -> Option<u16> {
        self.code
    }

    /// Whether the connection ends behind it.
    pub const fn is_fatal(&self) -> bool {
        self.fatal
    }
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.text)
    }
}

impl Error for ReplyError {}

impl From<Infallible> for ReplyError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

//! The token that lets the admin port take commands.

use std::{
    fmt, fs,
    hint::black_box,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use crate::RunError;

/// Longest token file: more than any token needs, and a bound for `/dev/zero`.
const FILE_BYTES_MAX: u64 = 4096;

/// Shortest token: 64 bits as hex digits.
const BYTES_MIN: usize = 16;

/// A token. `Debug` does not show it.
pub(super) struct Token(Vec<u8>);

impl Token {
    /// Reads the token of `admin.token_file`.
    ///
    /// # Errors
    /// When the file cannot be read or others can read it, and when what it holds is no token.
    pub(super) fn read(path: &Path) -> Result<Self, RunError> {
        let refused = |why: &dyn fmt::Display| {
            RunError::usage(format!("admin.token_file = \"{}\" {why}", path.display()))
        };
        let cannot = |error: io::Error| refused(&format_args!("cannot be read: {error}"));
        let (bytes, metadata) = read_bounded(path, FILE_BYTES_MAX).map_err(cannot)?;
        let mode = metadata.mode() & 0o777;
        if mode & 0o007 != 0 {
            return Err(refused(&format_args!(
                "can be used by others (its mode is {mode:o}): expected 600, or 640"
            )));
        }
        let token = bytes.trim_ascii();
        if token.is_empty() {
            return Err(refused(&"is empty: expected a token on one line"));
        }
        if token.len() < BYTES_MIN {
            return Err(refused(&format_args!(
                "has a token of {} bytes: expected {BYTES_MIN} at least, such as `openssl rand -hex \
                 32` makes",
                token.len()
            )));
        }
        if !token.iter().all(u8::is_ascii_graphic) {
            return Err(refused(
                &"has more than a token: expected one line of ASCII without spaces",
            ));
        }
        Ok(Self(token.to_owned()))
    }

    /// Whether `given` is the token. Takes as long whichever byte differs; only the length shows.
    pub(super) fn is(&self, given: &[u8]) -> bool {
        if self.0.len() != given.len() {
            return false;
        }
        let pairs = self.0.iter().zip(given);
        pairs.fold(0, |differing, (mine, theirs)| black_box(differing | (mine ^ theirs))) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(<redacted>)")
    }
}

/// Reads at most `bytes_max` of a file; more is an error.
fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<(Vec<u8>, fs::Metadata)> {
    let file = fs::File::open(path)?;
    let metadata = file.metadata()?;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::other(format!("it is longer than {bytes_max} bytes")));
    }
    Ok((bytes, metadata))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_it() {
        let token = Token(b"0123456789abcdef".to_vec());
        assert!(token.is(b"0123456789abcdef"));
        for other in [&b""[..], b"0123456789abcde", b"0123456789abcdeg", b"1123456789abcdef0"] {
            assert!(!token.is(other), "{other:?}");
        }
        assert_eq!(format!("{token:?}"), "Token(<redacted>)");
    }
}

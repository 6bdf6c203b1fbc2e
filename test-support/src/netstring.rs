use bytes::{BufMut, BytesMut};
use towline_middleware::protocol::{Delimited, FrameError, FrameLimits, Notice, Protocol};

/// A protocol that is nothing like lines: frames such as `3:one,`, which say their length first.
///
/// Without `WORDS` the server has nothing to say by itself in it.
#[derive(Debug)]
pub enum Netstring<const WORDS: bool = true> {}

/// Most digits of a length.
const DIGITS_MAX: usize = 9;

/// The length of the first frame's text and of its prefix, or how many bytes are missing for that.
fn head(bytes: &[u8]) -> Result<Result<(usize, usize), usize>, FrameError> {
    let mut len = 0;
    for (at, byte) in bytes.iter().take(DIGITS_MAX + 1).enumerate() {
        match byte {
            b'0'..=b'9' if at < DIGITS_MAX => len = len * 10 + usize::from(byte - b'0'),
            b':' if at > 0 => return Ok(Ok((len, at + 1))),
            _ => return Err(FrameError::Malformed("expected a length")),
        }
    }
    Ok(Err(1))
}

/// The length of the first frame, or how many bytes are missing.
fn first(bytes: &[u8], frame_bytes: usize) -> Result<Result<usize, usize>, FrameError> {
    let (len, prefix) = match head(bytes)? {
        Ok(head) => head,
        Err(missing) => return Ok(Err(missing)),
    };
    if len > frame_bytes {
        return Err(FrameError::TooLong { limit_bytes: frame_bytes });
    }
    let whole = prefix + len + 1;
    match bytes.get(whole - 1) {
        None => Ok(Err(whole - bytes.len())),
        Some(b',') => Ok(Ok(whole)),
        Some(_) => Err(FrameError::Malformed("expected a comma")),
    }
}

impl<const WORDS: bool> Protocol for Netstring<WORDS> {
    type Frame<'a> = &'a [u8];

    fn delimit(bytes: &[u8], limits: &FrameLimits) -> Result<Delimited, FrameError> {
        let mut found = Delimited::default();
        while found.frames < limits.frames && found.whole < bytes.len() {
            match first(&bytes[found.whole..], limits.frame_bytes) {
                Ok(Ok(len)) => {
                    found.whole += len;
                    found.frames += 1;
                }
                Ok(Err(missing)) => {
                    found.wanted = missing;
                    break;
                }
                Err(error) if found.frames == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(found)
    }

    fn next<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
        let Ok(Ok((len, prefix))) = head(bytes) else { return std::mem::take(bytes) };
        let rest = &bytes[prefix..];
        let (text, rest) = rest.split_at(len.min(rest.len()));
        *bytes = rest.strip_prefix(b",").unwrap_or(rest);
        text
    }

    fn notice(notice: &Notice<'_>, out: &mut BytesMut) {
        let text = match notice {
            _ if !WORDS => return,
            Notice::Ping => "ping",
            Notice::TooLong { .. } => "too long",
            Notice::Malformed(why) => why,
            Notice::Timeout => "timeout",
            Notice::Overloaded => "overloaded",
            Notice::ReplyError(error) => error.text(),
            _ => return,
        };
        out.put_slice(format!("{}:{text},", text.len()).as_bytes());
    }

    fn is_pong(frame: &[u8]) -> bool {
        frame == b"pong"
    }
}

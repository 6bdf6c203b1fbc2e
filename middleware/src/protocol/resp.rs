use bytes::{BufMut, BytesMut};
use memchr::memchr;

use super::{
    AnyEol, Delimited, FrameError, FrameLimits, Notice, Protocol,
    each::{First, delimit_each, put_line},
};
use crate::reply::{Args, Replies};

/// The protocol of Redis clients, RESP2: arrays of bulk strings, and inline commands.
///
/// *Accepts*: `*2\r\n$3\r\nGET\r\n$1\r\na\r\n`, and as an inline command `GET a` with an end of line of either
/// kind; a frame is a command with its arguments, of any bytes in an array. An empty array or line is a command
/// without a verb, which is answered with nothing. *Refuses*: arrays of anything but bulk strings, negative
/// lengths, and lengths that would make a frame too long, before a byte of what they promise has come. *Does
/// not*: know quotes in inline commands, nor RESP3. A frame is as long as all its bytes are,
/// lengths included, but the last.
/// *Writes*: notices as errors, `-ERR …`; it has no ping. *Costs*: a hop from length to length to find the end of
/// a frame, and another when its arguments are asked for; the bytes of a bulk string are not looked at.
///
/// ```
/// use towline_middleware::protocol::{FrameError, FrameLimits, Protocol, Resp};
///
/// let limits = FrameLimits::new(512);
/// let mut read: &[u8] = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\nPING\r\n";
/// assert_eq!(Resp::delimit(read, &limits).unwrap().frames, 2);
/// let get = Resp::next(&mut read);
/// assert_eq!((get.verb(), get.exactly().unwrap()), (&b"GET"[..], [&b"a"[..]]));
/// assert_eq!(Resp::next(&mut read).verb(), b"PING");
/// let error = Resp::delimit(b"*1000000000\r\n", &limits);
/// assert_eq!(error, Err(FrameError::TooLong { limit_bytes: 512 }));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resp {}

/// Most digits of a length: those of `i64::MAX`.
const DIGITS_MAX: usize = 19;

/// Bytes of the shortest argument: `$0\r\n\r\n`.
const ARGUMENT_BYTES_MIN: usize = 6;

const NO_END: &str = "a bulk string without an end of line";

/// A length behind its type, and where its line ends; `None` if the end is not there yet.
#[inline]
fn length(
    bytes: &[u8],
    at: usize,
    kind: u8,
    what: &'static str,
) -> Result<Option<(usize, usize)>, FrameError> {
    let value = |digit: u8| usize::from(digit - b'0');
    // Most have one digit or two. Each length is read three times until its argument is used.
    match bytes.get(at..) {
        Some([first, one @ b'0'..=b'9', b'\r', b'\n', ..]) if *first == kind => {
            Ok(Some((value(*one), at + 4)))
        }
        Some([first, ten @ b'0'..=b'9', one @ b'0'..=b'9', b'\r', b'\n', ..]) if *first == kind => {
            Ok(Some((value(*ten) * 10 + value(*one), at + 5)))
        }
        _ => any_length(bytes, at, kind, what),
    }
}

#[inline(never)]
fn any_length(
    bytes: &[u8],
    at: usize,
    kind: u8,
    what: &'static str,
) -> Result<Option<(usize, usize)>, FrameError> {
    let malformed = FrameError::Malformed(what);
    let Some((&first, digits)) = bytes.get(at..).and_then(<[u8]>::split_first) else {
        return Ok(None);
    };
    if first != kind {
        return Err(malformed);
    }
    let mut value = 0_usize;
    for (count, &byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' if count < DIGITS_MAX => value = value * 10 + usize::from(byte - b'0'),
            b'\r' if count > 0 => {
                return match digits.get(count + 1) {
                    None => Ok(None),
                    Some(b'\n') => Ok(Some((value, at + 1 + count + 2))),
                    Some(_) => Err(malformed),
                };
            }
            _ => return Err(malformed),
        }
    }
    Ok(None)
}

fn first(bytes: &[u8], scanned: usize, limit_bytes: usize) -> Result<First, FrameError> {
    // What is behind the longest frame is not looked at, so an error does not depend on how much has come.
    let longest = limit_bytes.saturating_add(1);
    let window = &bytes[..bytes.len().min(longest)];
    let found = match window[0] {
        b'*' => array(window, limit_bytes)?,
        _ => inline(window, scanned.min(window.len())),
    };
    match found {
        First::Unfinished { .. } if window.len() == longest => {
            Err(FrameError::TooLong { limit_bytes })
        }
        found => Ok(found),
    }
}

fn inline(bytes: &[u8], scanned: usize) -> First {
    match memchr(b'\n', &bytes[scanned..]) {
        Some(at) => First::Whole(scanned + at + 1),
        None => First::Unfinished { scanned: bytes.len(), wanted: 0 },
    }
}

fn array(bytes: &[u8], limit_bytes: usize) -> Result<First, FrameError> {
    let too_long = FrameError::TooLong { limit_bytes };
    let longest = limit_bytes.saturating_add(1);
    let unfinished = |wanted| Ok(First::Unfinished { scanned: 0, wanted });
    let Some((arguments, mut at)) = length(bytes, 0, b'*', "invalid multibulk length")? else {
        return unfinished(1);
    };
    for argument in 0..arguments {
        // Without these bytes the arguments that are left cannot be there. So an array that comes byte by byte
        // is not parsed from its beginning at each byte.
        let least = (arguments - argument).saturating_mul(ARGUMENT_BYTES_MIN);
        if at.saturating_add(least) > longest {
            return Err(too_long);
        }
        let missing = at.saturating_add(least).saturating_sub(bytes.len());
        let Some((len, start)) = length(bytes, at, b'$', "expected a bulk string")? else {
            return unfinished(missing.max(1));
        };
        let end = start.saturating_add(len).saturating_add(2);
        if end > longest {
            return Err(too_long);
        }
        if end > bytes.len() {
            // A wrong end is found as soon as it is there.
            if bytes.get(end - 2).is_some_and(|&byte| byte != b'\r') {
                return Err(FrameError::Malformed(NO_END));
            }
            return unfinished((end - bytes.len()).max(missing));
        }
        if bytes[end - 2..end] != *b"\r\n" {
            return Err(FrameError::Malformed(NO_END));
        }
        at = end;
    }
    Ok(First::Whole(at))
}

/// Where the arguments of an array begin and end that was found to be whole; `None` if it is not.
fn whole_array(bytes: &[u8]) -> Option<(usize, usize)> {
    let (arguments, first) = length(bytes, 0, b'*', "").ok()??;
    let mut end = first;
    for _ in 0..arguments {
        let (len, start) = length(bytes, end, b'$', "").ok()??;
        end = start.checked_add(len)?.checked_add(2).filter(|end| *end <= bytes.len())?;
    }
    Some((first, end))
}

/// Takes the next bulk string off.
fn next_bulk<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (len, start) = length(rest, 0, b'$', "").ok()??;
    let argument = rest.get(start..start.checked_add(len)?)?;
    *rest = rest.get(start + len + 2..).unwrap_or_default();
    Some(argument)
}

impl Protocol for Resp {
    type Frame<'a> = Args<'a>;
    const REFUSES_TLS: bool = true;

    fn delimit(bytes: &[u8], limits: &FrameLimits) -> Result<Delimited, FrameError> {
        delimit_each(bytes, limits, |bytes, scanned| first(bytes, scanned, limits.frame_bytes))
    }

    fn next<'a>(bytes: &mut &'a [u8]) -> Args<'a> {
        let all = *bytes;
        if all.first() != Some(&b'*') {
            return Args::words(AnyEol::next(bytes));
        }
        // Anything but a whole array is no frame that a peer sent.
        let Some((first, end)) = whole_array(all) else {
            *bytes = &[];
            return Args::words(&[]);
        };
        *bytes = &all[end..];
        Args::new(&all[first..end], next_bulk)
    }

    fn notice(notice: &Notice<'_>, out: &mut BytesMut) {
        let texts: &[&str] = match notice {
            // A client would take it for the reply to its next command.
            Notice::Ping | Notice::Draining => return,
            Notice::TooLong { .. } => &["ERR Protocol error: too long"],
            Notice::Malformed(why) => &["ERR Protocol error: ", why],
            Notice::Timeout => &["ERR timeout"],
            Notice::Overloaded => &["ERR overloaded"],
            Notice::ReplyError(error) => return Self::error(error, out),
            Notice::TooManyConnections => &["ERR max number of clients reached"],
            Notice::TooManyFromAddress => &["ERR too many connections from your address"],
            Notice::Refused(why) => &["ERR ", why],
            Notice::TooSlow => &["ERR too slow"],
        };
        out.put_u8(b'-');
        put_line(texts, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &[u8] =
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\nPING  x\r\n*1\r\n$4\r\nQUIT\r\n";

    fn frames(mut whole: &[u8]) -> Vec<Vec<Vec<u8>>> {
        let mut all = Vec::new();
        while !whole.is_empty() {
            let args = Resp::next(&mut whole);
            all.push([args.verb()].into_iter().chain(args).map(<[u8]>::to_vec).collect());
        }
        all
    }

    #[test]
    fn arrays_and_inline_commands_are_the_same_commands() {
        let found = Resp::delimit(THREE, &FrameLimits::new(64)).expect("well formed");
        assert_eq!((found.whole, found.frames), (THREE.len(), 3));
        let texts: Vec<_> = frames(THREE).iter().map(|frame| frame.join(&b'|')).collect();
        assert_eq!(texts, [&b"SET|k|a\r\nb"[..], b"PING|x", b"QUIT"]);
    }

    #[test]
    fn frames_do_not_depend_on_the_cut_and_none_is_whole_before_what_it_wants() {
        for cut in 0..=THREE.len() {
            let found = Resp::delimit(&THREE[..cut], &FrameLimits::new(64)).expect("well formed");
            let mut all = frames(&THREE[..found.whole]);
            assert_eq!(all.len(), found.frames as usize);
            all.extend(frames(&THREE[found.whole..]));
            assert_eq!(all, frames(THREE), "cut at {cut}");
            let before = (cut + found.wanted).saturating_sub(1).clamp(cut, THREE.len());
            let again =
                Resp::delimit(&THREE[..before], &FrameLimits::new(64)).expect("well formed");
            assert_eq!(again.frames, found.frames, "cut at {cut}, {} wanted", found.wanted);
        }
    }

    #[test]
    fn lengths_are_refused_before_they_are_paid_for() {
        let error =
            |bytes: &[u8]| Resp::delimit(bytes, &FrameLimits::new(64)).expect_err("refused");
        let too_long = FrameError::TooLong { limit_bytes: 64 };
        assert_eq!(error(b"*1000000000\r\n"), too_long);
        assert_eq!(error(b"*1\r\n$999999999999\r\n"), too_long);
        assert_eq!(error(b"*1\r\n$9999999999999999999\r\n"), too_long);
        assert_eq!(error(&[b'x'; 65]), too_long);
        for bytes in [
            &b"*-1\r\n"[..],
            b"*1\r\n$-1\r\n",
            b"*1\r\n*1\r\n",
            b"*\r\n",
            b"*1\rx",
            b"*1\r\n$1\r\nabc",
        ] {
            assert!(matches!(error(bytes), FrameError::Malformed(_)), "{}", bytes.escape_ascii());
        }
        assert!(matches!(error(b"*12345678901234567890"), FrameError::Malformed(_)));
    }

    #[test]
    fn no_bytes_panic() {
        let alphabet = [b'*', b'$', b'1', b'0', b'\r', b'\n', b'a'];
        for mut number in 0..7_usize.pow(7) {
            let bytes: Vec<u8> = (0..7)
                .map(|_| {
                    let byte = alphabet[number % 7];
                    number /= 7;
                    byte
                })
                .collect();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let before = rest.len();
                Resp::next(&mut rest).iter().for_each(drop);
                assert!(rest.len() < before);
            }
            if let Ok(found) = Resp::delimit(&bytes, &FrameLimits::new(64)) {
                assert!(found.whole <= bytes.len());
            }
        }
    }
}

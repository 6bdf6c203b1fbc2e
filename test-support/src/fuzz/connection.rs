use bytes::BytesMut;
use tokio_util::codec::Decoder;
use towline_middleware::{Echo, Lines, LinesBatchCodec, serve::WritePolicy, stats::CloseReason};

use crate::{End, FaultyIo, Step, every, serve};

/// Lines of at most `limit` bytes from the front of `bytes`, and whether a longer one follows.
fn whole_lines(bytes: &[u8], limit: usize) -> (&[u8], bool) {
    let mut end = 0;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let length = line.strip_suffix(b"\n").map_or(line.len(), <[u8]>::len);
        if length > limit {
            return (&bytes[..end], true);
        }
        if length < line.len() {
            end += line.len();
        }
    }
    (&bytes[..end], false)
}

/// The same lines are decoded however the bytes are cut. The first byte is the limit, the second one the
/// size of a piece, the rest the bytes.
pub fn codec(data: &[u8]) {
    let [limit, piece, bytes @ ..] = data else { return };
    let (limit, piece) = (usize::from(*limit), usize::from(*piece).max(1));
    let (expected, too_long) = whole_lines(bytes, limit);

    let mut codec = LinesBatchCodec::new(limit);
    let mut buffer = BytesMut::new();
    let mut got = Vec::new();
    let mut failed = false;
    'all: for piece in bytes.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(lines)) => {
                    check_batch(&lines);
                    got.extend_from_slice(lines.as_bytes());
                }
                Ok(None) => break,
                Err(_) => {
                    failed = true;
                    break 'all;
                }
            }
        }
        assert!(buffer.len() <= limit, "an unfinished line longer than the limit was kept");
    }
    assert_eq!((&got[..], failed), (expected, too_long));
}

fn check_batch(lines: &Lines) {
    assert!(lines.as_bytes().ends_with(b"\n"));
    assert_eq!(lines.count(), lines.iter().count());
    assert!(lines.clone().into_lines().map(|line| line.to_vec()).eq(lines.iter()));
    let mut rest = lines.clone();
    let head = rest.split_to(lines.count() / 2);
    assert_eq!([head.as_bytes(), rest.as_bytes()].concat(), lines.as_bytes());
}

/// A client gets its whole lines back, in order, whatever the reads and writes of the server's stream do.
/// The first byte is the limit, the second one the write policy, the third one how many bytes of steps
/// follow, first those of reads; the rest is what the client sends.
pub fn connection(data: &[u8]) {
    let [limit, policy, steps, rest @ ..] = data else { return };
    let (steps, bytes) = rest.split_at(usize::from(*steps).min(rest.len()));
    let (reads, writes) = steps.split_at(steps.len() / 2);
    let policy = match policy % 32 {
        0 => WritePolicy::Auto,
        lines => every(u32::from(lines)),
    };
    let limit = usize::from(*limit);
    let io = FaultyIo::new(bytes.to_vec())
        .reads(reads.iter().copied().map(step))
        .writes(writes.iter().copied().map(step))
        .end(End::Eof);
    let (reason, output) = serve(io, LinesBatchCodec::new(limit), Echo, policy);

    let (mut expected, too_long) =
        (whole_lines(bytes, limit).0.to_vec(), whole_lines(bytes, limit).1);
    if too_long {
        expected.extend_from_slice(b"ERR line too long\n");
        assert_eq!(reason, CloseReason::LineTooLong);
    } else {
        assert_eq!(reason, CloseReason::PeerEof);
    }
    assert_eq!(output, expected);
}

fn step(byte: u8) -> Step {
    match byte {
        0..64 => Step::Pending,
        64..80 => Step::Interrupted,
        80..=255 => Step::Take(usize::from(byte - 79)),
    }
}

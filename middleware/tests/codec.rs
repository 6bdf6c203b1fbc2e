//! Both codecs against a reference that is simple enough to check by eye, and against each other.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::sync::Arc;

use bytes::BytesMut;
use proptest::prelude::*;
use tokio_util::codec::{Decoder, Encoder};
use towline_middleware::{LineError, LineLimits, Lines, LinesBatchCodec, Utf8LinesCodec};

/// Lines as delivered, and how the stream ended.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    lines: Vec<Vec<u8>>,
    too_long: bool,
    /// Bytes of an unfinished line at the end.
    rest: usize,
}

/// What [`LinesBatchCodec`] promises, byte by byte.
fn reference(bytes: &[u8], limit: usize) -> Outcome {
    let mut outcome = Outcome::default();
    let mut line = Vec::new();
    for &byte in bytes {
        if byte == b'\n' {
            outcome.lines.push(std::mem::take(&mut line));
        } else if line.len() == limit {
            outcome.too_long = true;
            return outcome;
        } else {
            line.push(byte);
        }
    }
    outcome.rest = line.len();
    outcome
}

/// Every way to cut `bytes` in two.
fn splits(bytes: &[u8]) -> impl Iterator<Item = [&[u8]; 2]> {
    (0..=bytes.len()).map(|at| [&bytes[..at], &bytes[at..]])
}

/// Feeds a codec piece by piece, as a transport does.
fn decoded<C>(mut codec: C, pieces: &[&[u8]]) -> Outcome
where
    C: Decoder<Item = Lines, Error = LineError>,
{
    let mut outcome = Outcome::default();
    let mut buffer = BytesMut::new();
    for (piece, last) in pieces.iter().map(|piece| (*piece, false)).chain([(&b""[..], true)]) {
        buffer.extend_from_slice(piece);
        loop {
            let decoded =
                if last { codec.decode_eof(&mut buffer) } else { codec.decode(&mut buffer) };
            match decoded {
                Ok(Some(lines)) => {
                    assert!(!lines.is_empty(), "an empty batch was delivered");
                    assert_eq!(lines.count(), lines.iter().count());
                    outcome.lines.extend(lines.iter().map(<[u8]>::to_vec));
                }
                Ok(None) => break,
                Err(LineError::TooLong { .. }) => {
                    outcome.too_long = true;
                    return outcome;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    outcome.rest = buffer.len();
    outcome
}

#[track_caller]
fn assert_same_at_every_split(bytes: &[u8], limit: usize) {
    let expected = reference(bytes, limit);
    for pieces in splits(bytes) {
        assert_eq!(decoded(LinesBatchCodec::new(limit), &pieces), expected, "split {pieces:?}");
    }
    let single: Vec<_> = bytes.chunks(1).collect();
    assert_eq!(decoded(LinesBatchCodec::new(limit), &single), expected, "byte by byte");
}

/// Bytes with many newlines, so that short inputs hold several lines.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        3 => Just(b'\n'),
        1 => Just(b'\r'),
        1 => Just(0),
        6 => any::<u8>(),
        6 => b'a'..=b'f',
    ];
    prop::collection::vec(byte, 0..200)
}

/// Cuts `bytes` at these places.
fn cut<'a>(bytes: &'a [u8], at: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<_> = at.iter().map(|at| at.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn fault_19_batches_are_those_of_the_reference_for_every_cut_and_limit(
        bytes in noise(),
        at in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        limit in 0_usize..40,
    ) {
        let expected = reference(&bytes, limit);
        prop_assert_eq!(decoded(LinesBatchCodec::new(limit), &cut(&bytes, &at)), expected);
    }

    #[test]
    fn fault_19_batches_have_their_most_lines_for_every_cut_and_limit(
        bytes in noise(),
        at in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        limit in 0_usize..40,
        lines_max in 0_u32..200,
    ) {
        let codec = LinesBatchCodec::new(limit).lines_max(lines_max);
        let pieces = cut(&bytes, &at);
        prop_assert_eq!(decoded(codec, &pieces), reference(&bytes, limit));
        let mut buffer = BytesMut::from(&bytes[..]);
        let mut codec = LinesBatchCodec::new(99_999).lines_max(lines_max);
        let mut lines = bytes.iter().filter(|&&byte| byte == b'\n').count();
        while let Some(batch) = codec.decode(&mut buffer).unwrap() {
            prop_assert_eq!(batch.count(), lines.min(lines_max.max(1) as usize));
            lines -= batch.count();
        }
        prop_assert_eq!(lines, 0);
    }

    /// For UTF-8 without carriage returns they differ only in an unfinished line at the end, which the
    /// codec for single lines delivers.
    #[test]
    fn fault_04_both_codecs_agree_on_utf8_without_carriage_returns(
        text in "(\\PC|\n|\n|[a-e]){0,80}",
        at in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        limit in 0_usize..60,
    ) {
        let bytes = text.replace('\r', "").into_bytes();
        let pieces = cut(&bytes, &at);
        let mut batch = decoded(LinesBatchCodec::new(limit), &pieces);
        let line = decoded(Utf8LinesCodec::new(limit), &pieces);
        if batch.rest > 0 {
            batch.lines.push(bytes[bytes.len() - batch.rest..].to_vec());
            batch.rest = 0;
        }
        prop_assert_eq!(batch, line);
    }

    #[test]
    fn decoded_lines_are_encoded_to_the_same_bytes(text in "([a-zß☃]{0,9}\n){0,20}") {
        let bytes = text.as_bytes();
        prop_assert_eq!(echoed(&mut LinesBatchCodec::new(99), bytes), bytes);
        prop_assert_eq!(echoed(&mut Utf8LinesCodec::new(99), bytes), bytes);
    }
}

fn echoed<C>(codec: &mut C, bytes: &[u8]) -> Vec<u8>
where
    C: Decoder<Item = Lines, Error = LineError> + Encoder<Lines, Error = LineError>,
{
    let mut read = BytesMut::from(bytes);
    let mut write = BytesMut::new();
    while let Some(lines) = codec.decode(&mut read).unwrap() {
        codec.encode(lines, &mut write).unwrap();
    }
    write.to_vec()
}

/// Lengths around the limit, after other lines and before them, with and without a newline.
#[test]
fn fault_04_a_line_as_long_as_the_limit_passes_and_one_byte_more_does_not() {
    const LIMIT: usize = 7;
    for (length, passes) in [(LIMIT - 1, true), (LIMIT, true), (LIMIT + 1, false)] {
        let line = vec![b'x'; length];
        for ending in [&b""[..], b"\n", b"\nafter\n", b"\nafter"] {
            for before in [&b""[..], b"\n", b"a\nbb\n", b"1234567\n"] {
                let bytes = [before, &line, ending].concat();
                assert_eq!(reference(&bytes, LIMIT).too_long, !passes);
                assert_same_at_every_split(&bytes, LIMIT);
            }
        }
    }
}

#[test]
fn fault_04_a_carriage_return_counts_towards_the_limit_and_belongs_to_the_line() {
    assert_same_at_every_split(b"123456\r\n", 7);
    assert_same_at_every_split(b"1234567\r\n", 7);
    let outcome = decoded(LinesBatchCodec::new(7), &[b"a\r\n\r\n\rb\n"]);
    assert_eq!(outcome.lines, [&b"a\r"[..], b"\r", b"\rb"]);
}

#[test]
fn lines_before_a_line_that_is_too_long_are_delivered_first() {
    for pieces in splits(b"one\ntwo\nthree!\nfour\n") {
        let outcome = decoded(LinesBatchCodec::new(5), &pieces);
        let lines = vec![b"one".to_vec(), b"two".to_vec()];
        assert_eq!(outcome, Outcome { lines, too_long: true, rest: 0 }, "split {pieces:?}");
    }
}

#[test]
fn fault_19_every_byte_but_the_newline_is_opaque() {
    for odd in [
        &b"\0"[..],
        b"\xff\xfe",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\x85",
        "\u{2028}".as_bytes(),
        "\u{feff}bom".as_bytes(),
        b"\r",
        b"a\rb",
        b"",
    ] {
        let bytes = [odd, b"\n", odd, odd, b"\n\n", odd, b"\n"].concat();
        assert_same_at_every_split(&bytes, 16);
        assert_eq!(echoed(&mut LinesBatchCodec::new(16), &bytes), bytes);
    }
}

#[test]
fn a_limit_of_0_passes_empty_lines_only_and_the_largest_passes_everything() {
    assert_same_at_every_split(b"\n\n\n", 0);
    assert_same_at_every_split(b"\n\na\n", 0);
    assert_same_at_every_split(b"abc\n\ndef", usize::MAX);
}

/// A client that sends an endless line byte by byte must not make the codec scan the whole of it for each
/// byte. Instead of measuring time the test changes the bytes that were scanned: newlines put there must
/// not be found.
#[test]
fn fault_03_bytes_without_a_newline_are_scanned_once() {
    let mut codec = LinesBatchCodec::new(1 << 20);
    let mut buffer = BytesMut::new();
    for _ in 0..1000 {
        buffer.extend_from_slice(b"xxxx");
        assert_eq!(codec.decode(&mut buffer).unwrap(), None);
        buffer.fill(b'\n');
    }
    buffer.fill(b'x');
    buffer.extend_from_slice(b"\nrest");
    let line = codec.decode(&mut buffer).unwrap().unwrap();
    assert_eq!((line.as_bytes().len(), line.count()), (4001, 1));
    // The rest after the line has been scanned, too.
    buffer.fill(b'\n');
    assert_eq!(codec.decode(&mut buffer).unwrap(), None);
}

#[test]
fn fault_19_invalid_utf8_is_an_error_after_the_lines_before_it() {
    let mut codec = Utf8LinesCodec::new(99);
    let mut buffer = BytesMut::from(&b"good\n\xff\nnever\n"[..]);
    assert_eq!(codec.decode(&mut buffer).unwrap().unwrap().as_bytes(), b"good\n");
    assert!(matches!(codec.decode(&mut buffer), Err(LineError::NotUtf8)));

    let mut out = BytesMut::new();
    let reply = Lines::new(&b"\xff\n"[..]).unwrap();
    assert!(matches!(codec.encode(reply, &mut out), Err(LineError::NotUtf8)));
    assert!(out.is_empty(), "no part of a reply that cannot be sent is sent");
}

#[test]
fn the_codec_for_single_lines_strips_a_carriage_return_and_delivers_an_unfinished_line() {
    let outcome = decoded(Utf8LinesCodec::new(99), &[b"a\r\nb\nc"]);
    assert_eq!(outcome.lines, [b"a", b"b", b"c"]);
}

#[test]
fn a_shared_line_limit_can_be_changed_for_codecs_that_exist() {
    let limits = Arc::new(LineLimits::new(3));
    let mut batch = LinesBatchCodec::shared(limits.clone());
    let mut lines = Utf8LinesCodec::shared(limits.clone());
    let mut fits = |text: &str| {
        let batch = batch.decode(&mut BytesMut::from(text)).is_ok();
        assert_eq!(lines.decode(&mut BytesMut::from(text)).is_ok(), batch, "{text}");
        batch
    };
    assert!(fits("abc\n"));
    limits.set_bytes(5);
    assert!(fits("abcde\n"));
    limits.set_bytes(4);
    assert!(!fits("abcde\n"));
}

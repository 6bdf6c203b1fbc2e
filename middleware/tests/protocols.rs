//! The built-in protocols: each keeps the laws, and finds what a parser finds that is given everything and
//! looks at one frame after another.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use bytes::BytesMut;
use proptest::{collection::vec, prelude::*, sample::select};
use towline_middleware::{
    Batch,
    protocol::{
        AnyEol, BigEndian, CrLf, FrameError, FrameLimits, Length, Lf, LineWithBody, LittleEndian,
        Notice, Protocol, Raw, Resp,
    },
    reply::{Args, ReplyError},
    test::laws,
};
use towline_test_support::fuzz::Store;

/// What a peer sends that wants to confuse, whatever the protocol.
const BAD: [&[u8]; 20] = [
    b"*1000000000\r\n",
    b"*1\r\n$999999999999\r\nx",
    b"*-2\r\n",
    b"*2\r\n$-1\r\n",
    b"*1\r\n*1\r\n$1\r\nx\r\n",
    b"set k 0 0 99999999999\r\n",
    b"put 999999999999999999999999999999\r\nx\r\n",
    b"put -1\r\n\r\n",
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r\r\n\n\r\r",
    b"\0\0\0\0\0\0",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x00\x00\x00\x05abc",
    b"get a\0b\r\n",
    b"",
    b"put 2\r\nab\nput 2\nab\r\n",
    b"put 0\r\n\r\nput 1\nx\n",
];

fn check<P: Protocol>(input: &[u8]) {
    laws::<P>(BAD);
    laws::<P>([input]);
}

#[test]
fn bad_input_breaks_no_law() {
    let long = "v".repeat(64 * 1024);
    check::<Lf>(long.as_bytes());
    check::<AnyEol>(long.as_bytes());
    check::<CrLf>(long.as_bytes());
    check::<Resp>(long.as_bytes());
    check::<Resp>(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\n\r\n\r\n*0\r\nPING\r\n\n*1\r\n$1\r\nxy\n");
    check::<LineWithBody<Store>>(long.as_bytes());
    check::<Length<1>>(b"\x01a");
    check::<Length<3, LittleEndian>>(b"\x01\0\0a");
    check::<Length<8>>(long.as_bytes());
}

#[test]
fn lengths_that_lie_take_no_memory() {
    fn refused<P: Protocol>(input: &[u8]) {
        let found = P::delimit(input, &FrameLimits::new(1000));
        assert_eq!(found, Err(FrameError::TooLong { limit_bytes: 1000 }), "{input:?}");
    }
    refused::<Length<4>>(b"\xff\xff\xff\xff");
    refused::<Length<8>>(b"\xff\xff\xff\xff\xff\xff\xff\xff");
    refused::<LineWithBody<Store>>(b"put 99999999999\r\n");
    let found = LineWithBody::<Store>::delimit(
        b"put 999999999999999999999999999999\r\n",
        &FrameLimits::new(1000),
    );
    assert_eq!(found, Err(FrameError::Malformed("expected a length")));
}

#[test]
fn a_bare_line_feed_or_carriage_return_ends_no_line_of_crlf() {
    for input in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "a\nb\r\n", "a\rb\r\n"] {
        let input = input.as_bytes();
        let whole = input.iter().take_while(|_| input.starts_with(b"\r\n")).take(2).count();
        let limits = FrameLimits::new(100);
        if whole > 0 {
            assert_eq!(CrLf::delimit(input, &limits).unwrap().whole, whole);
        }
        let error = CrLf::delimit(&input[whole..], &limits);
        assert!(matches!(error, Err(FrameError::Malformed(_))), "{input:?}: {error:?}");
    }
}

#[test]
fn a_body_ends_like_its_line() {
    let body = |input| LineWithBody::<Store>::delimit(input, &FrameLimits::new(100));
    assert_eq!(body(b"put 1\nx\n").unwrap().frames, 1);
    assert_eq!(body(b"put 1\r\nx\r\n").unwrap().frames, 1);
    assert!(matches!(body(b"put 1\r\nxyz"), Err(FrameError::Malformed(_))));
    assert_eq!(body(b"put 5\r\nab").unwrap().wanted, 5);
}

#[test]
fn raw_delivers_every_byte_and_no_frame_above_the_limit() {
    let mut rest: &[u8] = b"some\nbytes";
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let found = Raw::delimit(rest, &FrameLimits::new(4)).unwrap();
        let mut whole = &rest[..found.whole];
        frames.push(Raw::next(&mut whole));
        rest = &rest[found.whole..];
    }
    assert_eq!(frames, [&b"some"[..], b"\nbyt", b"es"]);
    assert_eq!(Raw::delimit(b"", &FrameLimits::new(4)).unwrap().frames, 0);
    assert_eq!(Raw::delimit(b"ab", &FrameLimits::new(0)).unwrap().whole, 1);
}

#[test]
fn a_length_that_does_not_fit_is_not_written() {
    let mut out = BytesMut::new();
    let error = Length::<1>::put(&[0; 256], &mut out);
    assert_eq!((error, out.len()), (Err(FrameError::TooLong { limit_bytes: 255 }), 0));
}

/// An error in the place of a reply. Without one the peer would take the next reply for it.
#[test]
fn every_protocol_with_replies_says_an_error_as_its_own_replies_are_said() {
    fn said<P: Protocol>() -> BytesMut {
        let mut out = BytesMut::new();
        P::notice(&Notice::ReplyError(&ReplyError::with_code(451, "too fast")), &mut out);
        out
    }
    assert_eq!(&said::<Lf>()[..], b"ERR too fast\n");
    assert_eq!(&said::<AnyEol>()[..], b"ERR too fast\r\n");
    assert_eq!(&said::<LineWithBody<Store>>()[..], b"ERR too fast\r\n");
    assert_eq!(&said::<CrLf>()[..], b"451 too fast\r\n");
    assert_eq!(&said::<Resp>()[..], b"-ERR too fast\r\n");
    assert_eq!(&said::<Length<2>>()[..], b"\0\x0cERR too fast");
    // Every byte of it belongs to another protocol.
    assert_eq!(&said::<Raw>()[..], b"");
}

#[test]
fn a_reason_with_an_end_of_line_is_one_line() {
    fn said<P: Protocol>() -> BytesMut {
        let mut out = BytesMut::new();
        P::notice(&Notice::Refused("no\r\nQUIT"), &mut out);
        out
    }
    assert_eq!(&said::<AnyEol>()[..], b"ERR no  QUIT\r\n");
    assert_eq!(&said::<CrLf>()[..], b"554 no  QUIT\r\n");
    assert!(AnyEol::has_ping() && !CrLf::has_ping() && !LineWithBody::<Store>::has_ping());
}

/// Input of these pieces, in any order.
fn input(pieces: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    vec(select(pieces), 0..14).prop_map(|pieces| pieces.concat().into_bytes())
}

/// The frames at the front of `bytes`, up to the first one that is unfinished or cannot be one.
fn frames<P: Protocol>(bytes: &[u8]) -> Vec<P::Frame<'_>> {
    let Ok(found) = P::delimit(bytes, &FrameLimits::new(usize::MAX)) else { return Vec::new() };
    let mut whole = &bytes[..found.whole];
    (0..found.frames).map(|_| P::next(&mut whole)).collect()
}

fn lengths(payloads: &[Vec<u8>], put: impl Fn(&[u8], &mut BytesMut)) -> BytesMut {
    let mut out = BytesMut::new();
    payloads.iter().for_each(|payload| put(payload, &mut out));
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_eol_finds_the_lines_of_a_plain_split(
        input in input(&["a", "bcd", "\r", "\n", "\r\n", "\0", "pong"]),
    ) {
        let expected: Vec<_> = input
            .split_inclusive(|&byte| byte == b'\n')
            .filter_map(|line| line.strip_suffix(b"\n"))
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .collect();
        prop_assert_eq!(frames::<AnyEol>(&input), expected);
        laws::<AnyEol>([&input]);
    }

    #[test]
    fn crlf_finds_the_lines_before_the_first_bare_end(
        input in input(&["a", "bcd", "\r\n", "\r\n", "e\r\n", "\r", "\n", "."]),
    ) {
        let mut expected = Vec::new();
        let text = str::from_utf8(&input).unwrap();
        for line in text.split_inclusive("\r\n") {
            let Some(line) = line.strip_suffix("\r\n") else { break };
            if line.contains(['\r', '\n']) {
                break;
            }
            expected.push(line.as_bytes());
        }
        prop_assert_eq!(frames::<CrLf>(&input), expected);
        laws::<CrLf>([&input]);
    }

    #[test]
    fn resp_commands_come_out_as_they_were_written(
        commands in vec(vec(vec(any::<u8>(), 0..20), 1..6), 0..6),
        inline in any::<bool>(),
    ) {
        let mut input = Vec::new();
        for command in &commands {
            input.extend(format!("*{}\r\n", command.len()).bytes());
            for argument in command {
                input.extend(format!("${}\r\n", argument.len()).bytes());
                input.extend(argument);
                input.extend(b"\r\n");
            }
            if inline {
                input.extend(b"PING  a b\n");
            }
        }
        let words = |args: Args<'_>| -> Vec<Vec<u8>> {
            [args.verb()].into_iter().chain(args).map(<[u8]>::to_vec).collect()
        };
        let found: Vec<_> = frames::<Resp>(&input).into_iter().map(words).collect();
        let ping = || ["PING", "a", "b"].map(|word| word.as_bytes().to_vec()).to_vec();
        let expected: Vec<_> = commands
            .iter()
            .flat_map(|command| [Some(command.clone()), inline.then(ping)])
            .flatten()
            .collect();
        prop_assert_eq!(found, expected);
        laws::<Resp>([&input]);
    }

    #[test]
    fn pieces_of_resp_break_no_law(
        input in input(&["*2\r\n", "*1\r\n", "*", "$1\r\na\r\n", "$0\r\n\r\n", "$3\r\n", "\r\n", "x", "9"]),
    ) {
        laws::<Resp>([&input]);
    }

    #[test]
    fn bodies_hold_any_bytes(
        input in input(&["get\r\n", "get\n", "put 3\r\n", "put 0\n", "a\r\n", "\r\n", "\n", "x"]),
    ) {
        let (mut expected, mut rest) = (Vec::new(), str::from_utf8(&input).unwrap());
        while let Some((line, behind)) = rest.split_once('\n') {
            let (line, eol) = line.strip_suffix('\r').map_or((line, "\n"), |line| (line, "\r\n"));
            let Some(len) = line.strip_prefix("put ") else {
                expected.push((line.as_bytes(), None));
                rest = behind;
                continue;
            };
            let Ok(len) = len.parse() else { break };
            let Some((body, behind)) = behind.split_at_checked(len) else { break };
            let Some(behind) = behind.strip_prefix(eol) else { break };
            expected.push((line.as_bytes(), Some(body.as_bytes())));
            rest = behind;
        }
        prop_assert_eq!(frames::<LineWithBody<Store>>(&input), expected);
        laws::<LineWithBody<Store>>([&input]);
    }

    #[test]
    fn lengths_come_back_as_they_were_put(payloads in vec(vec(any::<u8>(), 0..20), 0..6), cut in 0_usize..9) {
        let big = lengths(&payloads, |payload, out| Length::<2>::put(payload, out).unwrap());
        let big = &big[..big.len().saturating_sub(cut)];
        let whole = frames::<Length<2, BigEndian>>(big);
        prop_assert!(payloads.iter().map(Vec::as_slice).zip(&whole).all(|(put, got)| put == *got));
        prop_assert!(cut > 0 || whole.len() == payloads.len());
        laws::<Length<2>>([big]);
        let little = lengths(&payloads, |payload, out| {
            Length::<3, LittleEndian>::put(payload, out).unwrap();
        });
        let batch = Batch::<Length<3, LittleEndian>>::new(little.clone()).unwrap();
        prop_assert!(batch.frames().eq(payloads.iter().map(Vec::as_slice)));
        laws::<Length<3, LittleEndian>>([&little]);
    }
}

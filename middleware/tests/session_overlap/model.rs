//! Random frames against a model of what is said to them.

use std::time::Duration;

use proptest::{collection::vec, prelude::*};
use tokio::{
    io::AsyncWriteExt,
    time::{sleep, timeout},
};
use towline_middleware::session::Overlap;

use super::tester::{SECOND, Tested};

/// A frame, what is said to it, and whether the connection ends behind it.
type Frame = (String, String, bool);

/// Frames whose replies name them.
fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let frame = prop_oneof![
        4 => Just(("say".to_owned(), false)),
        4 => (0_u64..50).prop_map(|millis| (format!("wait {millis}"), false)),
        1 => (0_u64..50).prop_map(|millis| (format!("then {millis}"), false)),
        1 => (0_u64..50, 0_u64..50).prop_map(|(one, two)| (format!("again {one} {two}"), false)),
        1 => Just(("stream".to_owned(), false)),
        1 => (0_u64..50).prop_map(|millis| (format!("then-stream {millis}"), false)),
        1 => Just(("nothing".to_owned(), false)),
        1 => (0_u64..50).prop_map(|millis| (format!("both {millis}"), false)),
        1 => (1_u64..50).prop_map(|millis| (format!("within {millis}"), false)),
        1 => (0_u64..50).prop_map(|millis| (format!("close {millis}"), true)),
    ];
    vec(frame, 0..30).prop_map(|frames| {
        let number = |(number, (frame, ends)): (usize, (String, bool))| {
            let reply = match frame.split(' ').next() {
                Some("nothing") => String::new(),
                Some("within") => "ERR timeout\n".to_owned(),
                Some("both") => format!("at once\n{number}\n"),
                Some("stream" | "then-stream") => format!("{number}{number}{number}\n"),
                _ => format!("{number}\n"),
            };
            let count = if frame == "stream" { " 3" } else { "" };
            (format!("{frame} {number}{count}\n"), reply, ends)
        };
        let mut frames: Vec<Frame> = frames.into_iter().enumerate().map(number).collect();
        frames.push(("quit\n".to_owned(), "bye\n".to_owned(), true));
        frames
    })
}

/// What is said to `frames` sent in pieces that end at `cuts`, with pauses.
fn said(overlap: Overlap, frames: &[Frame], cuts: &[(usize, u64)]) -> (String, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut tested = Tested::new(overlap);
        let text: String = frames.iter().map(|(frame, ..)| frame.as_str()).collect();
        let mut rest = &text[..];
        for &(bytes, pause) in cuts {
            let (piece, behind) = rest.split_at(bytes.min(rest.len()));
            rest = behind;
            // A connection that has ended takes no more.
            let _ = tested.client.write_all(piece.as_bytes()).await;
            sleep(Duration::from_millis(pause)).await;
        }
        let _ = tested.client.write_all(rest.as_bytes()).await;
        let (said, _) = timeout(100 * SECOND, tested.rest()).await.unwrap();
        (said, tested.futures())
    })
}

proptest! {
    #[test]
    fn replies_in_order_are_those_to_one_frame_at_a_time(
        frames in frames(),
        cuts in vec((0_usize..60, 0_u64..40), 0..6),
        replies_max in 1_u32..6,
    ) {
        let last = frames.iter().position(|(.., ends)| *ends).unwrap();
        let expected: String = frames[..=last].iter().map(|(_, reply, _)| &reply[..]).collect();
        for overlap in [Overlap::OFF, Overlap::ordered(replies_max)] {
            prop_assert_eq!(said(overlap, &frames, &cuts), (expected.clone(), 0));
        }
    }

    #[test]
    fn tagged_replies_are_whole_and_none_is_missing(
        frames in frames(),
        cuts in vec((0_usize..60, 0_u64..40), 0..6),
        replies_max in 1_u32..6,
    ) {
        let (said, futures) = said(Overlap::tagged(replies_max), &frames, &cuts);
        prop_assert_eq!(futures, 0);
        // Every reply once at most: those in front of the first end all the same, and last words last.
        let last = frames.iter().position(|(.., ends)| *ends).unwrap();
        let mut left: Vec<&str> = said.lines().collect();
        for (number, (_, reply, _)) in frames.iter().enumerate() {
            for line in reply.lines() {
                match left.iter().position(|other| *other == line) {
                    Some(at) => drop(left.remove(at)),
                    None => prop_assert!(number > last, "{line} is missing in {said}"),
                }
            }
        }
        prop_assert!(left.is_empty(), "{left:?} is too much in {said}");
    }
}

//! A test kit for protocols of your own. With feature `test`.

use std::ops::Range;

use crate::protocol::{FrameError, FrameLimits, Protocol};

/// Longest frames that each input is read with.
const FRAME_BYTES: [usize; 6] = [0, 1, 5, 16, 100, usize::MAX];

/// Cuts into two reads that are tried of an input; all, if it is shorter.
const HALVES_MAX: usize = 256;

/// Random cuts into many reads that are tried of an input.
const RANDOM_CUTS: usize = 30;

/// Checks the laws of [`Protocol`] for each input of `corpus`: read whole, byte by byte, in two parts cut at
/// each byte, and in random parts that are the same in each run; with several limits.
///
/// Give it what peers send, and what they should not send: lengths that lie, ends that are missing or not
/// alike, frames of no bytes. *Costs*: at most some thousand calls of [`Protocol::delimit`] an input.
///
/// # Panics
/// If a law does not hold; the message names it, the input and the limit.
///
/// ```
/// use towline_middleware::{protocol::Lf, test};
/// test::laws::<Lf>(["one\ntwo\n", "\n\n", "no end"]);
/// ```
pub fn laws<P: Protocol>(corpus: impl IntoIterator<Item: AsRef<[u8]>>) {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for input in corpus {
        let input = input.as_ref();
        let unlimited = Reading::<P>::whole(input, usize::MAX);
        for frame_bytes in FRAME_BYTES {
            let expected = Reading::<P>::whole(input, frame_bytes);
            check_limit(&expected, &unlimited);
            let check = |cuts: &[usize], frames| {
                let read = Reading::<P>::new(input, cuts, frame_bytes, frames);
                let same = read.ends == expected.ends && read.error == expected.error;
                read.hold("1: frames do not depend on cuts", same, cuts);
            };
            check(&[], 1);
            check(&(1..input.len()).collect::<Vec<_>>(), 3);
            for cut in (1..input.len()).step_by(input.len() / HALVES_MAX + 1) {
                check(&[cut], u32::MAX);
                check_growth(&expected, cut);
            }
            for _ in 0..RANDOM_CUTS {
                let mut cuts: Vec<_> = (0..8).map(|_| below(&mut random, input.len())).collect();
                cuts.sort_unstable();
                check(&cuts, below(&mut random, 4) as u32 + 1);
            }
        }
    }
}

/// A number below `end`, or 0; by xorshift.
fn below(random: &mut u64, end: usize) -> usize {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    (*random % (end as u64).max(1)) as usize
}

/// One way to read an input, and what came out.
struct Reading<'a, P: Protocol> {
    input: &'a [u8],
    frame_bytes: usize,
    /// Where frames end.
    ends: Vec<usize>,
    error: Option<FrameError>,
    next: fn(&mut &'a [u8]) -> P::Frame<'a>,
}

impl<'a, P: Protocol> Reading<'a, P> {
    fn whole(input: &'a [u8], frame_bytes: usize) -> Self {
        Self::new(input, &[], frame_bytes, u32::MAX)
    }

    /// Reads as a codec does: what is left over is looked at again with the next part.
    fn new(input: &'a [u8], cuts: &[usize], frame_bytes: usize, frames: u32) -> Self {
        let (ends, error) = (Vec::new(), None);
        let mut reading = Self { input, frame_bytes, ends, error, next: P::next };
        let (mut scanned, mut needed) = (0, 0);
        for &end in cuts.iter().chain([&input.len()]) {
            while reading.start() < end {
                let rest = reading.start()..end;
                let limits = FrameLimits { frame_bytes, frames, scanned };
                let found = match P::delimit(&input[rest.clone()], &limits) {
                    Ok(found) => found,
                    Err(error) => {
                        reading.error = Some(error);
                        return reading;
                    }
                };
                let early = rest.len() < needed;
                reading.hold("4: none is whole before `wanted`", !early || found.whole == 0, cuts);
                if early {
                    break;
                }
                reading.hold("3: at most `frames`", found.frames <= frames, cuts);
                reading.take(rest.start..rest.start + found.whole, found.frames);
                let left = end - reading.start();
                reading.hold("3: `scanned` is of the rest", found.scanned <= left, cuts);
                scanned = found.scanned;
                needed = if found.wanted > 0 { left.saturating_add(found.wanted) } else { 0 };
                if found.whole == 0 {
                    break;
                }
            }
        }
        reading
    }

    /// Where the first frame begins that was not taken.
    fn start(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    fn take(&mut self, whole: Range<usize>, frames: u32) {
        let law = "3: `next` takes `frames` frames off, to their end";
        self.hold(law, whole.end <= self.input.len(), &[]);
        let mut rest = &self.input[whole.clone()];
        for _ in 0..frames {
            let before = rest.len();
            (self.next)(&mut rest);
            self.hold(law, rest.len() < before, &[]);
            self.ends.push(whole.end - rest.len());
        }
        self.hold(law, rest.is_empty(), &[]);
    }

    #[track_caller]
    fn hold(&self, law: &str, holds: bool, cuts: &[usize]) {
        let (input, limit) = (self.input.escape_ascii(), self.frame_bytes);
        assert!(
            holds,
            "law {law}: \"{input}\" cut at {cuts:?}, limit {limit}: frames end at {:?}, {:?}",
            self.ends, self.error,
        );
    }
}

/// Law 2, and that an error stays one.
fn check_growth<P: Protocol>(reading: &Reading<'_, P>, cut: usize) {
    let limits = FrameLimits::new(reading.frame_bytes);
    let part = P::delimit(&reading.input[..cut], &limits);
    let all = P::delimit(reading.input, &limits);
    let holds = match (part, all) {
        (Ok(part), Ok(all)) => part.whole <= all.whole,
        (Ok(part), Err(_)) => part.whole == 0,
        (Err(part), all) => all == Err(part),
    };
    reading.hold("2: `whole` does not shrink", holds, &[cut]);
}

/// Law 6: the same frames come out up to the first one that is too long, which is known before its last byte.
fn check_limit<P: Protocol>(limited: &Reading<'_, P>, unlimited: &Reading<'_, P>) {
    let law = "6: a frame that is too long is an error before it is all there";
    let count = limited.ends.len();
    let same = unlimited.ends.starts_with(&limited.ends);
    limited.hold(law, same, &[]);
    let Some(&end) = unlimited.ends.get(count) else { return };
    let error = Some(FrameError::TooLong { limit_bytes: limited.frame_bytes });
    limited.hold(law, limited.error == error, &[]);
    let unfinished = &limited.input[limited.start()..end - 1];
    if !unfinished.is_empty() {
        let early = P::delimit(unfinished, &FrameLimits::new(limited.frame_bytes)).err();
        limited.hold(law, early == error, &[]);
    }
}

//! The same input in any pieces.

use super::{
    conversation::{Conversation, Way, hold, stage},
    in_paused_runtime,
    record::Shown,
};
use crate::Server;

/// Cuts into two pieces that are tried; all of them, if the input is shorter.
const HALVES_MAX: usize = 1000;

/// Longest input that is sent byte by byte; of a longer one only its beginning is.
const BYTE_BY_BYTE_MAX: usize = 64 * 1024;

/// Random cuts into several pieces that are tried.
const RANDOM_CUTS: usize = 1000;

/// Most pieces of a random cut.
const PIECES_MAX: usize = 8;

/// Bytes of replies that a client takes at a time that was slow before.
const TAKE_BYTES: [usize; 4] = [1, 7, 100, 4096];

/// Parts at most in which such a client takes long replies.
const TAKES_MAX: usize = 64;

/// Checks that a server answers `input` alike, however the network cuts it, and returns what it says.
///
/// `input` is sent whole, byte by byte, in two pieces cut at each place (a thousand of them at most), and in a
/// thousand random cuts that are the same in each run. A part of these clients reads nothing before everything
/// is sent, and then little at a time, so that the server meets back-pressure. When the server has been quiet
/// for 10 seconds the client closes its sending side. Each time the replies and the reason for the close must be
/// those of the first time.
///
/// `make` makes the server anew each time, because what one run leaves behind would be there for the next. All
/// of it runs in memory, on a paused clock, and without the heartbeat. What a server says must not depend on
/// chance, such as the order of a `HashMap`.
///
/// *Costs*: about 2,000 connections, a second or two without optimisation.
///
/// ```
/// use towline::{Args, Close, CloseReason, Router, Server, protocol::Lf, test};
///
/// fn server() -> Server {
///     let commands = Router::<Lf, ()>::new()
///         .command("ECHO", |_: &mut (), args: Args<'_>| args.rest().to_vec())
///         .command("QUIT", |_: &mut (), _: Args<'_>| Close("bye"));
///     Server::builder().router(commands, |_conn| ())
/// }
///
/// let held = test::any_split(server, "ECHO a\r\nDANCE\nQUIT\nECHO lost\n");
/// assert_eq!(held.said, b"a\r\nERR unknown command 'DANCE'\nbye\n");
/// assert_eq!(held.reason, CloseReason::ServiceClose);
/// ```
///
/// # Panics
/// If replies or reason differ; the message has the cut, and both conversations from where they differ. If the
/// program panics, or a connection does not end. In a Tokio runtime.
#[track_caller]
pub fn any_split(make: impl Fn() -> Server, input: impl AsRef<[u8]>) -> Conversation {
    let input = input.as_ref();
    in_paused_runtime(async {
        let whole = hold(&stage(make()), input, Way::default()).await;
        let check = async |way: Way<'_>| {
            let held = hold(&stage(make()), input, way).await;
            assert!(held == whole, "{}", Difference { input, way, whole: &whole, held: &held });
        };
        let take = |bytes: usize| Some(bytes.max(whole.said.len() / TAKES_MAX));
        for bytes in TAKE_BYTES {
            check(Way { cuts: &[], take_max: take(bytes) }).await;
        }
        let each: Vec<_> = (1..input.len().min(BYTE_BY_BYTE_MAX)).collect();
        check(Way { cuts: &each, take_max: None }).await;
        check(Way { cuts: &each, take_max: take(1) }).await;
        for cut in (1..input.len()).step_by(input.len() / HALVES_MAX + 1) {
            check(Way { cuts: &[cut], take_max: None }).await;
        }
        let mut random = Random::new();
        for number in 0..RANDOM_CUTS {
            let cuts = random.cuts(input.len());
            let slow = number % 4 == 0;
            let bytes = TAKE_BYTES[number / 4 % TAKE_BYTES.len()];
            check(Way { cuts: &cuts, take_max: take(bytes).filter(|_| slow) }).await;
        }
        whole
    })
}

/// Numbers that are the same in each run; by xorshift.
struct Random(u64);

impl Random {
    const fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % (end as u64).max(1)) as usize
    }

    /// Some places of an input, in order.
    fn cuts(&mut self, len: usize) -> Vec<usize> {
        let count = 1 + self.below(PIECES_MAX - 1);
        let mut cuts: Vec<_> = (0..count).map(|_| self.below(len)).collect();
        cuts.sort_unstable();
        cuts
    }
}

/// Why the check fails.
struct Difference<'a> {
    input: &'a [u8],
    way: Way<'a>,
    whole: &'a Conversation,
    held: &'a Conversation,
}

/// Bytes in front of the first difference that are shown.
const CONTEXT_BYTES: usize = 60;

/// Pieces of the input that are shown.
const PIECES_SHOWN_MAX: usize = 9;

impl std::fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { input, way, whole, held } = self;
        let same = whole.said.iter().zip(&held.said).take_while(|(a, b)| a == b).count();
        let from = same.saturating_sub(CONTEXT_BYTES);
        writeln!(f, "the replies depend on how the input arrives: {way}")?;
        for piece in way.pieces(input).take(PIECES_SHOWN_MAX) {
            writeln!(f, "  C: \"{}\"", Shown(piece))?;
        }
        for (name, conversation) in [("whole", whole), ("so", held)] {
            let Conversation { said, reason } = conversation;
            let (said, reason) = (Shown(&said[from..]), reason.label());
            writeln!(f, "  {name}, from byte {from}: \"{said}\", then {reason}")?;
        }
        Ok(())
    }
}

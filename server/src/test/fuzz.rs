//! One input of a fuzzer.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::bytes::Bytes;

use super::{
    Stage,
    conversation::{Way, end, stage},
    in_paused_runtime,
};
use crate::Server;

/// Most pieces of an input.
const PIECES_MAX: usize = 8;

/// Bytes that a connection may hold beside frames and replies: blocks that are read into and written from.
const BLOCKS_BYTES: usize = 256 * 1024;

/// Serves one client that sends what a fuzzer found, and checks that nothing panics, that the connection ends
/// after its client has closed, and that it never holds more memory than its limits allow.
///
/// The first byte of `bytes` says how the client behaves: into how many pieces its input is cut, whether it
/// reads late, and whether it resets in the place of closing. As many bytes follow as there are cuts, which say
/// where; the rest is what the client sends. A program that answers one frame with more than a longest frame
/// may be found to hold too much.
///
/// A whole fuzz target of a program:
///
/// ```ignore
/// #![no_main]
/// libfuzzer_sys::fuzz_target!(|data: &[u8]| towline::test::fuzz(my_program::server(), data));
/// ```
///
/// *Costs*: making the server, a runtime and a connection in memory: some 50 µs.
///
/// ```
/// use std::convert::Infallible;
/// use towline::{Lines, Server, service_fn, test};
///
/// let echo = service_fn(|lines: Lines| async move { Ok::<_, Infallible>(lines) });
/// test::fuzz(Server::builder().serve(echo), b"\x02\x01\x09one\ntwo\nthree");
/// ```
///
/// # Panics
/// If what it checks does not hold, when the server cannot be staged, and in a Tokio runtime.
#[track_caller]
pub fn fuzz(server: Server, bytes: &[u8]) {
    let Some((&first, rest)) = bytes.split_first() else { return };
    let count = usize::from(first) % PIECES_MAX;
    let (stalls, resets) = (first & 0x40 != 0, first & 0x80 != 0);
    let (places, input) = rest.split_at(count.min(rest.len()));
    let place = |&at: &u8| usize::from(at) * input.len() / 256;
    let mut cuts: Vec<_> = places.iter().map(place).collect();
    cuts.sort_unstable();
    in_paused_runtime(async {
        let stage = stage(server);
        let mut client = stage.connect().await;
        if stalls {
            client.stall();
        }
        let way = Way { cuts: &cuts, take_max: None };
        for piece in way.pieces(input) {
            client.pipe.state().send(Bytes::copy_from_slice(piece));
            // On a paused clock it passes when everything has run.
            sleep(Duration::from_millis(1)).await;
            check_memory(&stage);
        }
        client.resume();
        if resets {
            client.reset();
        }
        end(client).await;
        check_memory(&stage);
    });
}

/// Checks what one connection holds while it waits.
fn check_memory(stage: &Stage) {
    let pool = stage.pool();
    let limits = pool.config.borrow().effective.settings.limits.clone();
    let most = 2 * (limits.line_bytes + limits.output_bytes) + BLOCKS_BYTES;
    let held = pool.buffer_bytes();
    assert!(held <= most as u64, "one connection holds {held} bytes, more than {most}");
}

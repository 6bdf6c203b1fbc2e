//! A test kit: a server's connections on a stage, without a network and without waiting. With feature `test`.
//!
//! [`stage`] takes a [`Server`] that would otherwise be run, with its settings, its service, its sessions or
//! its router, and serves [`Client`]s in memory with the same stack: framing with its limits, heartbeat and
//! deadlines, metrics, drain. On a paused clock a deadline of an hour takes no time.
//!
//! The clock moves when every task of the runtime waits. One that never does, such as a loop over
//! `yield_now`, stops it, and no expectation ends; on the real clock they do.
//!
//! ```
//! use std::time::Duration;
//! use towline::{
//!     Args, Close, CloseReason, Router, Server,
//!     protocol::Lf,
//!     test,
//! };
//!
//! /// The server, as `main` runs it and as tests stage it.
//! fn server() -> Server {
//!     let commands = Router::<Lf, u32>::new()
//!         .command("ADD", |sum: &mut u32, args: Args<'_>| {
//!             args.parse::<u32>().map(|number| {
//!                 *sum += number;
//!                 *sum
//!             })
//!         })
//!         .command("QUIT", |_: &mut u32, _: Args<'_>| Close("bye"));
//!     Server::builder().idle_timeout(Duration::from_secs(20)).router(commands, |_conn| 0)
//! }
//!
//! // In a test: #[tokio::test(start_paused = true)]
//! #[tokio::main(flavor = "current_thread", start_paused = true)]
//! async fn main() {
//!     let stage = test::stage(server());
//!     let (mut ann, mut bob) = (stage.connect().await, stage.connect().await);
//!     ann.send("ADD 2");
//!     ann.send("ADD 3");
//!     ann.expect("2").await;
//!     ann.expect("5").await;
//!     bob.send("ADD x");
//!     bob.expect_like("ERR *").await;
//!     ann.send("QUIT");
//!     ann.expect("bye").await;
//!     assert_eq!(ann.is_closed().await, CloseReason::ServiceClose);
//!     assert_eq!(stage.metric("towline_connections_active"), 1.0);
//!
//!     stage.advance(Duration::from_secs(21)).await;
//!     assert_eq!(bob.is_closed().await, CloseReason::IdleTimeout);
//! }
//! ```

mod any_split;
mod client;
mod conversation;
mod expect;
mod fuzz;
mod glob;
mod memory;
mod pipe;
mod record;
mod stage;
mod tcp;
mod transcript;

use tokio::runtime::{self, Handle};
pub use towline_middleware::test::laws;

pub use self::{
    any_split::any_split, client::Client, conversation::Conversation, fuzz::fuzz, stage::Stage,
    transcript::transcript,
};
use crate::Server;

/// Stages `server` in memory: [`Stage::new`].
pub fn stage(server: Server) -> Stage {
    Stage::new(server)
}

/// Runs `future` to its end on a paused clock.
///
/// # Panics
/// In a Tokio runtime.
#[track_caller]
fn in_paused_runtime<T>(future: impl Future<Output = T>) -> T {
    assert!(
        Handle::try_current().is_err(),
        "it makes a runtime of its own, and is called in one: call it in a plain #[test], not in a \
         #[tokio::test]"
    );
    let runtime = runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without sockets needs nothing of the system").block_on(future)
}

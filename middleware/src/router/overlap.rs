//! How many replies of a connection wait at once.

use super::Router;
use crate::{reply::Commands, session::Overlap};

impl<P: Commands, S: Send + 'static> Router<P, S> {
    /// Lets up to `commands` deferred replies of a connection wait at once. They are written in the order of
    /// their commands; see [`Overlap::ordered`]. Default: 1, commands behind one that waits are not called.
    ///
    /// ```
    /// use std::time::Duration;
    /// use towline_middleware::{protocol::Lf, reply::Args, router::Router, session::Deferred};
    /// # use towline_middleware::{BatchCodec, BoxError, drain::Watch, session::serve_session};
    /// # use tokio::{io::{AsyncReadExt, AsyncWriteExt}, time::{Instant, sleep}};
    ///
    /// fn get(_: &mut (), args: Args<'_>) -> Deferred<Lf, ()> {
    ///     let key = args.rest().escape_ascii().to_string();
    ///     Deferred::new(async {
    ///         sleep(Duration::from_secs(1)).await; // a database
    ///         key
    ///     })
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), BoxError> {
    /// let routes = Router::<Lf, ()>::new().command("GET", get).overlap(16).build()?;
    ///
    /// let (mut client, server) = tokio::io::duplex(1024);
    /// tokio::spawn(serve_session(server, BatchCodec::new(1024), routes.session(()), Watch::never()));
    /// let begun = Instant::now();
    /// client.write_all(b"GET a\nGET b\nGET c\n").await?;
    /// let mut said = [0; 6];
    /// client.read_exact(&mut said).await?;
    /// assert_eq!(&said, b"a\nb\nc\n");
    /// assert!(begun.elapsed() < Duration::from_secs(2)); // and not three
    /// # Ok(()) }
    /// ```
    pub fn overlap(mut self, commands: u32) -> Self {
        self.overlap = Overlap::ordered(commands);
        self
    }

    /// Lets up to `commands` deferred replies of a connection wait at once, and writes each when it is done:
    /// for protocols in which a reply names its command; see [`Overlap::tagged`]. Replaces
    /// [`overlap`](Self::overlap).
    pub fn overlap_tagged(mut self, commands: u32) -> Self {
        self.overlap = Overlap::tagged(commands);
        self
    }
}

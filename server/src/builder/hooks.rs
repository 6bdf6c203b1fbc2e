//! What the program gives to its server beside settings.

use towline_middleware::{BoxError, protocol::BytesMut};

use super::Builder;
#[cfg(feature = "admin")]
use crate::admin::UserMetrics;
use crate::{Peer, hooks::ServiceErrorHook};

impl Builder {
    /// What a ping of the [`heartbeat`](Self::heartbeat) says, in the place of the protocol's word: a whole frame,
    /// terminator included. A protocol without a word for a ping can have a heartbeat with one.
    ///
    /// Any frame of the client answers it. One that does nothing else is not served, if [`pong`](Self::pong) says
    /// which that is.
    ///
    /// ```
    /// use std::{convert::Infallible, time::Duration};
    /// use towline::{Heartbeat, Lines, Server, service_fn};
    ///
    /// let irc = Server::builder()
    ///     .heartbeat(Heartbeat::every(Duration::from_secs(90)))
    ///     .ping("PING :towline\r\n")
    ///     .pong(|line| line.starts_with(b"PONG"))
    ///     .serve(service_fn(|lines: Lines| async move { Ok::<_, Infallible>(lines) }));
    /// ```
    ///
    /// Default: the protocol's word; for lines `ping`.
    ///
    /// # Errors
    /// Of [`Server::start`](crate::Server::start), when it does not end as a frame of the protocol does.
    pub fn ping(mut self, frame: impl AsRef<[u8]>) -> Self {
        let frame = BytesMut::from(frame.as_ref()).freeze();
        self.hooks.ping_words = self.hooks.ping_words.ping(frame);
        self
    }

    /// Which frames do nothing but answer a ping: the first such frame behind one is not served. `is_pong` gets
    /// the bytes of a frame without the line end behind them, and is asked only while a ping is unanswered.
    ///
    /// Default: what the protocol says; for lines `pong`.
    pub fn pong(mut self, is_pong: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Self {
        self.hooks.ping_words = self.hooks.ping_words.pong(is_pong);
        self
    }

    /// A function that is called with each error that ends a connection: of a service, of a
    /// [`ReplyStream`](crate::ReplyStream), of a layer around them. With it comes the peer, or `None` if the
    /// peer has reset the connection meanwhile.
    ///
    /// Not called for what is answered instead (a timeout, an overload, a
    /// [`ReplyError`](crate::ReplyError)), and not for a panic. The log has at most one of these errors per
    /// second, this function gets all, so what it does must be bounded. It runs on the thread that serves the
    /// connection, before the close, and must not block. A panic in it is caught.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    /// use towline::{Lines, Server, service_fn};
    ///
    /// static BROKEN_PIPES: AtomicU64 = AtomicU64::new(0);
    ///
    /// let server = Server::builder()
    ///     .on_service_error(|_peer, error| {
    ///         if error.is::<std::io::Error>() {
    ///             BROKEN_PIPES.fetch_add(1, Relaxed);
    ///         }
    ///     })
    ///     .serve(service_fn(|lines: Lines| async move { Ok::<_, std::io::Error>(lines) }));
    /// ```
    ///
    /// Default: none.
    pub fn on_service_error(
        mut self,
        hook: impl Fn(Option<Peer>, &BoxError) + Send + Sync + 'static,
    ) -> Self {
        self.hooks.on_service_error = Some(ServiceErrorHook::new(hook));
        self
    }

    /// A function that renders metrics of the program in Prometheus' text format; `/metrics` shows
    /// them behind the server's own. Called once per scrape, on the admin thread.
    ///
    /// Names that begin with `towline_` or `process_` are the server's: Prometheus rejects a page on
    /// which a series appears twice.
    ///
    /// Default: none. With [metrics-exporter-prometheus](https://docs.rs/metrics-exporter-prometheus)
    /// it is `let handle = PrometheusBuilder::new().install_recorder()?;` and
    /// `.metrics(move || handle.render())`.
    #[cfg(feature = "admin")]
    pub fn metrics(mut self, render: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.metrics = Some(UserMetrics::new(render));
        self
    }
}

//! A stream in memory that others can write to beside its owner, as the socket of a connection is.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

thread_local! {
    static STREAMS: RefCell<HashMap<i32, Arc<Mutex<DuplexStream>>>> = RefCell::default();
    static NEXT: Cell<i32> = const { Cell::new(0) };
}

/// The owner's end. It is found by its number until it is dropped.
pub(crate) struct SharedStream {
    stream: Arc<Mutex<DuplexStream>>,
    id: i32,
}

impl SharedStream {
    pub(crate) fn new(stream: DuplexStream) -> (Self, i32) {
        let (stream, id) = (Arc::new(Mutex::new(stream)), NEXT.get());
        NEXT.set(id + 1);
        STREAMS.with_borrow_mut(|streams| streams.insert(id, stream.clone()));
        (Self { stream, id }, id)
    }

    fn with<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut DuplexStream>, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        poll(Pin::new(&mut *self.stream.lock().unwrap()), cx)
    }
}

impl Drop for SharedStream {
    fn drop(&mut self) {
        // A thread that ends has no streams any more.
        let _ = STREAMS.try_with(|streams| streams.borrow_mut().remove(&self.id));
    }
}

/// Writes what the stream takes, without waiting.
pub(crate) fn write_now(id: i32, bytes: &[u8]) -> io::Result<usize> {
    let stream = STREAMS.with_borrow(|streams| streams.get(&id).cloned());
    let stream = stream.unwrap_or_else(|| panic!("stream {id} is closed"));
    let mut stream = stream.lock().unwrap();
    match Pin::new(&mut *stream).poll_write(&mut Context::from_waker(Waker::noop()), bytes) {
        Poll::Ready(written) => written,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl AsyncRead for SharedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with(cx, |stream, cx| stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for SharedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(cx, AsyncWrite::poll_shutdown)
    }
}

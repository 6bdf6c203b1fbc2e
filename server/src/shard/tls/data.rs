//! Data in and out of TLS over a socket.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    session::{ENCRYPT_BYTES_MAX, ENCRYPTED_BYTES_MAX},
    socket::TlsSocket,
};

/// What a record has beside its data, rounded up: a short read is then a direct system call.
const RECORD_OVERHEAD_BYTES: usize = 128;

/// Most reads in one poll that bring no data, after which other connections run: a client may send records without
/// any.
const READS_MAX: u32 = 16;

/// Longest that waits to be written with the data that follows: a ticket.
const JOINED_BYTES_MAX: usize = 1024;

thread_local! {
    /// Lent to the connection that writes.
    static OUTPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Where data goes: to the caller, and what it has no room for into memory of its own.
struct Receiver<'a, 'b> {
    buf: &'a mut ReadBuf<'b>,
    data: &'a mut Vec<u8>,
}

impl Receiver<'_, '_> {
    fn wants(&self) -> bool {
        self.buf.remaining() > 0
    }

    fn give(&mut self, data: &[u8]) {
        let (fits, rest) = data.split_at(data.len().min(self.buf.remaining()));
        self.buf.put_slice(fits);
        self.data.extend_from_slice(rest);
    }
}

impl AsyncRead for TlsSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.give_kept(buf) {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let mut reads = 0;
        while buf.filled().len() == before && !this.session.is_ended {
            if reads == READS_MAX {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            reads += 1;
            let bytes = buf.remaining() + RECORD_OVERHEAD_BYTES;
            let read = this.poll_input(cx, bytes, |this, input| {
                let mut receiver = Receiver { buf, data: &mut this.data };
                let (wants, give) = (|to: &Receiver<'_, '_>| to.wants(), Receiver::give);
                this.session.decrypt(input, &mut receiver, wants, give)
            });
            let says = match &read {
                Poll::Ready(Ok(())) => false,
                Poll::Ready(Err(_)) => true,
                Poll::Pending => !this.is_ticket_unsent,
            };
            if says && !this.session.unsent.is_empty() {
                // An alert, or an answer to what was read. An error of the write is one of the next write, too.
                let _ = this.poll_unsent(cx);
            }
            ready!(read)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let bytes = &bytes[..bytes.len().min(ENCRYPT_BYTES_MAX)];
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if this.session.unsent.len() > JOINED_BYTES_MAX {
            ready!(this.poll_unsent(cx))?;
        }
        OUTPUT.with_borrow_mut(|block| {
            if block.is_empty() {
                block.resize(ENCRYPTED_BYTES_MAX, 0);
            }
            this.is_ticket_unsent = false;
            let encrypted = this.session.encrypt(bytes, block, &mut this.input, &mut this.data);
            let length =
                encrypted.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if !this.session.unsent.is_empty() {
                this.session.unsent.extend_from_slice(&block[..length]);
                return match this.poll_unsent(cx) {
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    _ => Poll::Ready(Ok(bytes.len())),
                };
            }
            let sent = match Pin::new(&mut this.socket).poll_write(cx, &block[..length]) {
                Poll::Ready(sent) => sent?,
                Poll::Pending => 0,
            };
            this.session.unsent.extend_from_slice(&block[sent..length]);
            Poll::Ready(Ok(bytes.len()))
        })
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.session.unsent.is_empty() {
            ready!(self.poll_unsent(cx))?;
        }
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.session.close(&mut this.input, &mut this.data);
        let unsent = &mut this.session.unsent;
        let sent = this.socket.send_with_end(unsent)?;
        unsent.drain(..sent);
        ready!(this.poll_unsent(cx))?;
        match ready!(Pin::new(&mut self.socket).poll_shutdown(cx)) {
            // The client was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            done => Poll::Ready(done),
        }
    }
}

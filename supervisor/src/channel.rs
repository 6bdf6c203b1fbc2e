//! The socket pair between the supervisor and a worker process: whole messages in order, some with a
//! connection's descriptor.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    cmsg_space,
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
        sendmsg, socketpair, sockopt,
    },
};
use tokio::io::{Interest, unix::AsyncFd};
use towline::internal::register;

/// Longest message. The longest in use, settings and counts, take about 8 KiB.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Send buffer of each end, in bytes; the kernel doubles it. A message with a descriptor takes about
/// 1 KiB of it.
const SEND_BUFFER_BYTES: usize = 128 * 1024;

/// One end of the socket pair. It waits in the runtime that it was registered with; `try_send` and
/// `try_receive` work anywhere.
#[derive(Debug)]
pub(crate) struct Channel(AsyncFd<OwnedFd>);

/// A received message.
#[derive(Debug)]
pub(crate) struct Received {
    /// Bytes of the buffer that it fills.
    pub(crate) length: usize,
    /// The connection that came with it.
    pub(crate) socket: Option<OwnedFd>,
}

/// A buffer for the longest message.
pub(crate) fn buffer() -> Box<[u8]> {
    vec![0; MESSAGE_BYTES_MAX].into()
}

/// Makes a socket pair: one end to keep, one for another process.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    // Unlike datagram sockets, these report the end of the other side.
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    for end in [&ours, &theirs] {
        sockopt::set_socket_send_buffer_size(end, SEND_BUFFER_BYTES)?;
    }
    Ok((ours, theirs))
}

impl Channel {
    /// Registers an end with the current runtime.
    pub(crate) fn new(end: OwnedFd) -> io::Result<Self> {
        Ok(Self(register(end, Interest::READABLE | Interest::WRITABLE)?))
    }

    /// Moves the registration to the current runtime.
    pub(crate) fn reregister(self) -> io::Result<Self> {
        Self::new(self.0.into_inner())
    }

    /// A duplicate of this end, registered with the current runtime for incoming messages only.
    pub(crate) fn duplicate_readable(&self) -> io::Result<AsyncFd<OwnedFd>> {
        register(self.0.get_ref().try_clone()?, Interest::READABLE)
    }

    /// Sends a message without waiting; `WouldBlock` if the send buffer is full.
    pub(crate) fn try_send(&self, bytes: &[u8], socket: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let sockets = socket.as_slice();
        if !sockets.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(sockets)) {
            return Err(io::Error::other("a message cannot carry the descriptor"));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        sendmsg(self.0.get_ref().as_fd(), &[IoSlice::new(bytes)], &mut ancillary, flags)?;
        Ok(())
    }

    /// Waits until the send buffer has room for a message, and sends it.
    pub(crate) async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.send_with(bytes, None).await
    }

    /// As [`send`](Self::send), with a descriptor.
    pub(crate) async fn send_with(
        &self,
        bytes: &[u8],
        descriptor: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        loop {
            let mut ready = self.0.writable().await?;
            match self.try_send(bytes, descriptor) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                sent => return sent,
            }
        }
    }

    /// Waits for a message; `None` once the other end is closed and all its messages were received.
    ///
    /// Cancel safe: only a call that returns a message takes it out.
    pub(crate) async fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        loop {
            let mut ready = self.0.readable().await?;
            match self.try_receive(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                received => return received,
            }
        }
    }

    /// Receives a message without waiting; `None` once the other end is closed.
    pub(crate) fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        receive_from(self.0.get_ref(), buffer)
    }
}

/// Receives a message from an end without waiting; `None` once the other end is closed.
pub(crate) fn receive_from(end: impl AsFd, buffer: &mut [u8]) -> io::Result<Option<Received>> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let mut into = [IoSliceMut::new(buffer)];
    let mut receive = || recvmsg(end.as_fd(), &mut into, &mut ancillary, flags);
    let received = match receive() {
        // The other end was closed with unread messages. The kernel reports that once, before the
        // messages which the other end had sent.
        Err(Errno::CONNRESET) => receive()?,
        received => received?,
    };
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::Error::other("a message is longer than the buffer"));
    }
    // Without a free descriptor in this process the kernel drops the sent one, and the message
    // comes without it.
    let socket = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
        _ => None,
    });
    // No message is empty, so zero bytes are the end.
    Ok((received.bytes > 0).then_some(Received { length: received.bytes, socket }))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        os::unix::net::UnixStream,
    };

    use super::*;

    fn channels() -> (Channel, Channel) {
        let (one, other) = pair().expect("descriptors");
        (Channel::new(one).expect("a runtime"), Channel::new(other).expect("a runtime"))
    }

    #[tokio::test]
    async fn messages_arrive_whole_and_in_order_with_their_descriptors() {
        let (one, other) = channels();
        let (mut peer, passed) = UnixStream::pair().expect("descriptors");
        one.try_send(b"first", None).expect("room");
        one.try_send(b"second", Some(passed.as_fd())).expect("room");
        drop((passed, one));

        let mut buffer = buffer();
        let first = other.receive(&mut buffer).await.expect("no error").expect("a message");
        assert_eq!((&buffer[..first.length], first.socket.is_some()), (&b"first"[..], false));
        let second = other.receive(&mut buffer).await.expect("no error").expect("a message");
        assert_eq!(&buffer[..second.length], b"second");
        let gone = other.receive(&mut buffer).await.expect("no error");
        assert!(gone.is_none(), "the other end is closed");

        let mut received = UnixStream::from(second.socket.expect("a descriptor"));
        received.write_all(b"hello").expect("it is open");
        let mut read = [0; 5];
        peer.read_exact(&mut read).expect("it is open");
        assert_eq!(&read, b"hello");
    }

    /// The kernel reports the unread message first, and what was sent before the close was lost: the last
    /// counts of a worker, and how many connections it had cut.
    #[tokio::test]
    async fn messages_sent_before_a_close_with_unread_messages_are_received() {
        let (one, other) = channels();
        one.try_send(b"never read", None).expect("room");
        other.try_send(b"last", None).expect("room");
        drop(other);
        let mut buffer = buffer();
        let last = one.receive(&mut buffer).await.expect("no error").expect("a message");
        assert_eq!(&buffer[..last.length], b"last");
        assert!(one.receive(&mut buffer).await.expect("no error").is_none(), "it is closed");
    }

    #[tokio::test]
    async fn a_full_send_buffer_fails_try_send_and_delays_send() {
        let (one, other) = channels();
        let full = loop {
            if let Err(error) = one.try_send(&[7; 1000], None) {
                break error;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let waiting = async {
            one.send(b"late").await.expect("room after the other end has read");
            drop(one);
        };
        let reading = async {
            let mut buffer = buffer();
            let mut last = Vec::new();
            while let Some(Received { length, .. }) =
                other.receive(&mut buffer).await.expect("no error")
            {
                last = buffer[..length].to_vec();
            }
            last
        };
        let ((), last) = tokio::join!(waiting, reading);
        assert_eq!(last, b"late");
    }
}

//! The socket between a supervisor and a worker process: messages that arrive whole and in order,
//! some of them with a connection.

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

/// Longest message. The longest there are, settings and numbers, take some 8 KiB.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// What the kernel keeps for the other end, in bytes; it doubles that. A message with a connection
/// takes about 1 KiB of it.
const QUEUE_BYTES: usize = 128 * 1024;

/// One end. Registered with the runtime it was made in; sending without waiting works anywhere.
#[derive(Debug)]
pub(crate) struct Channel(AsyncFd<OwnedFd>);

/// A message as it came: how much of the buffer it fills, and the connection that came with it.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) length: usize,
    pub(crate) socket: Option<OwnedFd>,
}

/// What messages are received into.
pub(crate) fn buffer() -> Box<[u8]> {
    vec![0; MESSAGE_BYTES_MAX].into()
}

/// Both ends: one to keep, and one to give to another process.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    // Unlike datagrams, these tell when the other end is gone.
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    for end in [&ours, &theirs] {
        sockopt::set_socket_send_buffer_size(end, QUEUE_BYTES)?;
    }
    Ok((ours, theirs))
}

impl Channel {
    pub(crate) fn new(end: OwnedFd) -> io::Result<Self> {
        Ok(Self(register(end, Interest::READABLE | Interest::WRITABLE)?))
    }

    /// The same end, registered with the runtime that runs now.
    pub(crate) fn moved(self) -> io::Result<Self> {
        Self::new(self.0.into_inner())
    }

    /// The same end, only to be watched for what comes, by the runtime that runs now.
    pub(crate) fn watched(&self) -> io::Result<AsyncFd<OwnedFd>> {
        register(self.0.get_ref().try_clone()?, Interest::READABLE)
    }

    /// Sends a message if there is room for it now.
    pub(crate) fn try_send(&self, bytes: &[u8], socket: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let sockets = socket.as_slice();
        if !sockets.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(sockets)) {
            return Err(io::Error::other("there is no room for a descriptor beside a message"));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        sendmsg(self.0.get_ref().as_fd(), &[IoSlice::new(bytes)], &mut ancillary, flags)?;
        Ok(())
    }

    /// Sends a message, as soon as there is room for it.
    pub(crate) async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        loop {
            let mut ready = self.0.writable().await?;
            match self.try_send(bytes, None) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                sent => return sent,
            }
        }
    }

    /// Waits for a message; `None` when the other end is gone and all it sent was received.
    ///
    /// Cancel safe: a message is taken only by a call that returns it.
    pub(crate) async fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Arrived>> {
        loop {
            let mut ready = self.0.readable().await?;
            match self.try_receive(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                received => return received,
            }
        }
    }

    /// A message, if there is one now; `None` when the other end is gone.
    pub(crate) fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Option<Arrived>> {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let mut into = [IoSliceMut::new(buffer)];
        let received = match recvmsg(self.0.get_ref().as_fd(), &mut into, &mut ancillary, flags) {
            // The other end died with messages of ours unread.
            Err(Errno::CONNRESET) => return Ok(None),
            received => received?,
        };
        if received.flags.contains(ReturnFlags::TRUNC) {
            return Err(io::Error::other("a message is longer than any there is"));
        }
        // A descriptor this process has no room for is gone: the message comes without it.
        let socket = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
            _ => None,
        });
        // No message is empty.
        Ok((received.bytes > 0).then_some(Arrived { length: received.bytes, socket }))
    }
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
    async fn messages_arrive_whole_and_in_order_and_connections_with_them() {
        let (one, other) = channels();
        let (mut peer, handed) = UnixStream::pair().expect("descriptors");
        one.try_send(b"first", None).expect("room");
        one.try_send(b"second", Some(handed.as_fd())).expect("room");
        drop((handed, one));

        let mut buffer = buffer();
        let first = other.receive(&mut buffer).await.expect("no error").expect("a message");
        assert_eq!((&buffer[..first.length], first.socket.is_some()), (&b"first"[..], false));
        let second = other.receive(&mut buffer).await.expect("no error").expect("a message");
        assert_eq!(&buffer[..second.length], b"second");
        let gone = other.receive(&mut buffer).await.expect("no error");
        assert!(gone.is_none(), "the other end is gone");

        let mut taken = UnixStream::from(second.socket.expect("it came with one"));
        taken.write_all(b"hello").expect("it is open");
        let mut heard = [0; 5];
        peer.read_exact(&mut heard).expect("it is open");
        assert_eq!(&heard, b"hello");
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_or_waits() {
        let (one, other) = channels();
        let full = loop {
            if let Err(error) = one.try_send(&[7; 1000], None) {
                break error;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let waiting = async {
            one.send(b"late").await.expect("there will be room");
            drop(one);
        };
        let reading = async {
            let mut buffer = buffer();
            let mut last = Vec::new();
            while let Some(Arrived { length, .. }) =
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

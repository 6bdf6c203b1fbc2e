//! One connection's TLS over its non-blocking socket.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::{Errno, read};
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind};

use super::super::conn::Interest;
use crate::clock;
use crate::tls::{TlsTotals, describe};

/// Bytes that are encrypted at once, a record of TLS: what the socket does not take of it waits here.
const WRITE_BYTES_MAX: usize = 16 * 1024;
/// Encrypted bytes of one read in a handshake. Less than rustls holds decrypted: lines may come with the
/// end of the handshake.
const HANDSHAKE_READ_BYTES: usize = 8 * 1024;

/// The TLS of a connection, boxed, with what rustls holds. Plain connections have none.
#[derive(Debug)]
pub(super) struct Session {
    tls: ClientConnection,
    began: u64,
    /// What epoll watches the socket for.
    watched: Interest,
    input: Input,
    /// The handshake has just ended.
    opened: bool,
}

/// Whether anything more arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Open,
    /// The server said that this was all.
    Ended,
    /// What arrived is not what TLS allows, or an alert.
    Failed,
}

/// Outcome of a step of the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::event_loop) enum Step {
    /// The handshake waits for the server, or for the socket.
    Waits,
    Done,
    Failed,
}

impl Session {
    pub(super) fn new(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        now: u64,
        watched: Interest,
    ) -> Result<Self, rustls::Error> {
        let mut tls = ClientConnection::new(config, name)?;
        tls.set_buffer_limit(Some(WRITE_BYTES_MAX));
        Ok(Self { tls, began: now, watched, input: Input::Open, opened: false })
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// Goes on with the handshake as far as it goes without waiting.
    pub(super) fn handshake(
        &mut self,
        fd: &OwnedFd,
        cipher: &mut [u8],
        totals: &mut TlsTotals,
    ) -> Step {
        match self.handshake_io(fd, cipher) {
            Ok(()) if self.tls.is_handshaking() => Step::Waits,
            Ok(()) => {
                self.opened = true;
                // Read here: the server's answer may have come, and was computed with, in this step.
                totals.handshake.record(clock::now().saturating_sub(self.began), 1);
                match self.tls.handshake_kind() {
                    Some(HandshakeKind::Resumed) => totals.resumed += 1,
                    _ => totals.full += 1,
                }
                if let Some(suite) = self.tls.negotiated_cipher_suite() {
                    *totals.suites.entry(format!("{:?}", suite.suite())).or_default() += 1;
                }
                Step::Done
            }
            Err(text) => {
                totals.failed += 1;
                totals.error(text);
                Step::Failed
            }
        }
    }

    fn handshake_io(&mut self, fd: &OwnedFd, cipher: &mut [u8]) -> Result<(), String> {
        let broken = |error: Errno| match error {
            Errno::CONNRESET | Errno::PIPE => {
                "the server reset the connection during the handshake".to_owned()
            }
            other => format!("the connection failed during the handshake: {other}"),
        };
        self.flush(fd).map_err(broken)?;
        let room = cipher.len().min(HANDSHAKE_READ_BYTES);
        let count = match read(fd, &mut cipher[..room]) {
            Ok(0) => return Err("the server closed the connection during the handshake".to_owned()),
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(error) => return Err(broken(error)),
        };
        let fed = self.feed(&cipher[..count], &mut []);
        // Also an alert about what was wrong. If it cannot be sent, the error says so by itself.
        let flushed = self.flush(fd);
        fed.map_err(|error| describe(&error))?;
        flushed.map(drop).map_err(broken)
    }

    /// Decrypts what was read; returns the bytes that fitted `into`.
    fn feed(&mut self, mut cipher: &[u8], into: &mut [u8]) -> Result<usize, rustls::Error> {
        let mut filled = self.take(into);
        while !cipher.is_empty() && self.input == Input::Open {
            let general = |error: io::Error| rustls::Error::General(error.to_string());
            self.tls.read_tls(&mut cipher).map_err(general)?;
            let state = self.tls.process_new_packets().inspect_err(|_| {
                self.input = Input::Failed;
            });
            filled += self.take(&mut into[filled..]);
            match state {
                Ok(state) if state.peer_has_closed() => self.input = Input::Ended,
                Ok(_) => {}
                // What came before it is served first.
                Err(_) if filled > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Takes what is decrypted.
    fn take(&mut self, into: &mut [u8]) -> usize {
        let mut filled = 0;
        while filled < into.len() {
            match self.tls.reader().read(&mut into[filled..]) {
                // Nothing more is there, or nothing more comes.
                Ok(0) | Err(_) => break,
                Ok(count) => filled += count,
            }
        }
        filled
    }

    /// Reads once from the socket, and decrypts all of it.
    pub(super) fn receive(
        &mut self,
        fd: &OwnedFd,
        cipher: &mut [u8],
        into: &mut [u8],
        totals: &mut TlsTotals,
    ) -> Result<usize, Errno> {
        let before = self.take(into);
        if before > 0 {
            return Ok(before);
        }
        match self.input {
            Input::Open => {}
            Input::Ended => return Ok(0),
            Input::Failed => return Err(Errno::PROTO),
        }
        let count = read(fd, &mut *cipher)?;
        if count == 0 {
            totals.no_close_notify += 1;
            return Ok(0);
        }
        let fed = self.feed(&cipher[..count], into);
        // An answer of TLS itself. An error shows when something is read or sent next.
        let _ = self.flush(fd);
        match (fed, self.input) {
            (Err(error), _) => {
                totals.error(describe(&error));
                Err(Errno::PROTO)
            }
            (Ok(count), input) => {
                totals.close_notify += u64::from(input == Input::Ended);
                if input == Input::Failed {
                    // rustls gives the same error again.
                    let again = self.tls.process_new_packets().err();
                    again.iter().for_each(|error| totals.error(describe(error)));
                }
                if count > 0 || input == Input::Ended { Ok(count) } else { Err(Errno::AGAIN) }
            }
        }
    }

    /// Whether something can be received that epoll does not report: an end behind what was received
    /// last, or what came with the end of the handshake.
    pub(super) fn has_more(&mut self) -> bool {
        if self.input != Input::Open {
            return true;
        }
        std::mem::take(&mut self.opened)
            && self.tls.process_new_packets().is_ok_and(|state| state.plaintext_bytes_to_read() > 0)
    }

    /// Encrypts the beginning of `bytes`, unless what was encrypted before still waits for the socket.
    pub(super) fn send(&mut self, fd: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
        if !self.flush(fd)? {
            return Err(Errno::AGAIN);
        }
        let offered = &bytes[..bytes.len().min(WRITE_BYTES_MAX)];
        let taken = self.tls.writer().write(offered).map_err(|_refused| Errno::PROTO)?;
        self.flush(fd)?;
        Ok(taken)
    }

    /// Sends what is encrypted, as far as the socket takes it.
    ///
    /// Returns whether it has taken all.
    pub(super) fn flush(&mut self, fd: &OwnedFd) -> Result<bool, Errno> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Socket(fd)) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::AGAIN) => return Ok(false),
                    Some(Errno::INTR) => {}
                    errno => return Err(errno.unwrap_or(Errno::IO)),
                },
            }
        }
        Ok(true)
    }

    /// Sends a `close_notify`, if the socket takes it.
    pub(super) fn close_notify(&mut self, fd: &OwnedFd) {
        if !self.tls.is_handshaking() && self.input != Input::Failed {
            self.tls.send_close_notify();
            // The connection ends in any case.
            let _ = self.flush(fd);
        }
    }

    /// What epoll is to watch the socket for, if that has changed.
    #[inline]
    pub(super) fn watch(&mut self, interest: Interest) -> Option<Interest> {
        let wanted = if self.tls.wants_write() { interest.and_write() } else { interest };
        let changed = wanted != self.watched;
        self.watched = wanted;
        changed.then_some(wanted)
    }
}

/// Writes without a signal when the server has closed.
struct Socket<'a>(&'a OwnedFd);

impl io::Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let sent =
            sendmsg(self.0, slices, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL);
        sent.map_err(io::Error::from)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

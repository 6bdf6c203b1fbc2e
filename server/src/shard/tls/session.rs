//! A TLS session: records in and out of memory that it is lent.

use rustls::{
    Error, ServerConfig,
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus, WriteTraffic},
};
use std::sync::Arc;

/// Most plain bytes that one call encrypts.
pub(super) const ENCRYPT_BYTES_MAX: usize = 64 * 1024;

/// What [`ENCRYPT_BYTES_MAX`] become at most: each of their records has a header, an authentication tag, and in
/// TLS 1.2 a nonce.
pub(super) const ENCRYPTED_BYTES_MAX: usize = ENCRYPT_BYTES_MAX + 1024;

/// Longest `close_notify`, as a record.
const CLOSE_BYTES_MAX: usize = 64;

/// A session, and what it has to say.
///
/// *Does*: decrypts records where they were read, and encrypts into memory of the caller. *Does not*: read or write
/// by itself, or hold input. *Costs*: no buffer while it has nothing to say; rustls' own buffered sessions keep the
/// 4 KiB that they last read into.
pub(super) struct Session {
    connection: UnbufferedServerConnection,
    /// Encrypted bytes that the socket has not taken.
    pub(super) unsent: Vec<u8>,
    /// The client has sent its `close_notify`: nothing follows.
    pub(super) is_ended: bool,
    /// The session is over. What rustls remembers of the input is not true any more, so it is not asked again.
    error: Option<Error>,
}

impl Session {
    /// Before its handshake.
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, Error> {
        let connection = UnbufferedServerConnection::new(config)?;
        Ok(Self { connection, unsent: Vec::new(), is_ended: false, error: None })
    }

    /// The session as rustls knows it.
    pub(super) fn connection(&self) -> &UnbufferedServerConnection {
        &self.connection
    }

    /// Takes records off the front of `input`, until the handshake is done. Returns the number of bytes taken, which
    /// are not input any more; what remains is part of a record, or was sent behind the handshake. Of that, some may
    /// be in `data` already.
    ///
    /// # Errors
    /// When the client breaks the rules. The alert that says so is in `unsent`.
    pub(super) fn shake_hands(
        &mut self,
        input: &mut [u8],
        data: &mut Vec<u8>,
    ) -> Result<usize, Error> {
        let mut taken = 0;
        let mut give = |more: &[u8]| data.extend_from_slice(more);
        while self.connection.is_handshaking()
            && self.step(input, &mut taken, &mut give)? == Step::Advanced
        {}
        if !self.connection.is_handshaking() {
            // The last words of the handshake: a ticket, and in TLS 1.2 that it is done.
            self.take_words();
        }
        Ok(taken)
    }

    /// Takes records off the front of `input`, and hands their data to `give`, while `wants` holds. Returns the
    /// number of bytes taken, and whether there may be more records: `wants` does not hold any more.
    ///
    /// # Errors
    /// When the client breaks the rules. The alert that says so is in `unsent`.
    pub(super) fn decrypt<T>(
        &mut self,
        input: &mut [u8],
        to: &mut T,
        wants: impl Fn(&T) -> bool,
        give: impl Fn(&mut T, &[u8]),
    ) -> Result<(usize, bool), Error> {
        let mut taken = 0;
        while wants(to) {
            if self.step(input, &mut taken, &mut |data| give(to, data))? == Step::NeedsInput {
                return Ok((taken, false));
            }
        }
        Ok((taken, true))
    }

    /// Encrypts all of `data`, at most [`ENCRYPT_BYTES_MAX`], into `block`, which has [`ENCRYPTED_BYTES_MAX`].
    /// Returns the length.
    ///
    /// `input` is what was not taken yet: rustls knows of the messages in it. What it takes of that now is removed,
    /// and data in it are appended to `received`.
    pub(super) fn encrypt(
        &mut self,
        data: &[u8],
        block: &mut [u8],
        input: &mut Vec<u8>,
        received: &mut Vec<u8>,
    ) -> Result<usize, Error> {
        let encrypted = self.write(input, received, |traffic| traffic.encrypt(data, block))?;
        encrypted.map_err(|error| Error::General(error.to_string()))
    }

    /// Puts a `close_notify` into `unsent`, once. As to the other arguments, see [`encrypt`](Self::encrypt).
    pub(super) fn close(&mut self, input: &mut Vec<u8>, received: &mut Vec<u8>) {
        let mut block = [0; CLOSE_BYTES_MAX];
        let closed = self.write(input, received, |traffic| traffic.queue_close_notify(&mut block));
        // After an error the client has an alert in its place.
        if let Ok(Ok(length)) = closed {
            self.unsent.extend_from_slice(&block[..length]);
        }
    }

    /// Brings the session to where data are written, and calls `act` there.
    fn write<T>(
        &mut self,
        input: &mut Vec<u8>,
        received: &mut Vec<u8>,
        mut act: impl FnMut(&mut WriteTraffic<'_, ServerConnectionData>) -> T,
    ) -> Result<T, Error> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let mut taken = 0;
        let done = loop {
            let UnbufferedStatus { mut discard, state, .. } =
                self.connection.process_tls_records(&mut input[taken..]);
            let done = match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => Some(Ok(act(&mut traffic))),
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        discard += record.discard;
                        received.extend_from_slice(record.payload);
                    }
                    None
                }
                Ok(ConnectionState::EncodeTlsData(words)) => {
                    encode(words, &mut self.unsent);
                    None
                }
                Ok(ConnectionState::TransmitTlsData(words)) => {
                    words.done();
                    None
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.is_ended = true;
                    None
                }
                Ok(_) => Some(Err(Error::HandshakeNotComplete)),
                Err(error) => Some(Err(error)),
            };
            taken += discard;
            if let Some(done) = done {
                break done;
            }
        };
        input.drain(..taken);
        done.map_err(|error| self.fail(error))
    }

    /// Puts what the session has to say into `unsent`.
    fn take_words(&mut self) {
        // As long as there is something to say, rustls does not look at the input.
        while self.connection.wants_write() {
            let UnbufferedStatus { state, .. } = self.connection.process_tls_records(&mut []);
            let Ok(ConnectionState::EncodeTlsData(words)) = state else { return };
            encode(words, &mut self.unsent);
        }
    }

    /// Ends the session; the alert that says so goes into `unsent`.
    fn fail(&mut self, error: Error) -> Error {
        self.take_words();
        self.error = Some(error.clone());
        error
    }

    /// Processes at most one record of data.
    fn step(
        &mut self,
        input: &mut [u8],
        taken: &mut usize,
        give: &mut dyn FnMut(&[u8]),
    ) -> Result<Step, Error> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let UnbufferedStatus { mut discard, state, .. } =
            self.connection.process_tls_records(&mut input[*taken..]);
        let mut step = Step::Advanced;
        match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    give(record.payload);
                }
            }
            Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.unsent),
            Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
            Ok(ConnectionState::PeerClosed) => self.is_ended = true,
            // Early data is not accepted.
            Ok(_) => step = Step::NeedsInput,
            Err(error) => return Err(self.fail(error)),
        }
        *taken += discard;
        Ok(step)
    }
}

/// What a step of a session came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// There may be more to do.
    Advanced,
    /// More input is needed.
    NeedsInput,
}

/// Appends what a session has to say to `unsent`.
fn encode<T>(mut data: EncodeTlsData<'_, T>, unsent: &mut Vec<u8>) {
    let from = unsent.len();
    // The first call says how long it is.
    while let Err(EncodeError::InsufficientSize(error)) = data.encode(&mut unsent[from..]) {
        unsent.resize(from + error.required_size, 0);
    }
}

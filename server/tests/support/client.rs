use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use socket2::{Domain, SockRef, Socket, Type};

use super::PATIENCE;

/// A peer that speaks raw bytes and waits for what it expects, not for time to pass.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    /// Connects from an address of this host's own choice.
    pub(crate) fn connect_from(source: Ipv4Addr, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends what the server may refuse to take to its end.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Reads exactly as many bytes as are expected, and compares.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let mut answer = vec![0; expected.len()];
        self.stream.read_exact(&mut answer).unwrap();
        assert_eq!(Text(&answer), Text(expected));
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, question: impl AsRef<[u8]>, answer: impl AsRef<[u8]>) {
        self.send(question);
        self.expect(answer);
    }

    /// Everything until the server closes.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).unwrap();
        rest
    }

    /// The server closes after exactly this.
    #[track_caller]
    pub(crate) fn expect_end(&mut self, expected: impl AsRef<[u8]>) {
        let rest = self.rest();
        assert_eq!(Text(&rest), Text(expected.as_ref()));
    }

    /// Nothing comes for a moment. A server that is slow passes; one that is wrong is caught most
    /// of the time.
    #[track_caller]
    pub(crate) fn expect_silence(&mut self, moment: Duration) {
        self.stream.set_read_timeout(Some(moment)).unwrap();
        let mut byte = [0];
        let read = self.stream.read(&mut byte);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => panic!("expected silence, got {other:?} {byte:?}"),
        }
    }

    pub(crate) fn end_of_input(&self) {
        // A peer that was cut has no side left to end.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Ends with a reset instead of an orderly close.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    pub(crate) const fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

/// Bytes that are readable when a test fails.
#[derive(PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) &'a [u8]);

impl std::fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN_MAX: usize = 200;
        write!(
            f,
            "{} bytes \"{}",
            self.0.len(),
            self.0[..self.0.len().min(SHOWN_MAX)].escape_ascii()
        )?;
        f.write_str(if self.0.len() > SHOWN_MAX { "…\"" } else { "\"" })
    }
}

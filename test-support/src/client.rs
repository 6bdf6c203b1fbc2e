use std::{
    fmt,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    ops::{Deref, DerefMut},
    time::Duration,
};

use socket2::{Domain, SockRef, Socket, Type};

use crate::PATIENCE;

/// A client that speaks raw bytes, and waits for what it expects instead of for time to pass. It is a
/// [`TcpStream`] too.
#[derive(Debug)]
pub struct Client(TcpStream);

impl Client {
    /// Connects.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        TcpStream::connect(address).unwrap().into()
    }

    /// Connects from one of this host's addresses.
    #[track_caller]
    pub fn connect_from(source: Ipv4Addr, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        TcpStream::from(socket).into()
    }

    /// The client's own address.
    #[track_caller]
    pub fn local_address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Sends all bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    /// Sends bytes that the server may refuse.
    ///
    /// # Errors
    ///
    /// If the server has closed, or takes nothing for the write timeout.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.0.write_all(bytes.as_ref())
    }

    /// Sends lines until neither side takes more, and reads none of the replies.
    pub fn send_until_stuck(&mut self) {
        self.0.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        let flood = "ping\n".repeat(10_000);
        while self.try_send(&flood).is_ok() {}
    }

    /// Reads as many bytes as are expected, and compares.
    #[track_caller]
    pub fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let mut answer = vec![0; expected.as_ref().len()];
        self.0.read_exact(&mut answer).unwrap();
        assert_eq!(Text(&answer), Text(expected.as_ref()));
    }

    /// Sends `question` and expects `answer`.
    #[track_caller]
    pub fn ask(&mut self, question: impl AsRef<[u8]>, answer: impl AsRef<[u8]>) {
        self.send(question);
        self.expect(answer);
    }

    /// The next line, for a client that reads no further: more may be lost. Empty at the end.
    #[track_caller]
    pub fn read_line(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(&self.0).read_line(&mut line).unwrap();
        line
    }

    /// Everything until the server closes.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
        rest
    }

    /// Expects the server to close after exactly these bytes.
    #[track_caller]
    pub fn expect_end(&mut self, expected: impl AsRef<[u8]>) {
        let rest = self.rest();
        assert_eq!(Text(&rest), Text(expected.as_ref()));
    }

    /// Expects no byte within `moment`. Passes with a server that is slow to send a wrong one.
    #[track_caller]
    pub fn expect_silence(&mut self, moment: Duration) {
        self.0.set_read_timeout(Some(moment)).unwrap();
        let mut byte = [0];
        let read = self.0.read(&mut byte);
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => panic!("expected silence, got {other:?} {byte:?}"),
        }
    }

    /// How the connection has ended, if it has: by a close of the server, or by an error such as a
    /// reset. Fails if there is anything to read.
    #[track_caller]
    pub fn ended(&mut self) -> Option<io::Result<()>> {
        self.0.set_nonblocking(true).unwrap();
        let read = self.0.read(&mut [0]);
        self.0.set_nonblocking(false).unwrap();
        match read {
            Ok(0) => Some(Ok(())),
            Ok(_) => panic!("there is something to read"),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// Closes the sending side.
    pub fn end_of_input(&self) {
        // Fails if the server has reset the connection.
        let _ = self.0.shutdown(Shutdown::Write);
    }

    /// Closes with a reset.
    pub fn reset(self) {
        SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// Waits at most [`PATIENCE`] for each read and write.
impl From<TcpStream> for Client {
    fn from(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }
}

impl Deref for Client {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.0
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut TcpStream {
        &mut self.0
    }
}

/// Bytes that are readable when a test fails.
#[derive(PartialEq, Eq)]
struct Text<'a>(&'a [u8]);

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_MAX: usize = 200;
        let (shown, more) = self.0.split_at(self.0.len().min(SHOWN_MAX));
        let more = if more.is_empty() { "" } else { "…" };
        write!(f, "{} bytes \"{}{more}\"", self.0.len(), shown.escape_ascii())
    }
}

//! Receive buffers that follow their clients: `socket.receive_buffer = "auto"`.
//!
//! A TCP connection starts with the small buffer of its listener. A client that has taken many large
//! replies gets a large one, and keeps it: made smaller, the kernel would drop input that it has offered to
//! take, and the client's would send it again after a fifth of a second.
//!
//! A thread remembers its connections by their descriptors in a table of a fixed size, because a
//! connection has no byte for it. Only large reads, blocked writes and closes look there.

use std::{
    cell::{Cell, OnceCell},
    os::fd::{AsFd, AsRawFd, RawFd},
};

use rustix::net::sockopt;
use towline_config::ReceiveBuffer;

/// SO_RCVBUF of a client that takes its replies, in bytes.
const LARGE_BYTES: usize = ReceiveBuffer::LARGE_BYTES as usize;

/// SO_RCVBUF of every other.
const SMALL_BYTES: usize = ReceiveBuffer::SMALL_BYTES as usize;

/// Shortest read that counts. A client that has its replies before it sends on gets none.
pub(super) const LARGE_READ_BYTES: usize = 32 * 1024;

/// Large reads in a row whose replies never had to wait, after which a client takes its replies. Its own
/// kernel cannot have taken them in its place: they are a megabyte and more, where Linux buffers 416 KiB
/// by default of what a program does not read.
const LARGE_READS_MIN: u8 = 32;

/// Connections of a thread with a large buffer, and those on the way to one.
const CLIENTS_MAX: usize = 128;

/// What a large buffer may take of the kernel's memory: twice SO_RCVBUF.
const LARGE_BYTES_HELD: u64 = 2 * LARGE_BYTES as u64;

/// A client that sends much.
#[derive(Debug, Clone, Copy)]
struct Client {
    descriptor: RawFd,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The client took the replies of this many large reads.
    Counting(u8),
    /// It has a large buffer.
    Large,
    /// Its buffer is not the one of `auto`, and stays as it is.
    Foreign,
}

/// The clients of a thread that send much.
#[derive(Debug)]
struct Clients {
    /// A client has the place of its descriptor, modulo the size.
    places: Box<[Cell<Option<Client>>]>,
    large: Cell<u64>,
    large_max: u64,
}

thread_local! {
    /// Unset on threads whose connections keep the buffers that they have.
    static CLIENTS: OnceCell<Clients> = const { OnceCell::new() };
}

/// Lets the receive buffers of this thread's TCP connections follow their clients. Large ones take at most
/// half of `kernel_bytes`, the memory that the kernel's buffers of these connections should take at most.
pub(super) fn follow_clients(kernel_bytes: u64) {
    CLIENTS.with(|clients| {
        clients.get_or_init(|| Clients::new(kernel_bytes / 2 / LARGE_BYTES_HELD));
    });
}

/// Counts a read of at least [`LARGE_READ_BYTES`]. The one that completes the count enlarges the buffer.
pub(super) fn on_large_read(socket: &impl AsFd) {
    with_clients(|clients| clients.on_large_read(socket));
}

/// The socket does not take a reply: the count starts anew.
#[cold]
pub(super) fn on_blocked_write(socket: &impl AsFd) {
    with_clients(|clients| clients.on_blocked_write(socket.as_fd().as_raw_fd()));
}

/// The socket is closed.
pub(super) fn on_close(socket: &impl AsFd) {
    with_clients(|clients| clients.remove(socket.as_fd().as_raw_fd()));
}

fn with_clients<T>(act: impl FnOnce(&Clients) -> T) {
    // A connection that is dropped after its thread's locals needs no place any more.
    let _ = CLIENTS.try_with(|clients| clients.get().map(act));
}

impl Clients {
    fn new(large_max: u64) -> Self {
        let places = vec![Cell::new(None); CLIENTS_MAX].into();
        Self { places, large: Cell::new(0), large_max }
    }

    fn place(&self, descriptor: RawFd) -> &Cell<Option<Client>> {
        &self.places[descriptor.cast_unsigned() as usize % CLIENTS_MAX]
    }

    /// Removes and returns the stage of a connection.
    fn remove(&self, descriptor: RawFd) -> Option<Stage> {
        let place = self.place(descriptor);
        let client = place.get().filter(|client| client.descriptor == descriptor)?;
        place.set(None);
        if client.stage == Stage::Large {
            self.large.set(self.large.get() - 1);
        }
        Some(client.stage)
    }

    fn on_large_read(&self, socket: &impl AsFd) {
        let descriptor = socket.as_fd().as_raw_fd();
        let place = self.place(descriptor);
        let stage = match place.get() {
            Some(client) if client.descriptor == descriptor => match client.stage {
                Stage::Counting(reads) if reads + 1 >= LARGE_READS_MIN => self.enlarge(socket),
                Stage::Counting(reads) => Stage::Counting(reads + 1),
                Stage::Large | Stage::Foreign => return,
            },
            // One place for several descriptors: a large buffer keeps it until it is closed.
            Some(Client { stage: Stage::Large, .. }) => return,
            _ => Stage::Counting(1),
        };
        place.set(Some(Client { descriptor, stage }));
    }

    fn on_blocked_write(&self, descriptor: RawFd) {
        let place = self.place(descriptor);
        if let Some(Client { descriptor: known, stage: Stage::Counting(_) }) = place.get()
            && known == descriptor
        {
            place.set(None);
        }
    }

    /// Enlarges the buffer of a socket, if it is the one that `auto` gave to its listener.
    fn enlarge(&self, socket: &impl AsFd) -> Stage {
        if self.large.get() >= self.large_max {
            return Stage::Counting(0);
        }
        // The kernel returns twice what was set.
        let is_small = |bytes| bytes == 2 * SMALL_BYTES;
        let enlarged = sockopt::socket_recv_buffer_size(socket).is_ok_and(is_small)
            && sockopt::set_socket_recv_buffer_size(socket, LARGE_BYTES).is_ok();
        if !enlarged {
            return Stage::Foreign;
        }
        self.large.set(self.large.get() + 1);
        Stage::Large
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use socket2::SockRef;

    use super::*;

    /// A connected socket with the buffer that `auto` gives to its listener.
    fn socket() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        SockRef::from(&listener).set_recv_buffer_size(SMALL_BYTES).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, client)
    }

    fn is_large(socket: &TcpStream) -> bool {
        SockRef::from(socket).recv_buffer_size().unwrap() > 2 * SMALL_BYTES
    }

    fn read(clients: &Clients, socket: &TcpStream, reads: u8) {
        for _ in 0..reads {
            clients.on_large_read(socket);
        }
    }

    #[test]
    fn a_blocked_write_starts_the_count_anew() {
        let clients = Clients::new(1);
        let (socket, _client) = socket();
        read(&clients, &socket, LARGE_READS_MIN - 1);
        clients.on_blocked_write(socket.as_raw_fd());
        read(&clients, &socket, LARGE_READS_MIN - 1);
        assert!(!is_large(&socket));
        read(&clients, &socket, 1);
        assert!(is_large(&socket));
    }

    #[test]
    fn no_more_buffers_are_large_than_the_memory_allows() {
        let clients = Clients::new(1);
        let (first, _client) = socket();
        let (second, _other) = socket();
        read(&clients, &first, LARGE_READS_MIN);
        read(&clients, &second, LARGE_READS_MIN);
        assert!(is_large(&first) && !is_large(&second));
        // The end of a connection makes room for another.
        clients.remove(first.as_raw_fd());
        read(&clients, &second, LARGE_READS_MIN);
        assert!(is_large(&second));
    }

    #[test]
    fn a_large_buffer_keeps_the_place_that_two_descriptors_share() {
        let clients = Clients::new(2);
        let (first, _client) = socket();
        let place = clients.place(first.as_raw_fd());
        let other = first.as_raw_fd() + CLIENTS_MAX as RawFd;
        assert!(std::ptr::eq(place, clients.place(other)));
        // One that only counts gives way.
        place.set(Some(Client { descriptor: other, stage: Stage::Counting(1) }));
        read(&clients, &first, LARGE_READS_MIN);
        assert!(is_large(&first));
        assert_eq!(clients.remove(other), None);
        place.set(Some(Client { descriptor: other, stage: Stage::Large }));
        read(&clients, &first, LARGE_READS_MIN);
        assert_eq!(place.get().unwrap().descriptor, other);
    }

    /// A caller may have set a size on its own listener, which the server is not to change.
    #[test]
    fn a_buffer_of_another_size_is_left_alone() {
        let clients = Clients::new(1);
        let (socket, _client) = socket();
        SockRef::from(&socket).set_recv_buffer_size(SMALL_BYTES / 2).unwrap();
        read(&clients, &socket, 2 * LARGE_READS_MIN);
        assert_eq!(SockRef::from(&socket).recv_buffer_size().unwrap(), SMALL_BYTES);
    }

    #[test]
    fn a_thread_that_was_not_told_to_follow_leaves_buffers_as_they_are() {
        let (socket, _client) = socket();
        for _ in 0..LARGE_READS_MIN {
            on_large_read(&socket);
        }
        assert!(!is_large(&socket));
    }
}

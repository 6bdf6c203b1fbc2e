//! The file of a UNIX socket: who may replace it, and who removes it.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use socket2::{Domain, SockAddr, Socket, Type};

/// Attempts to lock a path, and the pause before the next: a second in all. The lock is held for a few
/// system calls, unless the server that holds it is suspended in one of them.
const LOCK_ATTEMPTS_MAX: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The file of a listening socket, removed when dropped if it still is that socket's.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "admin"),
    expect(unreachable_pub, reason = "exported with the admin port")
)]
pub struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    /// Binds `socket` to `path` and listens. A socket without a listener, left behind by a server that
    /// was killed, is replaced.
    ///
    /// All of it under a lock: between two of the steps another server could bind the path, and would
    /// lose its socket.
    pub(crate) fn listen(socket: &Socket, path: &Path, backlog: i32) -> io::Result<Self> {
        let address = SockAddr::unix(path)?;
        let _lock = PathLock::acquire(path)?;
        if let Err(error) = socket.bind(&address) {
            if error.kind() != io::ErrorKind::AddrInUse || !is_stale(path, &address)? {
                return Err(error);
            }
            fs::remove_file(path)?;
            socket.bind(&address)?;
        }
        socket.listen(backlog)?;
        let identity = identity(&fs::symlink_metadata(path)?);
        Ok(Self { path: path.to_owned(), identity })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // The file may have been removed, and another server may listen at its path by now.
        let Ok(_lock) = PathLock::acquire(&self.path) else { return };
        if fs::symlink_metadata(&self.path).is_ok_and(|file| identity(&file) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A UNIX socket whose file will have mode 600 from the moment it is made: on Linux, bind(2) gives the file the
/// mode of the socket. The umask of the process is not touched, and there is no moment with wider rights.
#[cfg(feature = "admin")]
pub(crate) fn owner_only_socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    rustix::fs::fchmod(&socket, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?;
    Ok(socket)
}

/// What tells a file from every other that exists.
fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Whether a path is a socket without a listener.
fn is_stale(path: &Path, address: &SockAddr) -> io::Result<bool> {
    // Connecting to a file of another kind fails with the same error.
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::Error::other("there is a file that is no socket"));
    }
    // Non-blocking: a server whose queue is full is a listener too.
    let probe = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    let refused = probe.connect(address).err();
    Ok(refused.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused))
}

/// An exclusive lock, of flock(2), on a file beside a socket's, which is removed with the lock.
#[derive(Debug)]
struct PathLock {
    path: PathBuf,
    _file: File,
}

impl PathLock {
    /// Waits for the lock, for a second at most.
    fn acquire(socket: &Path) -> io::Result<Self> {
        let mut path = socket.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        for _ in 0..LOCK_ATTEMPTS_MAX {
            let file = File::options().create(true).append(true).open(&path)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => {
                    thread::sleep(LOCK_PAUSE);
                    continue;
                }
                locked => locked?,
            }
            // The server that held it has removed the file, and a third may have locked a new one.
            let locked = identity(&file.metadata()?);
            if fs::symlink_metadata(&path).is_ok_and(|file| identity(&file) == locked) {
                return Ok(Self { path, _file: file });
            }
        }
        Err(io::Error::other("another server holds its lock"))
    }
}

impl Drop for PathLock {
    fn drop(&mut self) {
        // Before it is unlocked, so that it is the file that was locked.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn socket() -> Socket {
        Socket::new(Domain::UNIX, Type::STREAM.cloexec(), None).expect("a descriptor")
    }

    fn directory(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("towline-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        directory
    }

    /// A server that stopped removed the file at its path, which by then was that of the next one: that
    /// ran on and could not be reached.
    #[test]
    fn a_server_that_stops_leaves_the_socket_of_another_alone() {
        let directory = directory("another");
        let path = directory.join("socket");
        let (first, second) = (socket(), socket());
        let old = SocketFile::listen(&first, &path, 16).expect("it listens");
        fs::remove_file(&path).expect("it is there");
        let new = SocketFile::listen(&second, &path, 16).expect("it listens");
        drop(old);
        UnixStream::connect(&path).expect("the second server listens");
        drop(new);
        assert_eq!(fs::read_dir(&directory).expect("it is there").count(), 0, "nothing is left");
        fs::remove_dir(directory).expect("it is empty");
    }

    /// A probe, an unlink and a bind were three steps: of servers that started together on a stale socket
    /// one could lose its own to another.
    #[test]
    fn of_servers_that_start_together_on_a_stale_socket_one_listens_and_can_be_reached() {
        let directory = directory("together");
        let path = directory.join("socket");
        for _ in 0..50 {
            socket().bind(&SockAddr::unix(&path).expect("it is short")).expect("it is free");
            let servers: Vec<_> = (0..4)
                .map(|_| {
                    let path = path.clone();
                    thread::spawn(move || {
                        let socket = socket();
                        SocketFile::listen(&socket, &path, 16).map(|file| (socket, file))
                    })
                })
                .collect();
            let mut listening: Vec<_> = servers
                .into_iter()
                .filter_map(|server| server.join().expect("it does not panic").ok())
                .collect();
            assert_eq!(listening.len(), 1, "the others see a listener");
            UnixStream::connect(&path).expect("it listens");
            listening.clear();
            assert!(!path.exists());
        }
        fs::remove_dir(directory).expect("it is empty");
    }
}

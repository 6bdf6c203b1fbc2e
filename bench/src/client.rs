//! Connections from chosen addresses of the loopback network.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpStream},
};

use socket2::{Domain, Socket, Type};

/// Connects from `source`. A used port is free again after a minute, and an address has some 28,000, so
/// a client that connects often needs several addresses.
pub(crate) fn connect_from(source: Ipv4Addr, addr: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    socket.connect(&addr.into())?;
    Ok(socket.into())
}

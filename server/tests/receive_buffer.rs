//! The kernel's receive buffer of a connection, which follows the client.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{fs, net::SocketAddr, os::fd::OwnedFd};

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use socket2::SockRef;
use support::{TestServer, echo};
use towline_config::ReceiveBuffer;
use towline_test_support::Client;

/// Most blocks that a client sends before its buffer has to be large. A busy machine cuts some of them in
/// reads too short to count.
const BLOCKS_MAX: usize = 20_000;

const SMALL: usize = ReceiveBuffer::SMALL_BYTES as usize;

/// The server's end of a client's connection; both are in this process.
fn server_end(client: &Client) -> OwnedFd {
    let ours: SocketAddr = client.local_addr().unwrap();
    let process = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let descriptors = fs::read_dir("/proc/self/fd").unwrap();
    let numbers =
        descriptors.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap());
    // A descriptor may be closed meanwhile.
    numbers
        .filter_map(|number| pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).ok())
        .find(|end| {
            let peer = SockRef::from(end).peer_addr().ok();
            peer.and_then(|peer| peer.as_socket()) == Some(ours)
        })
        .unwrap()
}

/// SO_RCVBUF as it was set: the kernel returns the double.
fn receive_buffer(end: &OwnedFd) -> usize {
    SockRef::from(end).recv_buffer_size().unwrap() / 2
}

/// Sends blocks of lines and takes all replies, until `done` or for `blocks_max` blocks.
fn exchange(client: &mut Client, blocks_max: usize, done: impl Fn() -> bool) {
    let block = "ping\n".repeat(13_000);
    for _ in 0..blocks_max {
        client.ask(&block, &block);
        if done() {
            return;
        }
    }
}

fn with_receive_buffer(receive_buffer: ReceiveBuffer) -> (TestServer, Client, OwnedFd) {
    let server = echo(|settings| settings.socket.receive_buffer = receive_buffer);
    let mut client = server.connect();
    client.ask("a\n", "a\n");
    let end = server_end(&client);
    (server, client, end)
}

/// The buffer of a client that stopped reading became small at once. The kernel then dropped input that it
/// had offered to take, and a client that read on waited for timeouts of its own kernel, 90 ms on average.
#[test]
fn fault_06_a_client_that_takes_its_replies_has_a_large_receive_buffer_and_keeps_it() {
    let (_server, mut client, end) = with_receive_buffer(ReceiveBuffer::Auto);
    assert_eq!(receive_buffer(&end), SMALL);
    exchange(&mut client, BLOCKS_MAX, || receive_buffer(&end) > SMALL);
    let large = receive_buffer(&end);
    assert!(large > SMALL, "{large} bytes");

    client.send_until_stuck();
    assert_eq!(receive_buffer(&end), large);
}

#[test]
fn a_client_that_never_takes_a_reply_has_a_small_receive_buffer() {
    let (_server, mut client, end) = with_receive_buffer(ReceiveBuffer::Auto);
    client.send_until_stuck();
    assert_eq!(receive_buffer(&end), SMALL);
}

#[test]
fn a_receive_buffer_of_a_size_that_was_set_stays_so() {
    for bytes in [SMALL, 2 * SMALL] {
        let (_server, mut client, end) =
            with_receive_buffer(ReceiveBuffer::Bytes(bytes.try_into().unwrap()));
        exchange(&mut client, 200, || false);
        assert_eq!(receive_buffer(&end), bytes);
    }
}

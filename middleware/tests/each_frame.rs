//! A function per line in the place of a service of batches.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinHandle,
    time::sleep,
};
use tower_service::Service;
use towline_middleware::{
    Batch, BatchCodec, BoxError, EachFrame, Response,
    drain::Watch,
    each_frame, each_line,
    protocol::{BigEndian, Length, Lf},
    reply::Out,
    serve_connection,
    stats::CloseReason,
};

const KIB: usize = 1024;

type Ended = JoinHandle<Result<CloseReason, BoxError>>;

/// Serves one connection in memory, over a pipe that holds `bytes`.
fn connect<F>(bytes: usize, each: EachFrame<Lf, F>) -> (DuplexStream, Ended)
where
    F: Fn(&[u8], &mut Out<'_, Lf>) + Send + Sync + 'static,
{
    let (client, server) = duplex(bytes);
    let served = serve_connection(server, BatchCodec::<Lf>::new(KIB), each, Watch::never());
    (client, tokio::spawn(served))
}

#[tokio::test(start_paused = true)]
async fn a_line_has_no_reply_or_one_or_many_and_replies_keep_the_order_of_lines() {
    let many = each_line(|line, out| {
        let times = line.len();
        (0..times).for_each(|n| out.line(format!("{n} of {times}")));
    });
    let (mut client, ended) = connect(64, many);
    client.write_all(b"ab\n\nx\nunfinished").await.unwrap();
    client.shutdown().await.unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "0 of 2\n1 of 2\n0 of 1\n");
    assert_eq!(ended.await.unwrap().unwrap(), CloseReason::PeerEof);
}

#[tokio::test(start_paused = true)]
async fn lines_of_a_whole_block_are_answered_once_each() {
    let (mut client, ended) = connect(256 * KIB, each_line(|line, out| out.line(line)));
    let sent: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    client.write_all(sent.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, sent);
    assert_eq!(ended.await.unwrap().unwrap(), CloseReason::PeerEof);
}

/// 64 KiB of short lines whose replies were 60 KiB each made one reply of 640 MiB.
#[tokio::test(start_paused = true)]
async fn replies_that_the_peer_does_not_take_stop_the_function() {
    let called = Arc::<AtomicUsize>::default();
    let count = called.clone();
    let (mut client, ended) = connect(
        64 * KIB,
        each_line(move |_, out| {
            count.fetch_add(1, SeqCst);
            out.line("x".repeat(60 * KIB - 1));
        }),
    );
    client.write_all("GET a\n".repeat(10_000).as_bytes()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let first = called.load(SeqCst);
    assert!((5..=9).contains(&first), "{first} replies of 60 KiB against 256 KiB of output");

    let mut taken = vec![0; 60 * KIB * 100];
    client.read_exact(&mut taken).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let more = called.load(SeqCst) - first;
    assert!((98..=102).contains(&more), "{more} replies for 100 that were taken");
    drop(client);
    assert_eq!(ended.await.unwrap().unwrap(), CloseReason::PeerReset);
}

/// On the real clock, by which a slow function is noticed.
#[tokio::test]
async fn other_tasks_run_beside_a_slow_function() {
    let called = Arc::<AtomicUsize>::default();
    let count = called.clone();
    let slow = each_line(move |line, out| {
        count.fetch_add(1, SeqCst);
        thread::sleep(Duration::from_micros(20));
        out.line(line);
    });
    let (mut client, ended) = connect(64 * KIB, slow);
    client.write_all("x\n".repeat(2_000).as_bytes()).await.unwrap();
    while called.load(SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let seen = called.load(SeqCst);
    assert!(seen < 2_000, "nothing else ran before the last line was served");
    drop(client);
    ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn frames_of_other_protocols_are_served_as_well() {
    let mut sum = each_frame::<Length<1, BigEndian>, _>(|frame, out| {
        out.write(frame.iter().map(|&byte| u32::from(byte)).sum::<u32>());
    });
    let batch = Batch::new(&b"\x02\x01\x02\x00\x01\xff"[..]).unwrap();
    let Ok(reply) = sum.call(batch).await;
    let reply: Response<Length<1, BigEndian>> = reply;
    assert_eq!(reply.as_bytes(), b"\x013\x010\x03255");
}

#[tokio::test]
async fn a_panic_of_the_function_ends_its_connection() {
    let picky = each_line(|line, out| {
        assert!(line != b"oops");
        out.line(line);
    });
    let (mut client, ended) = connect(64, picky);
    client.write_all(b"oops\n").await.unwrap();
    assert!(ended.await.unwrap_err().is_panic());
}

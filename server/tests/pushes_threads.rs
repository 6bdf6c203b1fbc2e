//! Pushes between threads over real sockets: one order for all, nothing torn, nothing twice, nothing missing that
//! is not counted.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "support/rooms.rs"]
mod rooms;

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use rooms::Rooms;
use towline::{Running, Server, SlowConsumer};

const ROOMS: [&str; 3] = ["r0", "r1", "r2"];
const MEMBERS: usize = 9;
const SENDERS: usize = 4;

/// Messages of each sender. The long form, `TOWLINE_PUSHES=100000`, is for a quiet hour.
fn scale(default: usize) -> usize {
    std::env::var("TOWLINE_PUSHES").ok().and_then(|count| count.parse().ok()).unwrap_or(default)
}

fn start(rooms: &Rooms, threads: u32) -> (Running, SocketAddr) {
    let builder = Server::builder().listen("127.0.0.1:0").threads(threads);
    let server = rooms::server(builder, rooms).start().unwrap();
    let address = server.address().unwrap();
    (server, address)
}

struct Client {
    reads: BufReader<TcpStream>,
}

impl Client {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { reads: BufReader::new(stream) }
    }

    fn send(&mut self, line: &str) {
        self.reads.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reads.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the connection ended in {line:?}");
        line.pop();
        line
    }
}

/// A message that shows if it is torn.
fn message(room: &str, sender: usize, number: usize) -> String {
    let filling = "x".repeat(number * 7 % 200);
    format!("@{room} {sender} {number} {filling}.")
}

/// What one member does.
#[derive(Clone, Copy)]
enum Conduct {
    Reads,
    /// Sleeps now and then, so that messages wait.
    Stalls,
    /// Leaves its room and joins again.
    Leaves,
}

/// The messages that a member heard, by room: in stretches, of which each is without a gap.
type Heard = HashMap<String, Vec<Vec<(usize, usize)>>>;

fn listen(address: SocketAddr, number: usize, ready: &Barrier) -> Heard {
    let conduct = [Conduct::Reads, Conduct::Stalls, Conduct::Leaves][number % 3];
    let mut client = Client::new(address);
    for room in ROOMS {
        client.send(&format!("JOIN {room}"));
    }
    let mut heard = Heard::new();
    let (mut ended, mut replies, mut lines) = (0, 0, 0);
    while replies < ROOMS.len() {
        replies += usize::from(client.line().starts_with("OK"));
    }
    ready.wait();
    let room = ROOMS[number % ROOMS.len()];
    let mut left = false;
    while ended < ROOMS.len() {
        let line = client.line();
        lines += 1;
        if let Conduct::Stalls = conduct
            && lines % 500 == number
        {
            thread::sleep(Duration::from_millis(20));
        }
        if let Conduct::Leaves = conduct
            && lines == 300 + number
        {
            client.send(&format!("LEAVE {room}"));
            client.send(&format!("JOIN {room}"));
        }
        if line == "OK" {
            // Left: nothing of the room may come until it is joined again.
            left = true;
            heard.entry(room.to_owned()).or_default().push(Vec::new());
            continue;
        }
        if line.starts_with("OK ") {
            left = false;
            continue;
        }
        if line == "CAME" {
            continue;
        }
        let words: Vec<&str> = line.strip_prefix('@').expect("a message").split(' ').collect();
        let [of, sender, message_number, _] = words[..] else { panic!("torn: {line:?}") };
        if sender == "end" {
            ended += 1;
            continue;
        }
        let (sender, message_number) = (sender.parse().unwrap(), message_number.parse().unwrap());
        assert_eq!(line, message(of, sender, message_number), "torn");
        assert!(!left || of != room, "{line:?} after the room was left");
        let stretches = heard.entry(of.to_owned()).or_default();
        if stretches.is_empty() {
            stretches.push(Vec::new());
        }
        stretches.last_mut().unwrap().push((sender, message_number));
    }
    heard
}

fn all_hear_the_same(rooms: &Rooms, address: SocketAddr) {
    let messages = scale(1500);
    let ready = Arc::new(Barrier::new(MEMBERS + 1));
    let members: Vec<_> = (0..MEMBERS)
        .map(|number| {
            let ready = ready.clone();
            thread::spawn(move || listen(address, number, &ready))
        })
        .collect();
    ready.wait();
    // Two clients and two threads of the program.
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let topics = rooms.topics.clone();
            thread::spawn(move || {
                let mut client = Client::new(address);
                for number in 0..messages {
                    let room = ROOMS[(number + sender) % ROOMS.len()];
                    let text = message(room, sender, number);
                    if sender % 2 == 0 {
                        client.send(&format!("SAY {room} {text}"));
                        client.line();
                    } else {
                        topics.send(room.as_bytes(), text).unwrap();
                        thread::sleep(Duration::from_micros(50));
                    }
                }
            })
        })
        .collect();
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    for room in ROOMS {
        rooms.topics.send(room.as_bytes(), format_args!("@{room} end 0 .")).unwrap();
    }
    let heard: Vec<Heard> = members.into_iter().map(|member| member.join().unwrap()).collect();
    for room in ROOMS {
        let all = &heard[0][room][0];
        let sent =
            (0..SENDERS).flat_map(|sender| (0..messages).map(move |number| (sender, number)));
        let here = sent.filter(|(sender, number)| ROOMS[(number + sender) % ROOMS.len()] == room);
        assert_eq!(all.len(), here.count(), "messages in {room}");
        for sender in 0..SENDERS {
            let of_sender = all.iter().filter(|(of, _)| *of == sender).map(|(_, number)| number);
            assert!(of_sender.is_sorted(), "messages of sender {sender} in {room}");
        }
        for member in &heard {
            for stretch in member[room].iter().filter(|stretch| !stretch.is_empty()) {
                let from = all.iter().position(|message| message == &stretch[0]).unwrap();
                assert_eq!(stretch[..], all[from..from + stretch.len()], "{room}");
            }
        }
        for member in heard.iter().enumerate().filter(|(number, _)| number % 3 != 2) {
            assert_eq!(member.1[room][0].len(), all.len(), "member {} of {room}", member.0);
        }
    }
}

fn on_threads_of_the_server(threads: u32) {
    let rooms = Rooms::new(SlowConsumer::Disconnect);
    let (server, address) = start(&rooms, threads);
    all_hear_the_same(&rooms, address);
    server.drain().unwrap();
}

#[test]
fn all_hear_the_same_in_the_same_order_on_one_thread() {
    on_threads_of_the_server(1);
}

#[test]
fn all_hear_the_same_in_the_same_order_on_two_threads() {
    on_threads_of_the_server(2);
}

#[test]
fn all_hear_the_same_in_the_same_order_on_four_threads() {
    on_threads_of_the_server(4);
}

#[test]
fn all_hear_the_same_in_the_same_order_in_a_runtime_that_moves_tasks() {
    let rooms = Rooms::new(SlowConsumer::Disconnect);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let served = rooms.clone();
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        rooms::server(Server::builder(), &served).run_on(listener).await
    });
    all_hear_the_same(&rooms, address);
}

/// What solana (#11806) and substrate (#10910) got wrong: a notification before the answer that says that there
/// will be some.
#[test]
fn the_reply_to_a_subscription_comes_before_its_first_message() {
    let rooms = Rooms::new(SlowConsumer::Disconnect);
    let (server, address) = start(&rooms, 2);
    let races = scale(2000);
    let topics = rooms.topics.clone();
    let publisher = thread::spawn(move || {
        // Without a pause, until the room is empty for good.
        while topics.get(b"end").is_none_or(|room| room.is_empty()) {
            let _ = topics.send(b"r", "message");
            thread::yield_now();
        }
    });
    let mut client = Client::new(address);
    for race in 0..races {
        client.send("JOIN r");
        let mut line = client.line();
        // "CAME" is what the room is told before it is joined: never this client.
        assert!(line.starts_with("OK "), "{line:?} before the reply to subscription {race}");
        client.send("LEAVE r");
        while line != "OK" {
            line = client.line();
            assert!(["message", "OK"].contains(&line.as_str()), "{line:?}");
        }
    }
    client.send("JOIN end");
    publisher.join().unwrap();
    server.drain().unwrap();
}

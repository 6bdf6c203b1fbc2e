//! Publish and subscribe that NATS clients talk to, with wildcards and requests, without queue groups and headers.
//!
//! ```text
//! $ cargo run -p towline --example nats &
//! $ printf 'PING\r\nSUB a q 8\r\nSUB a.* 7\r\nPUB a.b 5\r\nhello\r\n' | nc -q1 127.0.0.1 4222
//! INFO {"server_id":"towline","version":"2.0.0","proto":1,"headers":false,"max_payload":1048576}
//! PONG
//! -ERR 'Queue groups are not supported'
//! MSG a.b 7 5
//! hello
//! ```

use std::{
    collections::HashMap,
    env,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use towline::{
    Args, Builder, CloseReason, Conn, Cx, Group, Heartbeat, Membership, PushError, Raw, ReplyError,
    Router, RunError, Server, SlowConsumer,
    protocol::{Head, LineWithBody},
};

const PAYLOAD_BYTES_MAX: usize = 1 << 20;
const LINE_BYTES_MAX: usize = 4096;
const SUBSCRIPTIONS_MAX: usize = 1000;
/// Messages that wait for one subscriber; more, and it is closed.
const WAITING_BYTES_MAX: usize = 8 << 20;

fn main() -> Result<(), RunError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:4222".to_owned());
    server(Server::builder().listen(&address)).run().map(drop)
}

/// The server, with the settings of `builder`.
pub fn server(builder: Builder) -> Server {
    let commands = Router::<Protocol, Client>::new()
        .on_open(|_: &mut Client, cx: &mut Cx<'_, Protocol>| {
            cx.reply(format_args!(
                "INFO {{\"server_id\":\"towline\",\"version\":\"2.0.0\",\"proto\":1,\
                 \"headers\":false,\"max_payload\":{PAYLOAD_BYTES_MAX}}}"
            ))
        })
        .command("CONNECT", connect)
        .command("PING", |_: &mut Client, _: Args<'_>| "PONG")
        .command("PONG", |_: &mut Client, _: Args<'_>| ())
        .command("SUB", subscribe)
        .command("UNSUB", unsubscribe)
        .command("PUB", publish)
        .fallback(|_: &mut Client, _: Args<'_>| {
            Err::<(), _>(ReplyError::new("Unknown Protocol Operation").fatal())
        })
        .on_close(|mut client: Client, _: CloseReason| {
            let numbers: Vec<String> = client.joined.keys().cloned().collect();
            numbers.iter().for_each(|number| client.leave(number));
        });
    let subjects = Arc::new(Subjects::default());
    builder
        .frame_max(PAYLOAD_BYTES_MAX + LINE_BYTES_MAX)
        .push_connection_bytes(WAITING_BYTES_MAX)
        .heartbeat(Heartbeat::every(Duration::from_secs(120)))
        .ping("PING\r\n")
        .pong(|frame| frame == b"PONG")
        .router(commands, move |conn| Client {
            subjects: subjects.clone(),
            conn,
            verbose: false,
            joined: HashMap::new(),
        })
}

/// `PUB SUBJECT [REPLY] BYTES` has a payload.
enum Nats {}

type Protocol = LineWithBody<Nats>;

impl Head for Nats {
    fn body_bytes(line: &[u8]) -> Result<Option<usize>, &'static str> {
        let args = Args::words(line);
        if !args.verb().eq_ignore_ascii_case(b"PUB") {
            return Ok(None);
        }
        let bytes = args.iter().last().and_then(|bytes| str::from_utf8(bytes).ok()?.parse().ok());
        bytes.map(Some).ok_or("expected the length of a payload")
    }

    fn error_text(error: &ReplyError) -> String {
        format!("-ERR '{}'", error.text())
    }
}

/// Subscribers by the subject or pattern, and by the number that they gave it: a message says that number, so those
/// with the same one get the same bytes.
#[derive(Default)]
struct Table {
    subjects: HashMap<String, HashMap<String, Group<Protocol>>>,
    /// Subjects with wildcards, which every message is compared with.
    patterns: HashMap<String, HashMap<String, Group<Protocol>>>,
}

#[derive(Default)]
struct Subjects(RwLock<Table>);

impl Table {
    fn of(&mut self, subject: &str) -> &mut HashMap<String, HashMap<String, Group<Protocol>>> {
        if has_wildcard(subject) { &mut self.patterns } else { &mut self.subjects }
    }
}

impl Subjects {
    fn join(&self, subject: &str, number: &str, conn: &Conn<Protocol>) -> Membership {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let numbers = table.of(subject).entry(subject.to_owned()).or_default();
        let group = numbers.entry(number.to_owned());
        group.or_insert_with(|| Group::new(SlowConsumer::Disconnect)).join(conn)
    }

    /// Ends a membership, and removes a subject without subscribers.
    fn leave(&self, subject: &str, number: &str, membership: Membership) {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        membership.leave();
        let subjects = table.of(subject);
        let Some(numbers) = subjects.get_mut(subject) else { return };
        if numbers.get(number).is_some_and(Group::is_empty) {
            numbers.remove(number);
        }
        if numbers.is_empty() {
            subjects.remove(subject);
        }
    }

    /// Sends to all whose subject or pattern it is. `head` is what stands behind the number.
    fn send(&self, subject: &str, head: &str, payload: &[u8]) -> Result<(), PushError> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let patterns = table.patterns.iter().filter(|(pattern, _)| matches(pattern, subject));
        let numbers = table.subjects.get(subject).into_iter().chain(patterns.map(|(_, of)| of));
        for (number, group) in numbers.flatten() {
            let head = format!("MSG {subject} {number} {head}\r\n");
            group.send(Raw([head.as_bytes(), payload, b"\r\n"].concat()))?;
        }
        Ok(())
    }
}

fn has_wildcard(subject: &str) -> bool {
    subject.split('.').any(|token| token == "*" || token == ">")
}

/// `*` stands for a token, and `>` at the end for one or more.
fn matches(pattern: &str, subject: &str) -> bool {
    let (mut pattern, mut subject) = (pattern.split('.'), subject.split('.'));
    loop {
        match (pattern.next(), subject.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(expected), Some(token)) if expected == token => {}
            _ => return false,
        }
    }
}

struct Client {
    subjects: Arc<Subjects>,
    conn: Conn<Protocol>,
    verbose: bool,
    /// Its subscriptions by their numbers.
    joined: HashMap<String, (String, Membership)>,
}

type Said = Result<Vec<&'static str>, ReplyError>;

impl Client {
    /// What a command that is done answers.
    fn done(&self) -> Said {
        Ok(if self.verbose { vec!["+OK"] } else { vec![] })
    }

    fn leave(&mut self, number: &str) {
        if let Some((subject, membership)) = self.joined.remove(number) {
            self.subjects.leave(&subject, number, membership);
        }
    }
}

/// `CONNECT {…}`: of its options only `verbose` changes something here.
fn connect(client: &mut Client, args: Args<'_>) -> Said {
    let options = String::from_utf8_lossy(args.rest()).replace(' ', "");
    client.verbose = options.contains("\"verbose\":true");
    client.done()
}

/// `SUB SUBJECT NUMBER`.
fn subscribe(client: &mut Client, args: Args<'_>) -> Said {
    let (subject, number, queue): (&str, &str, Option<&str>) = args.parse()?;
    if queue.is_some() {
        return Err(ReplyError::new("Queue groups are not supported"));
    }
    if subject.split('.').any(str::is_empty) || subject.contains(">.") {
        return Err(ReplyError::new("Invalid Subject"));
    }
    client.leave(number);
    if client.joined.len() >= SUBSCRIPTIONS_MAX {
        return Err(ReplyError::new("Maximum Subscriptions Exceeded"));
    }
    let membership = client.subjects.join(subject, number, &client.conn);
    client.joined.insert(number.to_owned(), (subject.to_owned(), membership));
    client.done()
}

/// `UNSUB NUMBER [MESSAGES]`: clients that want so many messages more count for themselves.
fn unsubscribe(client: &mut Client, args: Args<'_>) -> Said {
    let (number, messages): (&str, Option<u64>) = args.parse()?;
    if messages.is_none_or(|messages| messages == 0) {
        client.leave(number);
    }
    client.done()
}

/// `PUB SUBJECT [REPLY] BYTES`, and the payload.
fn publish(client: &mut Client, args: Args<'_>) -> Said {
    let (subject, second, third): (&str, &str, Option<&str>) = args.parse()?;
    let payload = args.body().unwrap_or_default();
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(ReplyError::new("Maximum Payload Violation").fatal());
    }
    if subject.split('.').any(str::is_empty) || has_wildcard(subject) {
        return Err(ReplyError::new("Invalid Publish Subject"));
    }
    let reply = if third.is_some() { format!("{second} ") } else { String::new() };
    let head = format!("{reply}{}", payload.len());
    client.subjects.send(subject, &head, payload)?;
    client.done()
}

//! The example `kv` against a model: random commands, cut at random places; and against what a fuzzer found.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/kv.rs"]
mod kv;

use std::{collections::HashMap, env, io::Write as _};

use towline::{
    CloseReason, Server,
    test::{self, Client, Stage},
};
use towline_test_support::fuzz;

/// Commands of the form that every run of the tests has. `TOWLINE_KV_COMMANDS=1000000` is the long one.
const COMMANDS: usize = 20_000;

/// Keys, so few that most exist.
const KEYS: usize = 60;

/// Most commands that are sent together.
const ROUND_COMMANDS_MAX: usize = 200;

/// Bytes of replies behind which no further command is sent before they are compared.
const ROUND_BYTES_MAX: usize = 1 << 20;

/// Numbers that are the same in each run; by xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % end
    }

    fn key(&mut self) -> Vec<u8> {
        match self.below(20) {
            0 => format!("key\0\r\n {}", self.below(KEYS)).into_bytes(),
            1 => Vec::new(),
            _ => format!("k{}", self.below(KEYS)).into_bytes(),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        let len = match self.below(1000) {
            0 => self.below(300_000),
            1..30 => self.below(5000),
            30..400 => return self.below(1000).to_string().into_bytes(),
            400..410 => return i64::MAX.to_string().into_bytes(),
            _ => self.below(20),
        };
        (0..len).map(|_| self.below(256) as u8).collect()
    }
}

/// What the store should hold, and the round that is being made.
struct Model {
    random: Random,
    map: HashMap<Vec<u8>, Vec<u8>>,
    sent: Vec<u8>,
    expected: Vec<u8>,
}

impl Model {
    /// Appends a command and its reply.
    fn command(&mut self) {
        let (name, mut args) = match self.random.below(100) {
            0..35 => ("GET", vec![self.random.key()]),
            35..65 => ("SET", vec![self.random.key(), self.random.value()]),
            65..80 => ("INCR", vec![self.random.key()]),
            80..90 => {
                let count = 1 + self.random.below(4);
                ("DEL", (0..count).map(|_| self.random.key()).collect())
            }
            90..94 => ("PING", Vec::new()),
            94..97 => ("PING", vec![self.random.value()]),
            _ => ("DANCE", vec![self.random.key()]),
        };
        match self.random.below(200) {
            0 => drop(args.pop()),
            1 => args.push(self.random.key()),
            _ => {}
        }
        let said = self.send(name, &args);
        self.reply(name, &said, &args);
    }

    /// As an array, or as a line where its words allow that; verbs in any case. Returns the verb as it is sent.
    fn send(&mut self, name: &str, args: &[Vec<u8>]) -> String {
        let lower = self.random.below(4) == 0;
        let name = if lower { name.to_ascii_lowercase() } else { name.to_owned() };
        let is_word = |arg: &Vec<u8>| !arg.is_empty() && arg.iter().all(u8::is_ascii_alphanumeric);
        if self.random.below(2) == 0 && args.iter().all(is_word) {
            self.sent.extend_from_slice(name.as_bytes());
            for arg in args {
                self.sent.push(b' ');
                self.sent.extend_from_slice(arg);
            }
            self.sent.extend_from_slice(b"\r\n");
            return name;
        }
        write!(self.sent, "*{}\r\n", 1 + args.len()).unwrap();
        for word in [name.as_bytes()].into_iter().chain(args.iter().map(Vec::as_slice)) {
            put_bulk(&mut self.sent, word);
        }
        name
    }

    /// `said` is the verb as it was sent.
    fn reply(&mut self, name: &str, said: &str, args: &[Vec<u8>]) {
        let Self { map, expected, .. } = self;
        let integer = |value: &[u8]| str::from_utf8(value).ok()?.parse::<i64>().ok();
        match (name, args) {
            ("PING", []) => expected.extend_from_slice(b"+PONG\r\n"),
            ("PING", [text]) => put_bulk(expected, text),
            ("GET", [key]) => match map.get(key) {
                Some(value) => put_bulk(expected, value),
                None => expected.extend_from_slice(b"$-1\r\n"),
            },
            ("SET", [key, value]) => {
                map.insert(key.clone(), value.clone());
                expected.extend_from_slice(b"+OK\r\n");
            }
            ("DEL", keys) => {
                let deleted = keys.iter().filter(|key| map.remove(*key).is_some()).count();
                write!(expected, ":{deleted}\r\n").unwrap();
            }
            ("INCR", [key]) => {
                let old = map.get(key).map_or(Some(0), |old| integer(old));
                match old.and_then(|old| old.checked_add(1)) {
                    Some(new) => {
                        map.insert(key.clone(), new.to_string().into_bytes());
                        write!(expected, ":{new}\r\n").unwrap();
                    }
                    None => {
                        expected
                            .extend_from_slice(b"-ERR value is not an integer or out of range\r\n");
                    }
                }
            }
            // No key is an option.
            ("SET", [_, _, _]) => expected.extend_from_slice(b"-ERR syntax error\r\n"),
            ("DANCE", _) => write!(expected, "-ERR unknown command '{said}'\r\n").unwrap(),
            _ => {
                let verb = said.to_lowercase();
                let error = format!("-ERR wrong number of arguments for '{verb}' command\r\n");
                expected.extend_from_slice(error.as_bytes());
            }
        }
    }

    /// Sends the round in pieces, and compares the replies.
    async fn play(&mut self, client: &mut Client) {
        let stalls = self.random.below(4) == 0;
        if stalls {
            client.stall();
        }
        match self.random.below(4) {
            0 => client.send_raw(&self.sent),
            1 if self.sent.len() < 2000 => {
                client.chop(1);
                client.send_raw(&self.sent);
                client.chop(usize::MAX);
            }
            _ => {
                let cuts = 1 + self.random.below(8);
                let mut cuts: Vec<_> =
                    (0..cuts).map(|_| self.random.below(self.sent.len())).collect();
                cuts.sort_unstable();
                let mut from = 0;
                for to in cuts.into_iter().chain([self.sent.len()]) {
                    client.send_raw(&self.sent[from..to]);
                    from = to;
                }
            }
        }
        if stalls {
            // Meets back-pressure, if the replies are long enough.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            client.resume();
        }
        client.expect_raw(&self.expected).await;
        self.sent.clear();
        self.expected.clear();
    }
}

fn put_bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    write!(out, "${}\r\n", bytes.len()).unwrap();
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

#[tokio::test(start_paused = true)]
async fn random_commands_agree_with_a_model_however_they_are_cut() {
    let commands = env::var("TOWLINE_KV_COMMANDS");
    let commands = commands.map_or(COMMANDS, |commands| commands.parse().unwrap());
    let stage: Stage = test::stage(kv::server(Server::builder()));
    // One store behind both.
    let mut clients = [stage.connect().await, stage.connect().await];
    let random = Random(0x9e37_79b9_7f4a_7c15);
    let mut model = Model { random, map: HashMap::new(), sent: Vec::new(), expected: Vec::new() };
    let mut left = commands;
    while left > 0 {
        for client in &mut clients {
            for _ in 0..(1 + model.random.below(ROUND_COMMANDS_MAX)).min(left) {
                model.command();
                left -= 1;
                if model.expected.len() > ROUND_BYTES_MAX {
                    break;
                }
            }
            if !model.sent.is_empty() {
                model.play(client).await;
            }
        }
    }
    for client in &mut clients {
        client.half_close();
        assert_eq!(client.is_closed().await, CloseReason::PeerEof);
    }
    assert_eq!(stage.metric("towline_lines_received_total"), commands as f64);
}

/// The corpus of the fuzz target `kv`.
#[test]
fn bad_clients_of_the_corpus_do_no_harm() {
    fuzz::replay("kv", |bytes| test::fuzz(kv::server(Server::builder()), bytes));
}

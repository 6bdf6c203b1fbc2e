//! What publishers and subscribers send, by protocol.

use crate::error::LoadError;
use crate::message::Message;
use crate::plan::{Fanout, FanoutProtocol, Role};

/// The part of the publish template that the message replaces.
const MESSAGE: &str = "{message}";

/// The commands of a run.
#[derive(Debug)]
pub(crate) enum Commands {
    Lines { login: Template, subscribe: Template, before: Template, after: Template },
    Resp { topic: String },
    Nats { topic: String },
}

/// Text with `{conn}`; may be empty.
#[derive(Debug)]
pub(crate) struct Template(Option<Message>);

impl Commands {
    /// # Errors
    /// When a template is wrong; the sentence names it.
    pub(crate) fn new(fanout: &Fanout) -> Result<Self, LoadError> {
        let topic = fanout.topic.clone();
        Ok(match fanout.protocol {
            FanoutProtocol::Resp => Self::Resp { topic },
            FanoutProtocol::Nats => Self::Nats { topic },
            FanoutProtocol::Lines => {
                let with_topic = |text: &str| text.replace("{topic}", &topic);
                let publish = with_topic(&fanout.publish);
                let Some((before, after)) = publish.split_once(MESSAGE) else {
                    return Err(LoadError::usage(format!(
                        "--publish `{}` has no {MESSAGE}: expected a line such as `SAY {MESSAGE}\\n`",
                        fanout.publish
                    )));
                };
                let after = Template::new(after)?;
                after.check_end("--publish", &fanout.publish)?;
                if after.0.is_none() {
                    return Err(no_newline("--publish", &fanout.publish));
                }
                let login = Template::new(&with_topic(&fanout.login))?;
                login.check_end("--login", &fanout.login)?;
                let subscribe = Template::new(&with_topic(&fanout.subscribe))?;
                subscribe.check_end("--subscribe", &fanout.subscribe)?;
                Self::Lines { login, subscribe, before: Template::new(before)?, after }
            }
        })
    }

    /// What a connection sends first, and how many replies confirm it.
    pub(crate) fn opening(&self, id: u32, role: Role) -> (Vec<u8>, u32) {
        let publishes = matches!(role, Role::Publisher(_));
        match self {
            Self::Lines { login, subscribe, .. } => {
                let mut bytes = login.render(id);
                if !publishes {
                    bytes.extend(subscribe.render(id));
                }
                let lines = bytes.iter().filter(|b| **b == b'\n').count() as u32;
                (bytes, lines)
            }
            Self::Resp { .. } if publishes => (Vec::new(), 0),
            Self::Resp { topic } => (resp(&[b"SUBSCRIBE", topic.as_bytes()]), 1),
            Self::Nats { topic } => {
                let subscribe =
                    if publishes { String::new() } else { format!("SUB {topic} 1\r\n") };
                let connect = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n";
                (format!("{connect}{subscribe}PING\r\n").into_bytes(), 1)
            }
        }
    }

    /// What publisher `id` sends in front of each message of `bytes`, and behind it.
    pub(crate) fn around(&self, id: u32, bytes: usize) -> (Vec<u8>, Vec<u8>) {
        match self {
            Self::Lines { before, after, .. } => (before.render(id), after.render(id)),
            Self::Resp { topic } => {
                let mut before = b"*3\r\n$7\r\nPUBLISH\r\n".to_vec();
                before.extend(format!("${}\r\n{topic}\r\n${bytes}\r\n", topic.len()).bytes());
                (before, b"\r\n".to_vec())
            }
            Self::Nats { topic } => {
                (format!("PUB {topic} {bytes}\r\n").into_bytes(), b"\r\n".to_vec())
            }
        }
    }
}

impl Template {
    fn new(text: &str) -> Result<Self, LoadError> {
        if text.is_empty() { Ok(Self(None)) } else { Message::parse(text).map(|m| Self(Some(m))) }
    }

    fn check_end(&self, flag: &str, text: &str) -> Result<(), LoadError> {
        match &self.0 {
            Some(message) if !message.ends_in_newline() => Err(no_newline(flag, text)),
            _ => Ok(()),
        }
    }

    fn render(&self, connection: u32) -> Vec<u8> {
        self.0.as_ref().map_or_else(Vec::new, |message| message.first(connection))
    }
}

fn no_newline(flag: &str, text: &str) -> LoadError {
    LoadError::usage(format!("{flag} `{}` does not end in a newline: add \\n", text.escape_debug()))
}

fn resp(words: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend(format!("${}\r\n", word.len()).bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}

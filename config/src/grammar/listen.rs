//! `server.listen`: addresses, each with options behind it.

use towline_units::parse_count;

use super::{Address, EXAMPLES, Grammar, SocketPath, Words};
use crate::{
    edge::ProxyMode,
    error::{ValueError, alternatives, quoted},
    listener::{Listen, ListenerSettings},
    value::Value,
};

/// Most listeners of one server.
const LISTENERS_MAX: usize = 32;

/// Longest name of a listener: it is a label value of metrics.
const NAME_BYTES_MAX: usize = 64;

/// The options of a listener.
const OPTIONS: [&str; 7] =
    ["name", "proxy_protocol", "connections", "tls", "mode", "owner", "group"];

/// One or several listeners, separated by commas. `NAME=VALUE` behind an address is an option of it.
#[derive(Debug)]
pub(crate) struct Listeners;

impl Grammar<Vec<ListenerSettings>> for Listeners {
    fn parse(&self, text: &str) -> Result<Vec<ListenerSettings>, ValueError> {
        let parts: Vec<_> = text.split(',').map(str::trim_start).collect();
        let addresses = parts.iter().filter(|part| option(part).is_none()).count();
        if addresses > LISTENERS_MAX {
            return Err(ValueError::new(format!("has more than {LISTENERS_MAX} addresses")));
        }
        let mut listeners: Vec<ListenerSettings> = Vec::new();
        for part in &parts {
            match (option(part), listeners.last_mut()) {
                (Some((name, value)), Some(listener)) => set_option(listener, name, value)?,
                (Some(_), None) => {
                    return Err(ValueError::new(format!("has {} before an address", quoted(part))));
                }
                (None, _) => match parse_address(part) {
                    Ok(address) => listeners.push(address.into()),
                    Err(error) if parts.len() == 1 => return Err(error),
                    Err(error) => {
                        return Err(ValueError::new(format!(
                            "has {}, which {error}",
                            quoted(part)
                        )));
                    }
                },
            }
        }
        Ok(listeners)
    }

    fn print(&self, value: &Vec<ListenerSettings>) -> Value {
        let listeners: Vec<_> = value.iter().map(ToString::to_string).collect();
        Value::text(listeners.join(","))
    }

    fn expected(&self) -> String {
        format!(
            "{EXAMPLES}, or unix:/path, or several of these with commas between them, each with its \
             options behind it: {}",
            alternatives(OPTIONS).replace(" or ", " and ")
        )
    }

    fn placeholder(&self) -> String {
        "ADDR".into()
    }
}

/// An option has its name in lower case before an equals sign; no address begins so.
fn option(part: &str) -> Option<(&str, &str)> {
    let (name, value) = part.split_once('=')?;
    let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_name.then_some((name, value))
}

fn parse_address(text: &str) -> Result<Listen, ValueError> {
    match text.strip_prefix("unix:") {
        Some(path) => SocketPath.parse(path).map(Listen::Unix),
        None => Address.parse(text).map(Listen::Tcp),
    }
}

fn set_option(listener: &mut ListenerSettings, name: &str, value: &str) -> Result<(), ValueError> {
    let wrong = |expected: &str| {
        let address = quoted(&listener.address.to_string());
        ValueError::new(format!("has {name} = {} at {address}, not {expected}", quoted(value)))
    };
    let is_unix = matches!(listener.address, Listen::Unix(_));
    match name {
        "name" if is_word(value) => listener.name = Some(value.to_owned()),
        "name" => {
            return Err(wrong("1 to 64 letters, digits, points, dashes and underscores"));
        }
        "proxy_protocol" => {
            let words = Words(ProxyMode::WORDS);
            let mode = words.parse(value).map_err(|_unknown| wrong(&words.expected()))?;
            listener.proxy_protocol = Some(mode);
        }
        "connections" => {
            let count = parse_count(value).ok().and_then(|count| u32::try_from(count).ok());
            let count = count.and_then(|count| count.try_into().ok());
            listener.connections = Some(count.ok_or_else(|| wrong("a whole number from 1"))?);
        }
        "tls" => {
            listener.tls = Some(match value {
                "on" => true,
                "off" => false,
                _ => return Err(wrong("on or off")),
            });
        }
        "mode" | "owner" | "group" if !is_unix => {
            return Err(wrong("a UNIX socket, which alone has an owner and permissions"));
        }
        "mode" => {
            let mode = u32::from_str_radix(value, 8).ok().filter(|mode| (1..=0o777).contains(mode));
            listener.mode = Some(mode.ok_or_else(|| wrong("permissions in octal, such as 660"))?);
        }
        "owner" if is_word(value) => listener.owner = Some(value.to_owned()),
        "group" if is_word(value) => listener.group = Some(value.to_owned()),
        "owner" | "group" => return Err(wrong("a name or a number")),
        _ => {
            let known = alternatives(OPTIONS);
            return Err(ValueError::new(format!("has an option {}, not {known}", quoted(name))));
        }
    }
    Ok(())
}

fn is_word(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

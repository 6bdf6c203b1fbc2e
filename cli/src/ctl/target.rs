//! The server that a command is sent to.

use std::{
    env, fs, io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::net::sockopt::socket_peercred;
use serde_json::Value;
use towline_config::{Key, Settings};

use super::Failure;
use crate::http::{Answer, Endpoint, Request, SentRequest};

/// The variable that the server has for the path of its socket.
const VARIABLE: &str = "TOWLINE_ADMIN__SOCKET";

/// Where the systemd unit and the image have the socket.
const DEFAULT: &str = "/run/towline/admin.sock";

/// Longest wait for an answer, beside the time that a command itself takes.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Longest token file that is read.
const TOKEN_BYTES_MAX: u64 = 4096;

/// The flags that name the server.
#[derive(Debug, clap::Args)]
pub(crate) struct Target {
    /// The server's admin.socket [default: $TOWLINE_ADMIN__SOCKET, or /run/towline/admin.sock]
    #[arg(long, value_name = "PATH", global = true, conflicts_with = "admin")]
    socket: Option<PathBuf>,
    /// The server's admin port instead, with --token-file
    #[arg(long, value_name = "ADDR", global = true)]
    admin: Option<String>,
    /// File with the token of the server's admin.token_file
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
}

/// A server that answers commands.
#[derive(Debug)]
pub(super) struct Server {
    endpoint: Endpoint,
    token: Option<String>,
}

impl Target {
    /// The server that the flags and the environment name.
    pub(super) fn server(&self) -> Result<Server, Failure> {
        let token = self.token_file.as_deref().map(read_token).transpose()?;
        if let Some(text) = &self.admin {
            return Ok(Server { endpoint: admin_port(text)?, token });
        }
        if self.token_file.is_some() {
            return Err(Failure::usage(
                "--token-file is for the admin port: give --admin ADDR too",
            ));
        }
        let path = self.socket.clone().or_else(configured).unwrap_or_else(|| DEFAULT.into());
        Ok(Server { endpoint: Endpoint::Socket(path), token: None })
    }
}

/// The path in the environment, which a server in this container has too.
fn configured() -> Option<PathBuf> {
    env::var_os(VARIABLE).filter(|path| !path.is_empty() && path != "off").map(PathBuf::from)
}

/// Reads an address as the key `server.admin` does.
fn admin_port(text: &str) -> Result<Endpoint, Failure> {
    let mut settings = Settings::default();
    let key = Key::find("server.admin");
    let parsed = key.map(|key| key.set(&mut settings, text));
    let why = match (parsed, settings.server.admin) {
        (Some(Ok(())), Some(address)) => return Ok(Endpoint::of_listener(address)),
        (Some(Err(why)), _) => why.to_string(),
        _ => "is not an address".to_owned(),
    };
    Err(Failure::usage(format!(
        "--admin {text:?} {why}: expected an address such as 127.0.0.1:9464"
    )))
}

fn read_token(path: &Path) -> Result<String, Failure> {
    let refused = |why: &str| Failure::usage(format!("--token-file {}: {why}", path.display()));
    let read = || {
        let mut text = String::new();
        let file = fs::File::open(path)?;
        io::Read::read_to_string(&mut io::Read::take(file, TOKEN_BYTES_MAX), &mut text)?;
        io::Result::Ok(text)
    };
    let text = read().map_err(|error| refused(&error.to_string()))?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refused("expected a token on one line, of ASCII without spaces"));
    }
    Ok(token.to_owned())
}

impl Server {
    /// The JSON at a path.
    pub(super) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.send(&Request::get(path), TIMEOUT)
    }

    /// The answer to a command.
    pub(super) fn command(&self, name: &str, body: &Value) -> Result<Value, Failure> {
        let (path, body) = (format!("/ctl/{name}"), body.to_string());
        let token = self.token.as_deref();
        self.send(&Request { method: "POST", path: &path, token, body: &body }, TIMEOUT)
    }

    /// The process that listens on the socket.
    pub(super) fn process(&self) -> Result<u32, Failure> {
        let Endpoint::Socket(path) = &self.endpoint else {
            return Err(Failure::usage(
                "a profile is of a server on this host: give --socket PATH instead of --admin ADDR",
            ));
        };
        let stream = UnixStream::connect(path).map_err(|error| self.unreachable(&error))?;
        let process = socket_peercred(stream).ok().map(|user| user.pid.as_raw_pid());
        // 0 stands for one that cannot be seen from here.
        process.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0).ok_or_else(|| {
            Failure::failed(format!(
                "{}: its server is in another PID namespace: run this beside it",
                self.endpoint
            ))
        })
    }

    fn send(&self, request: &Request<'_>, timeout: Duration) -> Result<Value, Failure> {
        let answer = request.send(&self.endpoint, timeout).and_then(SentRequest::answer);
        let Answer { status, body } = answer.map_err(|error| self.unreachable(&error))?;
        if status != 200 {
            let sentence = body.trim_end();
            let sentence = if sentence.is_empty() { "it says no more" } else { sentence };
            let what = match status {
                404 => format!("{} knows no such command: {sentence}", self.endpoint),
                _ => sentence.to_owned(),
            };
            return Err(Failure::failed(what));
        }
        serde_json::from_str(&body).map_err(|_not_json| {
            Failure::failed(format!(
                "{} is no server of towline: it did not answer with JSON",
                self.endpoint
            ))
        })
    }

    fn unreachable(&self, error: &io::Error) -> Failure {
        let why = match (&self.endpoint, error.kind()) {
            (Endpoint::Socket(_), io::ErrorKind::NotFound) => {
                "there is no such socket: give --socket PATH, or --admin ADDR and --token-file FILE"
                    .to_owned()
            }
            (Endpoint::Socket(_), io::ErrorKind::ConnectionRefused) => {
                "no server listens there; it has left its file behind".to_owned()
            }
            (Endpoint::Socket(_), io::ErrorKind::PermissionDenied) => {
                "permission denied: only the server's user and root can use it".to_owned()
            }
            (Endpoint::Port(_), io::ErrorKind::ConnectionRefused) => {
                "no server listens there".to_owned()
            }
            _ => error.to_string(),
        };
        Failure::failed(format!("{}: {why}", self.endpoint))
    }
}

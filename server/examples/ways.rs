//! One protocol, `ping` and `pong`, in each of the ways to write a service: what each of them costs is
//! measured with it.
//!
//! ```text
//! $ cargo run -p towline --example ways -- router &
//! listening on 127.0.0.1:9000
//! $ printf 'ping\nping\n' | nc -q1 127.0.0.1 9000
//! pong
//! pong
//! ```

use std::{convert::Infallible, env, net::TcpListener, process::ExitCode};

use towline::{
    ActionOf, Args, Builder, Cx, EachLine, FrameOf, Line, Lines, Router, Server, Session,
    each_line, protocol::Lf, service_fn,
};

/// The ways, from the batch to the frame.
pub const WAYS: [&str; 5] = ["batch", "each-line", "line-service", "router", "session"];

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let way = args.next().unwrap_or_else(|| "router".to_owned());
    let address = args.next().unwrap_or_else(|| "127.0.0.1:9000".to_owned());
    match run(&way, &address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ways: {error}");
            ExitCode::from(2)
        }
    }
}

#[allow(clippy::print_stdout, reason = "says where it listens")]
fn run(way: &str, address: &str) -> Result<(), towline::BoxError> {
    let listener = TcpListener::bind(address).map_err(|error| format!("{address}: {error}"))?;
    let local = listener.local_addr()?;
    let builder = Server::builder().listener(listener).configure_listener(true).threads(1);
    let Some(server) = server(builder, way) else {
        return Err(format!("unknown way `{way}`: expected one of {}", WAYS.join(", ")).into());
    };
    println!("listening on {local}");
    server.run()?;
    Ok(())
}

/// The server of one of the [`WAYS`], with the settings of `builder`.
pub fn server(builder: Builder, way: &str) -> Option<Server> {
    Some(match way {
        "batch" => builder.serve(service_fn(batch)),
        "each-line" => builder.serve(each_line(|_, out| out.line("pong"))),
        "line-service" => builder.serve(EachLine::new(service_fn(line))),
        "router" => builder.router(Router::<Lf, ()>::new().command("ping", ping), |_| ()),
        "session" => builder.sessions(|_| Ping),
        _ => return None,
    })
}

/// Looks at no line: the replies are as many as the lines.
async fn batch(lines: Lines) -> Result<Lines, Infallible> {
    Ok(lines)
}

async fn line(_: Line) -> Result<&'static str, Infallible> {
    Ok("pong")
}

fn ping((): &mut (), _: Args<'_>) -> &'static str {
    "pong"
}

struct Ping;

impl Session for Ping {
    type Protocol = Lf;

    fn on_frame(&mut self, _: FrameOf<'_, Self>, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
        cx.reply("pong")
    }
}

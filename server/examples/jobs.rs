//! A queue of jobs for workers, in a protocol of its own: the program of `docs/TUTORIAL.md`.
//!
//! ```text
//! $ cargo run -p towline --example jobs &
//! $ printf '9:HELLO ann,13:PUT wash cars,4:TAKE,6:DONE 1,3:LEN,4:QUIT,' | nc -q1 127.0.0.1 9000
//! 9:hello ann,4:OK 1,11:1 wash cars,2:OK,1:0,3:bye,
//! ```

use std::{
    collections::VecDeque,
    env,
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;
use towline::{
    Action, Args, Builder, Close, CloseReason, Cx, Deferred, ReplyError, Rest, Router, RunError,
    Server,
    protocol::{
        BytesMut, Delimited, First, FrameError, FrameLimits, Notice, Protocol, delimit_each,
    },
    reply::{Commands, Replies},
};

fn main() -> Result<(), RunError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9000".to_owned());
    server(Server::builder().listen(&address).admin("127.0.0.1:9464")).run()?;
    Ok(())
}

/// Netstrings: `5:hello,` is a frame of five bytes. <https://cr.yp.to/proto/netstrings.txt>
#[derive(Debug)]
pub enum Netstring {}

/// Digits of the longest length.
const DIGITS_MAX: usize = 9;

/// Where the payload begins, and its length; `None` while the head is not all there.
fn head(bytes: &[u8]) -> Result<Option<(usize, usize)>, FrameError> {
    let digits = bytes.iter().take(DIGITS_MAX + 1).take_while(|byte| byte.is_ascii_digit()).count();
    let text = str::from_utf8(&bytes[..digits]).unwrap_or_default();
    match (text.parse(), bytes.get(digits)) {
        _ if digits > DIGITS_MAX => Err(FrameError::Malformed("a length has at most 9 digits")),
        (Ok(_), _) if digits > 1 && bytes[0] == b'0' => {
            Err(FrameError::Malformed("a length does not begin with 0"))
        }
        (Ok(len), Some(b':')) => Ok(Some((digits + 1, len))),
        (Ok(_), None) => Ok(None),
        _ => Err(FrameError::Malformed("expected a length and a colon")),
    }
}

impl Protocol for Netstring {
    type Frame<'a> = &'a [u8];

    fn delimit(bytes: &[u8], limits: &FrameLimits) -> Result<Delimited, FrameError> {
        let limit_bytes = limits.frame_bytes;
        delimit_each(bytes, limits, |bytes, _scanned| match head(bytes)? {
            None => Ok(First::Unfinished { scanned: 0, wanted: 1 }),
            Some((_, len)) if len > limit_bytes => Err(FrameError::TooLong { limit_bytes }),
            Some((start, len)) => match bytes.get(start + len) {
                Some(b',') => Ok(First::Whole(start + len + 1)),
                Some(_) => Err(FrameError::Malformed("expected a comma behind the payload")),
                None => Ok(First::Unfinished { scanned: 0, wanted: start + len + 1 - bytes.len() }),
            },
        })
    }

    fn next<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
        let Ok(Some((start, len))) = head(bytes) else { return std::mem::take(bytes) };
        let end = bytes.len().min(start + len);
        let payload = &bytes[start..end];
        *bytes = bytes.get(end + 1..).unwrap_or_default();
        payload
    }

    fn notice(notice: &Notice<'_>, out: &mut BytesMut) {
        match notice {
            Notice::Timeout => Self::text(b"ERR timeout", out),
            Notice::Overloaded => Self::text(b"ERR overloaded", out),
            Notice::TooLong { limit_bytes } => {
                Self::text(format!("ERR more than {limit_bytes} bytes").as_bytes(), out);
            }
            Notice::Malformed(why) => Self::text(format!("ERR {why}").as_bytes(), out),
            Notice::ReplyError(error) => Self::error(error, out),
            _ => {}
        }
    }
}

impl Replies for Netstring {
    fn text(text: &[u8], out: &mut BytesMut) {
        let _ = write!(out, "{}:", text.len());
        out.extend_from_slice(text);
        out.extend_from_slice(b",");
    }
}

impl Commands for Netstring {
    fn args<'a>(frame: Self::Frame<'a>) -> Args<'a> {
        Args::words(frame)
    }
}

/// Jobs that may wait.
pub const JOBS_MAX: usize = 10_000;

/// Jobs that a worker may have at a time.
pub const TAKEN_MAX: usize = 4;

/// Time in which a client must say its name.
pub const HELLO_TIME: Duration = Duration::from_secs(10);

/// Time for which `TAKE` waits for a job.
pub const TAKE_TIME: Duration = Duration::from_secs(60);

struct Job {
    number: u64,
    text: String,
}

/// The jobs that wait, shared by all connections.
#[derive(Default)]
struct Queue {
    jobs: Mutex<(u64, VecDeque<Job>)>,
    added: Notify,
}

impl Queue {
    fn jobs(&self) -> MutexGuard<'_, (u64, VecDeque<Job>)> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, text: &str) -> Result<u64, ReplyError> {
        let mut jobs = self.jobs();
        if jobs.1.len() >= JOBS_MAX {
            return Err(ReplyError::new("the queue is full"));
        }
        jobs.0 += 1;
        let number = jobs.0;
        jobs.1.push_back(Job { number, text: text.to_owned() });
        self.added.notify_one();
        Ok(number)
    }

    fn put_back(&self, job: Job) {
        self.jobs().1.push_front(job);
        self.added.notify_one();
    }

    async fn take(self: Arc<Self>) -> Offer {
        loop {
            let next = self.jobs().1.pop_front();
            match next {
                Some(job) => return Offer { queue: self, job: Some(job) },
                None => self.added.notified().await,
            }
        }
    }
}

/// A job on its way to a worker. It goes back to the queue if the worker is gone before it arrives.
struct Offer {
    queue: Arc<Queue>,
    job: Option<Job>,
}

impl Drop for Offer {
    fn drop(&mut self) {
        if let Some(job) = self.job.take() {
            self.queue.put_back(job);
        }
    }
}

/// The state of one connection: it is `&mut` in every handler, and needs no lock.
struct Worker {
    queue: Arc<Queue>,
    name: Option<String>,
    taken: Vec<Job>,
}

/// The server, with the settings of `builder`.
pub fn server(builder: Builder) -> Server {
    let commands = Router::<Netstring, Worker>::new()
        .on_open(|_, cx| {
            cx.set_timer(HELLO_TIME);
            Action::Continue
        })
        .on_timer(|_, cx| cx.close("ERR say HELLO sooner"))
        .on_close(go_home)
        .command("HELLO", hello)
        .command("QUIT", |_: &mut Worker, _: Args<'_>| Close("bye"))
        .group(|known| {
            known
                .before(has_a_name)
                .command("PUT", put)
                .command("LEN", |worker: &mut Worker, _: Args<'_>| worker.queue.jobs().1.len())
                .command("TAKE", take)
                .within(TAKE_TIME)
                .command("DONE", done)
        });
    let queue = Arc::new(Queue::default());
    let worker = move |_conn| Worker { queue: queue.clone(), name: None, taken: Vec::new() };
    builder.frame_max(4096).router(commands, worker)
}

fn hello(
    worker: &mut Worker,
    args: Args<'_>,
    cx: &mut Cx<'_, Netstring>,
) -> Result<String, ReplyError> {
    let name: &str = args.parse()?;
    worker.name = Some(name.to_owned());
    cx.clear_timer();
    Ok(format!("hello {name}"))
}

fn has_a_name(
    worker: &mut Worker,
    _: Args<'_>,
    _: &mut Cx<'_, Netstring>,
) -> Result<(), ReplyError> {
    worker.name.is_some().then_some(()).ok_or(ReplyError::new("say HELLO first"))
}

fn put(worker: &mut Worker, args: Args<'_>) -> Result<String, ReplyError> {
    let text: Rest<'_> = args.parse()?;
    Ok(format!("OK {}", worker.queue.put(&text)?))
}

fn take(worker: &mut Worker, args: Args<'_>) -> Result<Deferred<Netstring, Worker>, ReplyError> {
    args.parse::<()>()?;
    if worker.taken.len() >= TAKEN_MAX {
        return Err(ReplyError::new("finish a job first"));
    }
    let offer = worker.queue.clone().take();
    Ok(Deferred::then(offer, |worker: &mut Worker, mut offer, cx| {
        let Some(job) = offer.job.take() else { return Action::Continue };
        let reply = cx.reply(format_args!("{} {}", job.number, job.text));
        worker.taken.push(job);
        reply
    }))
}

fn done(worker: &mut Worker, args: Args<'_>) -> Result<&'static str, ReplyError> {
    let number: u64 = args.parse()?;
    let at = worker.taken.iter().position(|job| job.number == number);
    worker.taken.remove(at.ok_or(ReplyError::new("that is not your job"))?);
    Ok("OK")
}

/// Jobs that a worker took and did not finish go back, however its connection ended.
fn go_home(worker: Worker, _: CloseReason) {
    for job in worker.taken.into_iter().rev() {
        worker.queue.put_back(job);
    }
}

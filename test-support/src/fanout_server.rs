use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Shutdown, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{Answer, LineServer};

/// How long a member may take to read before it is cut.
const WRITE_TIMEOUT: Duration = Duration::from_millis(200);

/// A chat server whose deliveries the test decides: `NICK name` joins, and what `SAY` is said goes to all
/// others. A member that does not read is cut.
#[derive(Debug)]
pub struct FanoutServer(LineServer);

struct Member {
    stream: TcpStream,
    deliver: Answer,
}

impl FanoutServer {
    /// Serves; the member that joined as number `n` gets what `deliveries(n)` makes of each line.
    pub fn start(deliveries: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        let members: Arc<Mutex<Vec<Member>>> = Arc::default();
        Self(LineServer::with(move |stream| {
            stream.set_nodelay(true).unwrap();
            stream.set_write_timeout(Some(WRITE_TIMEOUT)).unwrap();
            let own = stream.peer_addr().unwrap();
            let mut writer = stream.try_clone().unwrap();
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let mut members = members.lock().unwrap();
                if line.starts_with("NICK ") {
                    let stream = writer.try_clone().unwrap();
                    let deliver = deliveries(members.len());
                    members.push(Member { stream, deliver });
                    writer.write_all(b"OK joined\n").unwrap();
                    continue;
                }
                let said = format!("{line}\n");
                for member in members.iter_mut() {
                    if member.stream.peer_addr().is_ok_and(|peer| peer != own)
                        && member.stream.write_all(&(member.deliver)(said.as_bytes())).is_err()
                    {
                        let _ = member.stream.shutdown(Shutdown::Both);
                    }
                }
                drop(members);
                if writer.write_all(b"OK\n").is_err() {
                    return;
                }
            }
        }))
    }

    /// Delivers every line once and in order, but to one member, which gets what `deliver()` makes of each. It is
    /// the first that gets a line: by the order of joining it might be a publisher, which gets none.
    pub fn with_one_wrong(deliver: impl Fn() -> Answer + Send + Sync + 'static) -> Self {
        let (taken, deliver) = (Arc::new(AtomicBool::new(false)), Arc::new(deliver));
        Self::start(move |_member| {
            let (taken, deliver, mut own) = (taken.clone(), deliver.clone(), None::<Answer>);
            Box::new(move |line| {
                let faithful = || -> Answer { Box::new(<[u8]>::to_vec) };
                let choose = || if taken.swap(true, Relaxed) { faithful() } else { deliver() };
                own.get_or_insert_with(choose)(line)
            })
        })
    }

    /// Delivers every line once and in order.
    pub fn faithful() -> Self {
        Self::start(|_member| Box::new(<[u8]>::to_vec))
    }

    /// The server, for its address.
    pub fn server(&self) -> &LineServer {
        &self.0
    }
}

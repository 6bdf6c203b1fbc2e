//! How a worker process is started.

use std::{
    collections::VecDeque, ffi::OsString, io, os::fd::AsFd, path::PathBuf, process::Stdio,
    sync::Arc, time::Duration,
};

use tokio::{process, time::timeout};
use towline::RunError;

use super::WorkerProcess;
use crate::{
    channel::{self, Channel},
    command::StopIntent,
    inbound::Inbound,
    lists::Lists,
    liveness::Liveness,
    message::{SettingsText, SupervisorMsg, ToSupervisor, WorkerMsg, WorkerPlace},
};

/// A process that does not serve within this time has failed.
const START_MAX: Duration = Duration::from_secs(30);

/// How to start a worker process: a program that calls [`Worker::receive`](crate::Worker::receive) and
/// [`Worker::serve`](crate::Worker::serve).
#[derive(Debug, Clone)]
pub struct WorkerCommand {
    /// The program, usually the one that runs now.
    pub program: PathBuf,
    /// Its arguments. The worker's number is added as the last one, so that it shows in a list of
    /// processes.
    pub arguments: Vec<OsString>,
}

impl WorkerProcess {
    /// Starts a process, and waits until it serves.
    pub(crate) async fn start(
        place: WorkerPlace,
        command: &WorkerCommand,
        settings: SettingsText,
    ) -> Result<Self, RunError> {
        let index = place.index;
        let failed = |why: io::Error| RunError::failed(&format!("worker process {index}"), &why);
        let (ours, theirs) = channel::pair().map_err(failed)?;
        let inbound = Inbound::of(&theirs).map_err(failed)?;
        let child = process::Command::new(&command.program)
            .arg0("towline")
            .args(&command.arguments)
            .arg(index.to_string())
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let mut process = Self {
            child,
            channel: Arc::new(Channel::new(ours).map_err(failed)?),
            inbound,
            buffer: channel::buffer(),
            count_requests: Vec::new(),
            row_requests: Lists::default(),
            closed_requests: Lists::default(),
            close_requests: VecDeque::new(),
            reload_requests: VecDeque::new(),
            liveness: Liveness::default(),
            stop_intent: StopIntent::None,
            kill_at: None,
            cut: None,
        };
        let serve = SupervisorMsg::Serve(settings, place);
        let descriptor = serve.descriptor().map(AsFd::as_fd);
        process.channel.send_with(&serve.encode(), descriptor).await.map_err(failed)?;
        match timeout(START_MAX, process.wait_until_ready()).await {
            Ok(ready) => ready.map(|()| process).map_err(failed),
            Err(_elapsed) => Err(failed(io::Error::other("it did not get ready in time"))),
        }
    }

    async fn wait_until_ready(&mut self) -> io::Result<()> {
        let length = tokio::select! {
            received = self.channel.receive(&mut self.buffer) => received?,
            // It may have said why.
            status = self.child.wait() => match self.channel.try_receive(&mut self.buffer) {
                Err(_nothing) => {
                    let status = status?;
                    return Err(io::Error::other(format!("it ended before it served ({status})")));
                }
                received => received?,
            },
        }
        .map_or(0, |received| received.length);
        match ToSupervisor::decode(&self.buffer[..length]) {
            Some(ToSupervisor::Control(WorkerMsg::Ready)) => Ok(()),
            Some(ToSupervisor::Control(WorkerMsg::Failed(why))) => Err(io::Error::other(why)),
            _ => Err(io::Error::other("it is another version of this program")),
        }
    }
}

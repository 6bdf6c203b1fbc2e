//! The process that listens, hands connections over, sums up, and serves no line.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};
use towline_config::Settings;

use super::{
    crew::{Crew, ToProcesses},
    member::Member,
    message::WrittenSettings,
    process::{Wish, WorkerCommand},
    subject::Supervised,
};
use crate::{
    Outcome, RunError,
    accept::Acceptor,
    admin,
    exporter::Process,
    front::Front,
    gate::Gate,
    lifecycle::Stage,
    listen::Listener,
    plan::Plan,
    server::{self, thread_of, thread_runtime},
    signals::Signals,
    slots::Slots,
};

/// What workers get beyond their own deadline to say that they have ended.
const FAREWELL: Duration = Duration::from_secs(2);

/// Wishes that may wait for a worker.
const WISHES_MAX: usize = 16;

/// A supervisor whose workers serve.
#[derive(Debug)]
struct Supervisor {
    subject: Arc<Supervised>,
    /// The workers' places; each ends with the number of connections it cut.
    members: JoinSet<u64>,
    cut: u64,
    acceptor: JoinHandle<io::Result<()>>,
    stop_accepting: watch::Sender<bool>,
}

/// Serves with several processes until a signal ends it. Calls `ready` with the line to announce once
/// connections are accepted.
pub(crate) fn run(
    settings: &Settings,
    config_json: String,
    plan: &Plan,
    command: WorkerCommand,
    ready: impl FnOnce(&str),
) -> Result<Outcome, RunError> {
    let failed = |error| RunError::failed("the supervisor cannot be started", &error);
    let runtime = thread_runtime().map_err(failed)?;
    runtime.block_on(async {
        let mut signals = Signals::new().map_err(failed)?;
        let listeners = Listener::bind_queues(settings, plan.processes)?;
        let address = listeners[0].address().clone();
        let admin = settings.server.admin.map(admin::Socket::bind).transpose()?;
        let announcement =
            server::announcement(&address, admin.as_ref().map(admin::Socket::address));
        let mut supervisor =
            Supervisor::start(settings, config_json, plan, command, listeners).await?;
        if let Some(socket) = admin {
            // It ends with the process.
            thread_of("admin", admin::serve(socket, supervisor.subject.clone()))?;
        }
        supervisor.subject.front.life.set(Stage::Accepting);
        tracing::info!(
            processes = plan.processes,
            threads = plan.threads,
            connections_limit = plan.connections,
            "serving"
        );
        ready(&announcement);
        tokio::select! {
            name = signals.stop() => tracing::info!(signal = name, "draining"),
            ended = &mut supervisor.acceptor => {
                let error = match ended {
                    Ok(Err(error)) => error,
                    Ok(Ok(())) | Err(_) => io::Error::other("the acceptor ended"),
                };
                supervisor.end().await;
                return Err(RunError::failed("the listening socket failed", &error));
            }
        }
        Ok(supervisor.drain(settings.timeouts.drain, &mut signals).await)
    })
}

impl Supervisor {
    /// Starts the workers, and accepts once all of them serve.
    async fn start(
        settings: &Settings,
        config_json: String,
        plan: &Plan,
        command: WorkerCommand,
        listeners: Vec<Listener>,
    ) -> Result<Self, RunError> {
        let crew = Arc::new(Crew::new(plan.processes, plan.each, plan.threads));
        let command = Arc::new(command);
        let written = Arc::new(Mutex::new(WrittenSettings::of(&of_worker(settings, plan))));
        let (mut members, mut wishes, mut firsts) = (JoinSet::new(), Vec::new(), Vec::new());
        for index in 0..plan.processes {
            let (wish, granted) = mpsc::channel(WISHES_MAX);
            let (first, wait) = oneshot::channel();
            let member = Member {
                index,
                command: command.clone(),
                crew: crew.clone(),
                settings: written.clone(),
                wishes: granted,
            };
            members.spawn(member.run(first));
            wishes.push(wish);
            firsts.push(wait);
        }
        for first in firsts {
            // Those that serve already end with this function's sockets to them.
            let lost = |_| RunError::failed("a worker process", &io::Error::other("it was lost"));
            first.await.map_err(lost)??;
        }

        let slots = Slots::new(plan.connections, plan.processes);
        let gate = Gate::new(slots.clone(), &settings.limits);
        let front =
            Front::new(Arc::new(settings.clone()), config_json, listeners[0].address(), slots);
        let acceptor = Acceptor {
            listeners,
            gate,
            stats: front.accept.clone(),
            deliver: ToProcesses(crew.clone()),
        };
        let (stop_accepting, mut stop) = watch::channel(false);
        let acceptor = tokio::spawn(acceptor.run(async move {
            let _ = stop.wait_for(|stop| *stop).await;
        }));
        let (wishes, process) = (wishes.into(), Process::default());
        let subject = Supervised { front, crew, wishes, process };
        Ok(Self { subject: Arc::new(subject), members, cut: 0, acceptor, stop_accepting })
    }

    async fn drain(mut self, deadline: Duration, signals: &mut Signals) -> Outcome {
        // Readiness turns false first, so that a balancer that looks stops sending.
        self.subject.front.life.set(Stage::Draining);
        self.stop_accepting.send_replace(true);
        // What it accepted is handed over before the workers hear that nothing follows.
        if timeout(deadline, &mut self.acceptor).await.is_err() {
            self.acceptor.abort();
        }
        self.wish(|| Wish::Drain).await;
        tokio::select! {
            () = self.all_ended() => {}
            () = sleep(deadline + FAREWELL) => {
                tracing::warn!(?deadline, "workers have not ended by the drain deadline");
            }
            name = signals.stop() => {
                tracing::warn!(signal = name, "second signal: ending at once");
            }
        }
        self.end().await;
        if self.cut == 0 {
            tracing::info!("drained");
            Outcome::Clean
        } else {
            tracing::warn!(connections = self.cut, "connections cut");
            Outcome::Cut(self.cut)
        }
    }

    /// Ends all workers that have not ended.
    async fn end(&mut self) {
        self.wish(|| Wish::Cut).await;
        self.all_ended().await;
    }

    /// Wishes something of every worker there is.
    async fn wish(&self, wish: impl Fn() -> Wish) {
        for worker in &self.subject.wishes {
            // Fails when its place is given up already.
            let _ = worker.send(wish()).await;
        }
    }

    /// Waits until all places are given up.
    async fn all_ended(&mut self) {
        while let Some(member) = self.members.join_next().await {
            // A task that panicked has closed its channel, so its process drains by itself.
            self.cut += member.unwrap_or(0);
        }
    }
}

/// The settings of one worker: what concerns the whole is the supervisor's.
fn of_worker(settings: &Settings, plan: &Plan) -> Settings {
    let mut settings = settings.clone();
    settings.server.admin = None;
    settings.server.processes = towline_config::Processes::Exactly(std::num::NonZeroU32::MIN);
    settings.server.threads = std::num::NonZeroU32::new(plan.threads as u32);
    settings.limits.connections = std::num::NonZeroU32::new(plan.each as u32);
    settings.limits.connections_per_ip = None;
    settings.limits.accept_rate = None;
    settings
}

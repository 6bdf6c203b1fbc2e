use std::{
    fmt,
    sync::{Mutex, atomic::Ordering::Relaxed},
};

use crate::{
    exporter::{Reader, Snapshot, Status},
    lifecycle::{Life, Stage},
};

/// What the admin endpoint tells about: the server in this process, or the processes it supervises.
pub(crate) trait Subject: fmt::Debug + Send + Sync + 'static {
    /// Where it is in its life.
    fn life(&self) -> &Life;

    /// The effective configuration as JSON, secrets redacted.
    fn config_json(&self) -> String;

    /// What is published beside the numbers.
    fn status(&self) -> Status;

    /// The numbers, at least as new as those of the call before.
    fn snapshot(&self) -> impl Future<Output = Snapshot> + Send;

    /// The TCP port lines are served on, if it is one.
    fn port(&self) -> Option<u16>;

    /// Held while this process accepts a line connection.
    fn accepting(&self) -> &Mutex<()>;
}

impl Subject for Reader {
    fn life(&self) -> &Life {
        &self.shared().life
    }

    fn config_json(&self) -> String {
        self.shared().now.borrow().effective.to_json().to_string()
    }

    fn status(&self) -> Status {
        let shared = self.shared();
        Status {
            effective: shared.now.borrow().effective.clone(),
            last_reload_ok: shared.reloads.last_ok.load(Relaxed),
            connections_limit: shared.slots.limit() as u64,
            draining: shared.life.is(Stage::Draining),
        }
    }

    async fn snapshot(&self) -> Snapshot {
        self.read()
    }

    fn port(&self) -> Option<u16> {
        self.shared().port
    }

    fn accepting(&self) -> &Mutex<()> {
        &self.shared().accept.accepting
    }
}

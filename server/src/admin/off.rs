//! The admin port of a build without it: an address for it is refused.

use std::{net::SocketAddr, sync::Arc, thread};

use crate::{RunError, lifecycle::ServerState, shard::ShardPool};

/// The admin socket that this build cannot bind.
#[derive(Debug)]
pub(crate) enum Socket {}

/// The metrics of a program, which this build cannot show.
#[derive(Debug)]
pub enum UserMetrics {}

impl Socket {
    pub(crate) fn bind(address: SocketAddr) -> Result<Self, RunError> {
        Err(RunError::usage(format!(
            "server.admin = \"{address}\" is refused: this program is built without the feature \
             `admin` of towline, so only off is accepted"
        )))
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        match *self {}
    }

    pub(crate) fn serve(
        self,
        _: Arc<ServerState>,
        _: &ShardPool,
        _: Option<UserMetrics>,
    ) -> Result<thread::JoinHandle<()>, RunError> {
        match self {}
    }
}

#[cfg(test)]
mod tests {
    use super::Socket;

    #[test]
    fn an_address_for_the_admin_port_is_refused_by_name() {
        let error =
            Socket::bind(([127, 0, 0, 1], 9464).into()).err().map(|error| error.to_string());
        assert_eq!(
            error.as_deref(),
            Some(
                "server.admin = \"127.0.0.1:9464\" is refused: this program is built without the \
                 feature `admin` of towline, so only off is accepted"
            )
        );
    }
}

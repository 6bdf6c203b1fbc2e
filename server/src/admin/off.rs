//! The admin port of a build without it: an address for it is refused.

use std::{net::SocketAddr, sync::Arc, thread};

use towline_config::Settings;

use crate::{RunError, lifecycle::ServerState, shard::ShardPool};

/// The admin sockets that this build cannot bind.
#[derive(Debug)]
pub(crate) enum Sockets {}

/// The metrics of a program, which this build cannot show.
#[derive(Debug)]
pub enum UserMetrics {}

impl Sockets {
    pub(crate) fn bind(settings: &Settings) -> Result<Option<Self>, RunError> {
        let address = settings.server.admin.map(|address| address.to_string());
        let socket = settings.admin.socket.as_deref().map(|path| path.display().to_string());
        for (key, value) in [("server.admin", address), ("admin.socket", socket)] {
            if let Some(value) = value {
                return Err(RunError::usage(format!(
                    "{key} = \"{value}\" is refused: this program is built without the feature \
                     `admin` of towline, so only off is accepted"
                )));
            }
        }
        Ok(None)
    }

    pub(crate) const fn address(&self) -> Option<SocketAddr> {
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
    use super::*;

    #[test]
    fn an_address_for_the_admin_port_is_refused_by_name() {
        let error = Sockets::bind(&Settings::default()).err().map(|error| error.to_string());
        assert_eq!(
            error.as_deref(),
            Some(
                "server.admin = \"127.0.0.1:9464\" is refused: this program is built without the \
                 feature `admin` of towline, so only off is accepted"
            )
        );
    }
}

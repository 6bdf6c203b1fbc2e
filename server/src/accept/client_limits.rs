//! The limits of single client addresses: which may connect, how often, and how many connections each has.

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::time::Instant;
use towline_config::Limits;

use super::{
    access::AccessLists,
    per_address::{LimitReached, PerAddress},
    slots::ConnectionTag,
    source_rate::SourceRates,
};
use crate::counts::Rejection;

/// What is known of client addresses, shared by the acceptor, which meets most clients, and the shards, which meet
/// those behind a load balancer when its header has come.
#[derive(Debug)]
pub struct ClientLimits {
    per_address: Arc<PerAddress>,
    changeable: Mutex<Changeable>,
}

#[derive(Debug, Default)]
struct Changeable {
    access: AccessLists,
    rate: Option<NonZeroU32>,
    rates: Option<SourceRates>,
}

impl Default for ClientLimits {
    /// Without limits.
    fn default() -> Self {
        Self { per_address: PerAddress::new(None), changeable: Mutex::default() }
    }
}

impl ClientLimits {
    /// Replaces the limits.
    pub fn set_limits(&self, limits: &Limits) {
        self.per_address.set_limit(limits.connections_per_ip.map(|limit| limit.get() as usize));
        let access = AccessLists::of(limits);
        // No code that can panic runs under this lock.
        let mut changeable = self.changeable.lock().unwrap_or_else(PoisonError::into_inner);
        changeable.access = access;
        if changeable.rate != limits.accept_rate_per_ip {
            // An unchanged rate keeps its buckets: full ones at each reload would defeat the limit.
            changeable.rate = limits.accept_rate_per_ip;
            changeable.rates = limits.accept_rate_per_ip.map(SourceRates::new);
        }
    }

    /// Admits a connection of an address. The tag counts it until it is dropped.
    ///
    /// # Errors
    /// With the first limit that does not admit it.
    pub fn admit(&self, client: Option<SocketAddr>) -> Result<Option<ConnectionTag>, Rejection> {
        {
            let mut changeable = self.changeable.lock().unwrap_or_else(PoisonError::into_inner);
            if !changeable.access.admit(client) {
                return Err(Rejection::Denied);
            }
            let now = Instant::now();
            if changeable.rates.as_mut().is_some_and(|rates| !rates.try_take(client, now)) {
                return Err(Rejection::PerIpRate);
            }
        }
        let tag = self.per_address.acquire(client).map_err(|LimitReached| Rejection::PerIp)?;
        Ok(tag.map(|tag| Box::new(tag) as ConnectionTag))
    }
}

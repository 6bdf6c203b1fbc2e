//! The limits of single client addresses: which may connect, how often, and how many connections each has.

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::time::Instant;
use towline_config::Limits;
use towline_middleware::rate::{Quota, Quotas};

use super::{
    access::AccessLists,
    per_address::{AddrKey, LimitReached, PerAddress},
    slots::ConnectionTag,
    source_rates::SourceRates,
};
use crate::counts::Rejection;

/// Addresses whose rate is remembered: up to 4 MiB.
pub(super) const ADDRESSES_MAX: usize = 65_536;

/// What is known of client addresses, shared by the acceptor, which meets most clients, and the shards, which meet
/// those behind a load balancer when its header has come.
#[derive(Debug)]
pub struct ClientLimits {
    per_address: Arc<PerAddress>,
    source_rates: Arc<SourceRates>,
    changeable: Mutex<Changeable>,
}

#[derive(Debug, Default)]
struct Changeable {
    access: AccessLists,
    rate: Option<NonZeroU32>,
    /// Of the addresses that connected last.
    rates: Option<Quotas<AddrKey>>,
}

impl Default for ClientLimits {
    /// Without limits.
    fn default() -> Self {
        Self {
            per_address: PerAddress::new(None),
            source_rates: Arc::default(),
            changeable: Mutex::default(),
        }
    }
}

impl ClientLimits {
    /// Replaces the limits.
    pub fn set_limits(&self, limits: &Limits) {
        self.per_address.set_limit(limits.connections_per_ip.map(|limit| limit.get() as usize));
        self.source_rates.set_limits(limits);
        let access = AccessLists::of(limits);
        // No code that can panic runs under this lock.
        let mut changeable = self.changeable.lock().unwrap_or_else(PoisonError::into_inner);
        changeable.access = access;
        if changeable.rate != limits.accept_rate_per_ip {
            // An unchanged rate keeps its buckets: full ones at each reload would defeat the limit.
            changeable.rate = limits.accept_rate_per_ip;
            let quotas = |rate: NonZeroU32| Quotas::new(Quota::per_second(rate.get()));
            changeable.rates =
                limits.accept_rate_per_ip.map(|rate| quotas(rate).at_most(ADDRESSES_MAX));
        }
    }

    /// The rates of what addresses send.
    pub(crate) const fn source_rates(&self) -> &Arc<SourceRates> {
        &self.source_rates
    }

    /// Admits a connection of an address. The tag counts it until it is dropped.
    ///
    /// # Errors
    /// With the first limit that does not admit it.
    pub fn admit(&self, client: Option<SocketAddr>) -> Result<Option<ConnectionTag>, Rejection> {
        {
            let changeable = self.changeable.lock().unwrap_or_else(PoisonError::into_inner);
            if !changeable.access.admit(client) {
                return Err(Rejection::Denied);
            }
            if let (Some(rates), Some(client)) = (&changeable.rates, client)
                && rates.take(&AddrKey::of(client.ip()), Instant::now()).is_err()
            {
                return Err(Rejection::PerIpRate);
            }
        }
        let tag = self.per_address.acquire(client).map_err(|LimitReached| Rejection::PerIp)?;
        Ok(tag.map(|tag| Box::new(tag) as ConnectionTag))
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use tokio::time::advance;

    use super::*;

    fn limits(rate: u32) -> ClientLimits {
        let mut limits = Limits::default();
        limits.accept_rate_per_ip = rate.try_into().ok();
        let clients = ClientLimits::default();
        clients.set_limits(&limits);
        clients
    }

    /// How often an address is admitted, of `times`.
    fn admitted(clients: &ClientLimits, bits: u32, times: usize) -> usize {
        let client = Some((Ipv4Addr::from_bits(bits), 4711).into());
        (0..times).filter(|_| clients.admit(client).is_ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn each_address_has_a_rate_of_its_own() {
        let clients = limits(3);
        assert_eq!(admitted(&clients, 1, 5), 3, "a second's worth at once");
        assert_eq!(admitted(&clients, 2, 5), 3);
        advance(Duration::from_millis(400)).await;
        assert_eq!(admitted(&clients, 1, 5), 1);
        advance(Duration::from_secs(5)).await;
        assert_eq!(admitted(&clients, 1, 5), 3);
        assert!((0..10).all(|_| clients.admit(None).is_ok()), "it has no address");
    }

    #[tokio::test(start_paused = true)]
    async fn many_addresses_do_not_make_one_that_connects_often_forgotten() {
        let clients = limits(2);
        let mut often = 0;
        for other in 1..200_000 {
            often += admitted(&clients, 0, 1);
            assert_eq!(admitted(&clients, other, 1), 1, "its first");
        }
        assert_eq!(often, 2);
    }
}

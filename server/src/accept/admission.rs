//! Admission: the limits that a new connection meets, in their order.

use std::{future::pending, net::SocketAddr, num::NonZeroU32, sync::Arc};

use tokio::time::Instant;
use towline_config::{Admission, Limits};

use super::{
    access::AccessLists,
    per_address::{LimitReached, PerAddress},
    rate::TokenBucket,
    slots::{ConnectionSlots, ConnectionTag, Reservation},
    source_rate::SourceRates,
};
use crate::counts::Rejection;

/// The accept limits of a server.
#[derive(Debug)]
pub struct AdmissionControl {
    slots: Arc<ConnectionSlots>,
    admission: Admission,
    per_address: Arc<PerAddress>,
    accept_rate: Option<NonZeroU32>,
    memory_short: bool,
    rate: Option<TokenBucket>,
    access: AccessLists,
    source_rate: Option<NonZeroU32>,
    source_rates: Option<SourceRates>,
}

/// What an admitted connection holds until it ends.
#[derive(Debug)]
pub struct Admitted {
    /// Its slot, not yet assigned to a shard.
    pub slot: Reservation,
    /// Its count of the per-address limit, if there is one.
    pub tag: Option<ConnectionTag>,
}

impl AdmissionControl {
    /// Admits connections to `slots` under `limits`.
    pub fn new(slots: Arc<ConnectionSlots>, limits: &Limits) -> Self {
        let mut admission = Self {
            slots,
            admission: limits.admission,
            per_address: PerAddress::new(None),
            accept_rate: None,
            memory_short: false,
            rate: None,
            access: AccessLists::default(),
            source_rate: None,
            source_rates: None,
        };
        admission.set_limits(limits);
        admission
    }

    /// Replaces the limits. `limits.connections` is not among them: it belongs to the slots.
    pub fn set_limits(&mut self, limits: &Limits) {
        self.admission = limits.admission;
        self.per_address.set_limit(limits.connections_per_ip.map(|limit| limit.get() as usize));
        self.access = AccessLists::of(limits);
        if self.source_rate != limits.accept_rate_per_ip {
            self.source_rate = limits.accept_rate_per_ip;
            self.source_rates = limits.accept_rate_per_ip.map(SourceRates::new);
        }
        if self.accept_rate != limits.accept_rate {
            // An unchanged rate keeps its bucket: a full bucket at each reload would defeat the limit.
            self.accept_rate = limits.accept_rate;
            let full = |rate: NonZeroU32| TokenBucket::per_second(rate.get(), Instant::now());
            self.rate = limits.accept_rate.map(full);
        }
    }

    /// Sets whether memory is too short for any new connection. Default: false.
    pub fn set_memory_short(&mut self, short: bool) {
        self.memory_short = short;
    }

    /// With `limits.admission = "wait"`, waits until the limits admit one more connection and reserves
    /// its slot. With `"reject"`, returns `None` at once.
    ///
    /// The slot comes before the connection: at a limit connections wait in the kernel's queue, not
    /// in this process.
    pub async fn reserve(&self) -> Option<Reservation> {
        match self.admission {
            Admission::Reject => None,
            // Cancelled when the configuration changes, and called again.
            _ if self.memory_short => pending().await,
            _ => {
                let slot = self.slots.reserve().await;
                if let Some(rate) = &self.rate {
                    rate.ready().await;
                }
                Some(slot)
            }
        }
    }

    /// Admits a connection, with the slot from [`reserve`](Self::reserve) if there is one.
    ///
    /// The order of the limits makes sure that a rejected connection uses up nothing that others need: neither a
    /// slot nor a token of the rate of all.
    ///
    /// # Errors
    /// With the first limit that does not admit it.
    pub fn admit(
        &mut self,
        peer: Option<SocketAddr>,
        reserved: Option<Reservation>,
    ) -> Result<Admitted, Rejection> {
        if !self.access.admit(peer) {
            return Err(Rejection::Denied);
        }
        if self.memory_short {
            return Err(Rejection::Memory);
        }
        let now = Instant::now();
        if self.source_rates.as_mut().is_some_and(|rates| !rates.try_take(peer, now)) {
            return Err(Rejection::PerIpRate);
        }
        let tag = self.per_address.acquire(peer).map_err(|LimitReached| Rejection::PerIp)?;
        let tag = tag.map(|tag| Box::new(tag) as ConnectionTag);
        let slot = reserved.or_else(|| self.slots.try_reserve());
        let slot = slot.ok_or(Rejection::MaxConnections)?;
        let in_rate = self.rate.as_mut().is_none_or(|rate| rate.try_take(now));
        in_rate.then_some(Admitted { slot, tag }).ok_or(Rejection::Rate)
    }
}

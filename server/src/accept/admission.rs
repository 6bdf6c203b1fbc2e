//! Admission: the limits that a new connection meets, in their order.

use std::{future::pending, num::NonZeroU32, sync::Arc};

use tokio::time::Instant;
use towline_config::{Admission, Settings};

use super::{
    Accepted,
    rate::TokenBucket,
    senders::ProxySenders,
    slots::{ConnectionSlots, ConnectionTag, Reservation},
};
use crate::counts::Rejection;

/// The accept limits of a server.
#[derive(Debug)]
pub struct AdmissionControl {
    slots: Arc<ConnectionSlots>,
    admission: Admission,
    accept_rate: Option<NonZeroU32>,
    memory_short: bool,
    rate: Option<TokenBucket>,
    senders: ProxySenders,
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
    /// Admits connections to `slots` under the limits of `settings`.
    pub fn new(slots: Arc<ConnectionSlots>, settings: &Settings) -> Self {
        let limits = &settings.limits;
        let mut admission = Self {
            slots,
            admission: limits.admission,
            accept_rate: None,
            memory_short: false,
            rate: None,
            senders: ProxySenders::of(settings),
        };
        admission.set_limits(settings);
        admission
    }

    /// Replaces the limits. `limits.connections` is not among them: it belongs to the slots.
    pub fn set_limits(&mut self, settings: &Settings) {
        let limits = &settings.limits;
        self.senders = ProxySenders::of(settings);
        self.slots.clients().set_limits(limits);
        self.admission = limits.admission;
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
        accepted: &Accepted,
        reserved: Option<Reservation>,
    ) -> Result<Admitted, Rejection> {
        // The limits of its client hold when the header of the load balancer has come.
        let is_balancer = self.senders.is_balancer(accepted.listener, accepted.peer);
        let tag = if is_balancer { None } else { self.slots.clients().admit(accepted.peer)? };
        if self.memory_short {
            return Err(Rejection::Memory);
        }
        let slot = reserved.or_else(|| self.slots.try_reserve());
        let slot = slot.ok_or(Rejection::MaxConnections)?;
        let in_rate = self.rate.as_mut().is_none_or(|rate| rate.try_take(Instant::now()));
        in_rate.then_some(Admitted { slot, tag }).ok_or(Rejection::Rate)
    }
}

//! Who is let in: the limits that a new connection meets, in their order.

use std::{future::pending, net::SocketAddr, num::NonZeroU32, sync::Arc};

use tokio::time::Instant;
use towline_config::{Admission, Limits};

use super::{
    per_address::{LimitReached, PerAddress},
    rate::TokenBucket,
    slots::{ConnectionSlots, ConnectionTag, Reservation},
};
use crate::counts::Rejection;

/// The limits of a process.
#[derive(Debug)]
pub struct AdmissionControl {
    slots: Arc<ConnectionSlots>,
    admission: Admission,
    per_address: Arc<PerAddress>,
    accept_rate: Option<NonZeroU32>,
    memory_short: bool,
    rate: Option<TokenBucket>,
}

/// What a connection that is let in takes with it.
#[derive(Debug)]
pub struct Admitted {
    pub slot: Reservation,
    pub tag: Option<ConnectionTag>,
}

impl AdmissionControl {
    pub fn new(slots: Arc<ConnectionSlots>, limits: &Limits) -> Self {
        let mut gate = Self {
            slots,
            admission: limits.admission,
            per_address: PerAddress::new(None),
            accept_rate: None,
            memory_short: false,
            rate: None,
        };
        gate.apply(limits);
        gate
    }

    /// Lets connections in by other limits from now on.
    pub fn apply(&mut self, limits: &Limits) {
        self.admission = limits.admission;
        self.per_address.set_limit(limits.connections_per_ip.map(|limit| limit.get() as usize));
        if self.accept_rate != limits.accept_rate {
            // A rate that stays goes on as it is: a full bucket at each reload would be a way past it.
            self.accept_rate = limits.accept_rate;
            let full = |rate: NonZeroU32| TokenBucket::per_second(rate.get(), Instant::now());
            self.rate = limits.accept_rate.map(full);
        }
    }

    /// Whether memory is too short for anybody.
    pub fn set_memory_short(&mut self, short: bool) {
        self.memory_short = short;
    }

    /// From now on only a slot is needed, and waited for.
    pub fn lift_limits(&mut self) {
        self.admission = Admission::Wait;
        self.rate = None;
        self.memory_short = false;
        self.per_address.set_limit(None);
    }

    /// Waits until one more connection may come, unless those that may not are to be refused.
    ///
    /// The slot comes before the connection: at a limit connections wait in the kernel's queue, not
    /// in our memory.
    pub async fn acquire(&self) -> Option<Reservation> {
        match self.admission {
            Admission::Reject => None,
            // Until it is told otherwise, and asked again.
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

    /// Lets a connection in, with the slot that was reserved for it if one was.
    ///
    /// The limits stand in an order in which a connection that is refused uses up nothing that
    /// another could have.
    pub fn admit(
        &mut self,
        peer: Option<SocketAddr>,
        reserved: Option<Reservation>,
    ) -> Result<Admitted, Rejection> {
        if self.memory_short {
            return Err(Rejection::Memory);
        }
        let tag = self.per_address.enter(peer).map_err(|LimitReached| Rejection::PerIp)?;
        let tag = tag.map(|tag| Box::new(tag) as ConnectionTag);
        let slot = reserved.or_else(|| self.slots.try_reserve());
        let slot = slot.ok_or(Rejection::MaxConnections)?;
        let in_time = self.rate.as_mut().is_none_or(|rate| rate.take(Instant::now()));
        in_time.then_some(Admitted { slot, tag }).ok_or(Rejection::Rate)
    }
}

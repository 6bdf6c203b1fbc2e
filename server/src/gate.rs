//! Who is let in: the limits that a new connection meets, in their order.

use std::{net::SocketAddr, sync::Arc};

use tokio::time::Instant;
use towline_config::{Admission, Limits};

use crate::{
    per_address::{Full, PerAddress},
    rate::Rate,
    refuse::Refusal,
    slots::{Mark, Reservation, Slots},
};

/// The limits of a process.
#[derive(Debug)]
pub(crate) struct Gate {
    slots: Arc<Slots>,
    admission: Admission,
    per_address: Arc<PerAddress>,
    rate: Option<Rate>,
}

/// What a connection that is let in takes with it.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) place: Reservation,
    pub(crate) mark: Option<Mark>,
}

impl Gate {
    pub(crate) fn new(slots: Arc<Slots>, limits: &Limits) -> Self {
        let per_ip = limits.connections_per_ip.map(|limit| limit.get() as usize);
        let rate = limits.accept_rate.map(|rate| Rate::per_second(rate.get(), Instant::now()));
        let per_address = PerAddress::new(per_ip);
        Self { slots, admission: limits.admission, per_address, rate }
    }

    /// Waits until one more connection may come, unless those that may not are to be refused.
    ///
    /// The place comes before the connection: at a limit connections wait in the kernel's queue, not
    /// in our memory.
    pub(crate) async fn open(&self) -> Option<Reservation> {
        match self.admission {
            Admission::Wait => {
                let place = self.slots.reserve().await;
                if let Some(rate) = &self.rate {
                    rate.ready().await;
                }
                Some(place)
            }
            Admission::Reject => None,
        }
    }

    /// Lets a connection in, with the place that was reserved for it if one was.
    ///
    /// The limits stand in an order in which a connection that is refused uses up nothing that
    /// another could have.
    pub(crate) fn admit(
        &mut self,
        peer: Option<SocketAddr>,
        reserved: Option<Reservation>,
    ) -> Result<Admitted, Refusal> {
        let mark = self.per_address.enter(peer).map_err(|Full| Refusal::PerIp)?;
        let mark = mark.map(|mark| Box::new(mark) as Mark);
        let place = reserved.or_else(|| self.slots.try_reserve());
        let place = place.ok_or(Refusal::MaxConnections)?;
        let in_time = self.rate.as_mut().is_none_or(|rate| rate.take(Instant::now()));
        in_time.then_some(Admitted { place, mark }).ok_or(Refusal::Rate)
    }
}

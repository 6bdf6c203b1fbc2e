//! Fair scheduling on a shard: connections that always have more to do yield to those with a line.
//!
//! - [`yield_queue`](self): a connection whose read filled its block, or whose turn took long, waits in a
//!   queue of this thread, from which [`run_yield_queue`] wakes a few at a time;
//! - `flood_hint`: a connection that did much before it parked joins that queue when it wakes;
//! - `close_pacer`: connections whose deadlines passed together close one after another, as
//!   [`run_close_pacer`] wakes them.
//!
//! Both drivers are futures that a current-thread runtime polls beside its connections. On a thread
//! without them a connection that yields runs again as soon as the I/O driver was polled.

mod close_pacer;
mod flood_hint;
mod yield_queue;

pub(crate) use close_pacer::enqueue_close;
pub use close_pacer::run_close_pacer;
pub(crate) use flood_hint::FloodHint;
pub use yield_queue::run_yield_queue;
pub(crate) use yield_queue::{enqueue_yield, has_queue, waits};

pub(crate) use crate::thread_context::{Ticket, defer_wake};

/// A task that waits in a queue once.
#[cfg(test)]
async fn wait_once(enqueue: fn(&mut std::task::Context<'_>)) {
    use std::task::Poll;
    let mut queued = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut queued, true) {
            return Poll::Ready(());
        }
        enqueue(cx);
        Poll::Pending
    })
    .await;
}

//! Groups by name.

use std::{
    collections::HashMap,
    fmt,
    marker::PhantomData,
    sync::{Arc, PoisonError, RwLock},
};

use super::{Conn, Group, Membership, PushError, SlowConsumer, encoded, order::Order};
use crate::{
    protocol::Lf,
    reply::{Message, Replies},
};

/// [`Group`]s by name: subscriptions. Cheap to clone; the clones are one.
///
/// A topic exists while it has members: what is sent to any other name costs a look into a table, and nothing
/// grows by it. *Costs*: an allocation for the name of each topic and of each membership.
///
/// ```no_run
/// use std::collections::HashMap;
/// use towline_middleware::{
///     protocol::Resp,
///     push::{Membership, PushError, SlowConsumer, Topics},
///     reply::{Args, ReplyError},
///     session::Cx,
/// };
///
/// struct Client {
///     topics: Topics<Resp>,
///     joined: HashMap<Box<[u8]>, Membership>,
/// }
///
/// fn subscribe(client: &mut Client, args: Args<'_>, cx: &mut Cx<'_, Resp>) {
///     for name in args.iter() {
///         client.joined.insert(name.into(), client.topics.join(name, cx.conn()));
///         cx.write(["subscribe".as_bytes(), name]);
///     }
/// }
///
/// fn publish(client: &mut Client, args: Args<'_>) -> Result<usize, ReplyError> {
///     let [name, text] = args.exactly()?;
///     Ok(client.topics.send(name, ["message".as_bytes(), name, text])?)
/// }
///
/// let topics = Topics::<Resp>::new(SlowConsumer::Disconnect);
/// ```
pub struct Topics<P: Replies = Lf> {
    table: Arc<Table>,
    protocol: PhantomData<fn() -> P>,
}

struct Table {
    slow: SlowConsumer,
    orders: RwLock<HashMap<Box<[u8]>, Arc<Order>>>,
}

impl<P: Replies> Topics<P> {
    /// No topics. `slow` is the policy of each.
    pub fn new(slow: SlowConsumer) -> Self {
        let table = Arc::new(Table { slow, orders: RwLock::default() });
        Self { table, protocol: PhantomData }
    }

    /// Makes `conn` a member of the topic `name`: see [`Group::join`].
    pub fn join(&self, name: &[u8], conn: &Conn<P>) -> Membership {
        let name: Box<[u8]> = name.into();
        let topic = TopicName { table: self.table.clone(), name: name.clone() };
        let mut orders = self.table.orders.write().unwrap_or_else(PoisonError::into_inner);
        let order = orders.entry(name).or_insert_with(|| Arc::new(Order::new(self.table.slow)));
        // Under the lock of the table, so that the topic is not removed before.
        let membership = order.join(conn.recipient(), Some(topic));
        drop(orders);
        membership
    }

    /// Sends `message` to the members of the topic `name`, and returns to how many: see [`Group::send`].
    ///
    /// # Errors
    /// As [`Group::send`].
    pub fn send(&self, name: &[u8], message: impl Message) -> Result<usize, PushError> {
        match (self.order(name), encoded::<P>(message)) {
            (Some(order), Some(bytes)) => order.send(&bytes, None),
            _ => Ok(0),
        }
    }

    /// The topic `name` as a group, if it has members.
    pub fn get(&self, name: &[u8]) -> Option<Group<P>> {
        self.order(name).map(Group::of)
    }

    /// How many topics there are.
    pub fn len(&self) -> usize {
        self.table.orders.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn order(&self, name: &[u8]) -> Option<Arc<Order>> {
        self.table.orders.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

impl<P: Replies> Clone for Topics<P> {
    fn clone(&self) -> Self {
        Self { table: self.table.clone(), protocol: PhantomData }
    }
}

impl<P: Replies> fmt::Debug for Topics<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topics").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The topic of a membership.
pub(super) struct TopicName {
    table: Arc<Table>,
    name: Box<[u8]>,
}

impl TopicName {
    /// Removes the topic if it has no members.
    pub(super) fn remove_if_empty(&self) {
        let mut orders = self.table.orders.write().unwrap_or_else(PoisonError::into_inner);
        if orders.get(&self.name).is_some_and(|order| order.len() == 0) {
            orders.remove(&self.name);
            if orders.is_empty() {
                *orders = HashMap::new();
            }
        }
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.name))
    }
}

//! What a connection waits for whose messages filled something.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
    task::{Context, Poll},
};

use super::{group_shard::GroupShard, shard::PushShard};

/// Something that was full when a connection sent to it.
pub(super) enum Room {
    Shard(PushShard),
    Group(Arc<GroupShard>),
}

impl Room {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Shard(one), Self::Shard(other)) => one.is(other),
            (Self::Group(one), Self::Group(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

thread_local! {
    /// Whether `FULL` has anything: without a destructor, so that the look at it is a load.
    static ANY: Cell<bool> = const { Cell::new(false) };
    /// What was full when something was sent on this thread since it was asked last.
    static FULL: RefCell<Vec<Room>> = const { RefCell::new(Vec::new()) };
}

/// Has the connection that runs on this thread wait for room before it reads on. Sent from outside of a
/// connection, the one that runs next waits.
pub(super) fn wait_for_room(room: Room) {
    ANY.with(|any| any.set(true));
    FULL.with_borrow_mut(|full| {
        if !full.iter().any(|other| other.is(&room)) {
            full.push(room);
        }
    });
}

/// Whether something that was sent on this thread filled something.
#[inline]
pub(crate) fn must_wait() -> bool {
    ANY.with(Cell::get)
}

/// The wait of a connection for room.
pub(crate) struct RoomWait(Vec<(Room, u64)>);

impl RoomWait {
    /// What this thread's connection must wait for.
    pub(crate) fn take() -> Self {
        ANY.with(|any| any.set(false));
        Self(FULL.with_borrow_mut(std::mem::take).into_iter().map(|room| (room, 0)).collect())
    }

    /// Ready when there is room everywhere.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some((room, registered)) = self.0.last_mut() {
            let ready = match room {
                Room::Shard(shard) => shard.poll_room(cx, registered),
                Room::Group(group) => group.poll_room(cx, registered),
            };
            if ready.is_pending() {
                return Poll::Pending;
            }
            self.0.pop();
        }
        Poll::Ready(())
    }
}

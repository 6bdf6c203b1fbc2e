use std::time::Duration;

use tokio::time::timeout;

use super::*;

fn any_shard(_shard: usize) -> bool {
    true
}

#[test]
fn a_shard_without_room_is_passed_over() {
    let slots = ConnectionSlots::new(9, 3);
    let assigned = [[1, 2].as_slice(), &[1, 2], &[0, 1, 2], &[]].map(|room| {
        let reservation = slots.try_reserve().expect("below the limit");
        let slot = reservation.assign(None, |shard| room.contains(&shard));
        let shard = slot.shard();
        std::mem::forget(slot);
        shard
    });
    assert_eq!(assigned, [1, 2, 0, 0]);
}

#[test]
fn slots_go_to_the_shard_with_the_fewest_connections_and_are_freed_when_dropped() {
    let slots = ConnectionSlots::new(3, 2);
    let [a, b, c] = std::array::from_fn(|_| {
        slots.try_reserve().expect("below the limit").assign(None, any_shard)
    });
    assert_eq!((a.shard(), b.shard(), c.shard()), (0, 1, 0));
    assert!(slots.try_reserve().is_none());
    drop(b);
    assert_eq!(slots.connections(), 2);
    assert_eq!(slots.try_reserve().map(|free| free.assign(None, any_shard).shard()), Some(1));
    drop((a, c));
    assert_eq!((slots.taken(), slots.connections()), (0, 0));
}

#[test]
fn a_reservation_is_not_a_connection_and_its_shard_is_chosen_on_arrival() {
    let slots = ConnectionSlots::new(3, 2);
    let reserved = slots.try_reserve().expect("below the limit");
    assert_eq!((slots.taken(), slots.connections()), (1, 0));
    let other = slots.try_reserve().expect("below the limit").assign(None, any_shard);
    assert_eq!((other.shard(), reserved.assign(None, any_shard).shard()), (0, 1));
    assert_eq!(slots.taken(), 1, "one was dropped");
}

#[test]
fn with_many_connections_a_few_in_a_row_go_to_the_same_shard() {
    let slots = ConnectionSlots::new(10_000, 3);
    let connect = || slots.try_reserve().expect("below the limit").assign(None, any_shard);
    let mut open: Vec<_> = (0..9_000).map(|_| connect()).collect();
    let shards: Vec<_> = open.drain(6_000..).map(|slot| slot.shard()).collect();
    let runs = shards.chunk_by(|one, next| one == next).map(<[_]>::len);
    let longest = runs.clone().max().unwrap_or_default();
    assert!((2..=2 * SAME_SHARD_RUN_MAX).contains(&longest), "{longest}");
    assert!(runs.count() < shards.len() / 8);
    for shard in 0..3 {
        assert!(slots.by_shard(shard).abs_diff(2_000) <= SAME_SHARD_RUN_MAX, "{shard}");
    }
}

#[tokio::test]
async fn a_freed_slot_goes_to_a_waiting_connection() {
    let slots = ConnectionSlots::new(1, 1);
    let first = slots.reserve().await.assign(None, any_shard);
    let waiting = tokio::spawn({
        let slots = slots.clone();
        async move { slots.reserve().await }
    });
    tokio::task::yield_now().await;
    drop(first);
    drop(waiting.await.expect("no panic"));
    slots.all_free().await;
}

async fn waits(slots: &Arc<ConnectionSlots>) -> bool {
    timeout(Duration::from_millis(1), slots.reserve()).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn a_raised_limit_admits_a_waiting_connection() {
    let slots = ConnectionSlots::new(1, 1);
    let _first = slots.reserve().await.assign(None, any_shard);
    let mut waiting = tokio::spawn({
        let slots = slots.clone();
        async move { slots.reserve().await }
    });
    assert!(timeout(Duration::from_millis(1), &mut waiting).await.is_err());
    slots.set_limit(2);
    assert_eq!(slots.limit(), 2);
    drop(timeout(Duration::from_millis(1), waiting).await.expect("woken").expect("no panic"));
}

#[tokio::test(start_paused = true)]
async fn a_lowered_limit_closes_nothing_and_admits_nothing_until_it_is_met() {
    let slots = ConnectionSlots::new(4, 2);
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(slots.reserve().await.assign(None, any_shard));
    }
    slots.set_limit(2);
    assert_eq!((slots.connections(), slots.limit()), (4, 2));
    for left in [3, 2] {
        open.pop();
        assert!(waits(&slots).await, "{left} are open");
    }
    let waiting = tokio::spawn({
        let slots = slots.clone();
        async move { slots.reserve().await.assign(None, any_shard) }
    });
    tokio::task::yield_now().await;
    open.pop();
    let _admitted = timeout(Duration::from_millis(1), waiting).await.expect("woken");
    assert!(waits(&slots).await, "2 are open again");
}

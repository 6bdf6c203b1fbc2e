//! What connections and shards take of a descriptor limit.

use towline_host::{buffer_limit, descriptors_reserved, max_connections};

#[test]
fn each_shard_reserves_descriptors_beside_those_of_the_process() {
    assert_eq!(descriptors_reserved(2) - descriptors_reserved(1), 5);
    assert_eq!(max_connections(20_000, 2), 20_000 - descriptors_reserved(2));
}

#[test]
fn a_limit_below_the_reserve_holds_no_connection() {
    assert_eq!(max_connections(descriptors_reserved(4) - 1, 4), 0);
}

#[test]
fn a_configured_buffer_limit_is_taken_as_it_is_and_auto_has_a_minimum() {
    assert_eq!(buffer_limit(Some(1)), 1);
    assert!(buffer_limit(None) >= 16 << 20);
}

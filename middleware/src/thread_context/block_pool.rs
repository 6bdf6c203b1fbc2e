//! The thread's lending pool of read blocks.
//!
//! A connection borrows a 64 KiB block for the moment of reading and gives it back before it parks,
//! so a shard of a hundred thousand idle connections owns a handful of blocks. 64 KiB is measured:
//! 4 KiB costs three times as much a line in a flood, 128 KiB gains nothing.
//!
//! The pool is the thread's, not a handle's: a shard is a thread, a handle would cost every
//! connection eight bytes, and connections stay `Send`.
//!
//! While the connections of a shard hold much, the blocks that it makes are small. Else a
//! thousand that send and never read, each stopped as soon as its reply cannot be written, hold a
//! thousand blocks all the same. Batches are of fewer lines then, for the same reason.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

use bytes::BytesMut;

use crate::stats::Stats;

/// Size of a lent block.
pub const BLOCK_BYTES: usize = 64 * 1024;

/// Most blocks a thread keeps; beyond that they go back to the allocator.
pub const BLOCKS_KEPT_MAX: usize = 16;

/// Size of the block for a peer that sends a line at a time. Its batch and the reply to that are mostly
/// the block itself, which comes back in the same turn: a thread keeps one.
pub(crate) const SHORT_BLOCK_BYTES: usize = 128;

/// Size of a block that is lent while connections hold much: a thousand of them are 8 MiB.
pub const SMALL_BLOCK_BYTES: usize = 8 * 1024;

thread_local! {
    static BLOCKS: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
    static SHORT_BLOCK: Cell<Option<BytesMut>> = const { Cell::new(None) };
    static SMALL_BLOCKS: RefCell<Option<SmallBlocks>> = const { RefCell::new(None) };
}

/// Until when blocks are small.
struct SmallBlocks {
    stats: Arc<Stats>,
    buffered_bytes_max: usize,
}

/// An empty block of at least [`BLOCK_BYTES`], or of [`SMALL_BLOCK_BYTES`] while they are spared.
pub fn take() -> BytesMut {
    BLOCKS.with_borrow_mut(Vec::pop).unwrap_or_else(allocate)
}

/// Without blocks in the pool, as it is while they are spared.
#[cold]
fn allocate() -> BytesMut {
    BytesMut::with_capacity(if uses_small_blocks() { SMALL_BLOCK_BYTES } else { BLOCK_BYTES })
}

/// Whether memory is spared on this thread.
pub(crate) fn uses_small_blocks() -> bool {
    SMALL_BLOCKS.with_borrow_mut(|small_blocks| {
        small_blocks.take_if(|it| it.stats.buffered_bytes() < it.buffered_bytes_max);
        small_blocks.is_some()
    })
}

/// Lends small blocks on this thread, until the connections that count in `stats` hold less than so
/// many bytes.
#[cold]
pub(crate) fn use_small_blocks(stats: &Arc<Stats>, buffered_bytes_max: usize) {
    SMALL_BLOCKS.with_borrow_mut(|small_blocks| {
        if small_blocks.is_none() {
            *small_blocks = Some(SmallBlocks { stats: stats.clone(), buffered_bytes_max });
            BLOCKS.with_borrow_mut(Vec::clear);
        }
    });
}

/// Takes a block back, whatever it was used for; its contents are forgotten.
///
/// Kept only when nobody else still holds a slice of it, it is of a lent block's size, and the pool
/// is not full; otherwise it goes back to the allocator with its last slice.
pub fn put(mut block: BytesMut) {
    block.clear();
    if block.try_reclaim(BLOCK_BYTES) && block.capacity() < 2 * BLOCK_BYTES {
        BLOCKS.with_borrow_mut(|blocks| {
            if blocks.len() < BLOCKS_KEPT_MAX {
                blocks.push(block);
            }
        });
    }
}

/// An empty block of [`SHORT_BLOCK_BYTES`].
#[inline]
pub(crate) fn take_short() -> BytesMut {
    SHORT_BLOCK.take().unwrap_or_else(|| BytesMut::with_capacity(SHORT_BLOCK_BYTES))
}

/// Takes an empty block back that may be such a one.
#[inline]
pub(crate) fn put_short(block: BytesMut) {
    if block.capacity() == SHORT_BLOCK_BYTES {
        SHORT_BLOCK.set(Some(block));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> usize {
        BLOCKS.with_borrow(Vec::len)
    }

    #[test]
    fn a_block_comes_back_whole_once_its_last_slice_is_gone() {
        let mut block = take();
        block.extend_from_slice(b"abc");
        let slice = block.split_to(2).freeze();
        put(block);
        assert_eq!(kept(), 0, "a slice is still out");

        let Ok(block) = slice.try_into_mut() else { panic!("the slice is the only owner now") };
        put(block);
        assert_eq!(kept(), 1);
        assert!(take().capacity() >= BLOCK_BYTES);
    }

    #[test]
    fn the_short_block_is_lent_again_and_a_part_of_one_is_not() {
        let mut block = take_short();
        block.extend_from_slice(b"abc");
        block.clear();
        let at = block.as_ptr();
        put_short(block);
        let mut block = take_short();
        assert_eq!((block.as_ptr(), block.capacity()), (at, SHORT_BLOCK_BYTES));
        block.extend_from_slice(b"abc");
        put_short(block.split_to(2));
        assert_ne!(take_short().as_ptr(), at, "the rest of it is out");
    }

    #[test]
    fn odd_sizes_and_a_surplus_are_not_kept() {
        put(BytesMut::with_capacity(100));
        put(BytesMut::with_capacity(4 * BLOCK_BYTES));
        assert_eq!(kept(), 0);
        let many: Vec<_> = (0..2 * BLOCKS_KEPT_MAX).map(|_| take()).collect();
        many.into_iter().for_each(put);
        assert_eq!(kept(), BLOCKS_KEPT_MAX);
    }
}

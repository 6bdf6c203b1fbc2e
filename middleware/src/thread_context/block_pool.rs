//! The thread's pool of read blocks.
//!
//! A connection takes a 64 KiB block for the moment of reading and puts it back before it parks, so a
//! shard of a hundred thousand idle connections owns a handful of blocks. 64 KiB is measured: 4 KiB
//! costs three times as much a line in a flood, 128 KiB gains nothing.
//!
//! While the connections of a shard buffer much, new blocks are small. Otherwise a thousand peers that
//! send and never read, each stopped as soon as its reply cannot be written, would hold a thousand
//! blocks all the same. Batches are of fewer lines then, for the same reason.

use std::cell::{Cell, RefCell};

use bytes::BytesMut;

use super::BLOCKS;

/// Size of a block.
pub const BLOCK_BYTES: usize = 64 * 1024;

/// Least free space for a read.
pub(crate) const READ_BYTES_MIN: usize = 4 * 1024;

/// Most blocks that a thread keeps; more go back to the allocator.
const BLOCKS_KEPT_MAX: usize = 16;

/// Size of the block for a peer that sends a line at a time. Its batch and the reply are mostly the
/// block itself, which comes back in the same poll: a thread keeps one.
pub(crate) const SHORT_BLOCK_BYTES: usize = 128;

/// Size of a block that is allocated while connections buffer much: a thousand of them are 8 MiB.
pub const SMALL_BLOCK_BYTES: usize = 8 * 1024;

/// Free blocks, and how large a new one is.
pub(crate) struct BlockPool {
    free: RefCell<Vec<BytesMut>>,
    short: Cell<Option<BytesMut>>,
    /// A second short block: a session answers into it what it read into the first.
    spare: Cell<Option<BytesMut>>,
    /// While this returns `true`, new blocks are small.
    small_while: RefCell<Option<(Batches, Condition)>>,
}

/// Whether a condition still holds.
type Condition = Box<dyn Fn() -> bool>;

/// How many lines a batch may have while blocks are small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Batches {
    /// As many as ever: the blocks are small because many connections hold one.
    Whole,
    /// Fewer: replies must be small too, because nothing can be written.
    Small,
}

impl BlockPool {
    pub(super) const fn new() -> Self {
        Self {
            free: RefCell::new(Vec::new()),
            short: Cell::new(None),
            spare: Cell::new(None),
            small_while: RefCell::new(None),
        }
    }

    /// The batches to make of small blocks, while blocks are small.
    fn small(&self) -> Option<Batches> {
        let mut small_while = self.small_while.borrow_mut();
        small_while.take_if(|(_, still)| !still());
        small_while.as_ref().map(|(batches, _)| *batches)
    }

    /// A block when none is free, as always while blocks are small.
    #[cold]
    fn allocate(&self) -> BytesMut {
        let small = self.small();
        BytesMut::with_capacity(if small.is_some() { SMALL_BLOCK_BYTES } else { BLOCK_BYTES })
    }
}

/// Takes an empty block of [`BLOCK_BYTES`], or of [`SMALL_BLOCK_BYTES`] while connections buffer much.
pub fn take() -> BytesMut {
    BLOCKS.with(|pool| {
        let free = pool.free.borrow_mut().pop();
        free.unwrap_or_else(|| pool.allocate())
    })
}

/// Whether this thread makes small batches.
pub(crate) fn uses_small_batches() -> bool {
    BLOCKS.with(|pool| pool.small() == Some(Batches::Small))
}

/// Allocates small blocks on this thread until `condition` returns `false`.
#[cold]
pub(crate) fn use_small_blocks_while(batches: Batches, condition: impl Fn() -> bool + 'static) {
    BLOCKS.with(|pool| {
        let now = pool.small();
        if now.is_none() {
            pool.free.borrow_mut().clear();
        }
        if now != Some(batches) && now != Some(Batches::Small) {
            *pool.small_while.borrow_mut() = Some((batches, Box::new(condition)));
        }
    });
}

/// Puts a block back; its contents are dropped.
///
/// It is kept if no slice of it is held elsewhere, its memory has exactly the size of a block, and the pool
/// is not full; otherwise it goes back to the allocator with its last slice. An output buffer that grew, or
/// the front of a long line's memory, would make later reads larger, and batches of short lines then had
/// more lines than their limit.
pub fn put(mut block: BytesMut) {
    block.clear();
    let is_larger = block.capacity() > BLOCK_BYTES || block.try_reclaim(BLOCK_BYTES + 1);
    if !is_larger && block.try_reclaim(BLOCK_BYTES) {
        BLOCKS.with(|pool| {
            let mut free = pool.free.borrow_mut();
            if free.len() < BLOCKS_KEPT_MAX {
                free.push(block);
            }
        });
    }
}

/// Takes an empty block of [`SHORT_BLOCK_BYTES`].
#[inline]
pub(crate) fn take_short() -> BytesMut {
    BLOCKS
        .with(|pool| pool.short.take())
        .unwrap_or_else(|| BytesMut::with_capacity(SHORT_BLOCK_BYTES))
}

/// Puts an empty block back that may be a short one.
#[inline]
pub(crate) fn put_short(block: BytesMut) {
    if block.capacity() == SHORT_BLOCK_BYTES {
        BLOCKS.with(|pool| pool.short.set(Some(block)));
    }
}

/// Takes an empty block of [`SHORT_BLOCK_BYTES`] beside one that [`take_short`] lent.
pub(crate) fn take_spare() -> BytesMut {
    BLOCKS
        .with(|pool| pool.spare.take())
        .unwrap_or_else(|| BytesMut::with_capacity(SHORT_BLOCK_BYTES))
}

/// Puts a block back that may be a short one, for [`take_spare`]; its contents are dropped.
pub(crate) fn put_spare(mut block: BytesMut) {
    if block.capacity() == SHORT_BLOCK_BYTES {
        block.clear();
        BLOCKS.with(|pool| pool.spare.set(Some(block)));
    }
}

/// A batch of fewer bytes is answered into a short block.
const SHORT_BATCH_BYTES: usize = SHORT_BLOCK_BYTES / 2;

/// Takes an empty buffer for the replies to a batch of `bytes`.
pub(crate) fn take_output(bytes: usize) -> BytesMut {
    if bytes <= SHORT_BATCH_BYTES { take_spare() } else { take() }
}

/// Puts back what [`take_output`] gave, or the memory of a batch that was answered; its contents are dropped.
pub(crate) fn put_output(block: BytesMut) {
    if block.capacity() == SHORT_BLOCK_BYTES { put_spare(block) } else { put(block) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> usize {
        BLOCKS.with(|pool| pool.free.borrow().len())
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
        assert_eq!(take().capacity(), BLOCK_BYTES);
    }

    /// An output buffer had grown to 83,440 bytes and was kept. A flood read into it was cut at the limit of
    /// lines, at 2.3 times the cost, for as long as the process ran. The front of a long line looked like a
    /// block and kept all its memory.
    #[test]
    fn what_is_larger_than_a_block_is_not_kept_nor_is_a_part_of_it() {
        put(BytesMut::with_capacity(83_440));
        let mut long = BytesMut::with_capacity(8 * BLOCK_BYTES);
        long.extend_from_slice(&[b'x'; 100]);
        let front = long.split_to(50);
        drop(long);
        put(front);
        assert_eq!(kept(), 0);
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

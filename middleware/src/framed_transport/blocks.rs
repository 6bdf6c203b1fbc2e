//! When blocks go back to the pool.

use bytes::BytesMut;

use super::{FramedTransport, flags::Flag};
use crate::thread_context::block_pool;

/// A rest up to this size moves to memory of its own size when the connection parks; a larger one keeps
/// its block, which is then at most four times its size.
pub(super) const COPY_BYTES_MAX: usize = block_pool::BLOCK_BYTES / 4;

/// A read up to this size is copied by the codec, which leaves the block whole.
pub(super) const COPIED_BYTES_MAX: usize = crate::batch::SMALL_BYTES;

/// The size of a block, as the transport stores it.
pub(super) const POOL_BLOCK: u32 = block_pool::BLOCK_BYTES as u32;

impl<Io, Codec> FramedTransport<Io, Codec> {
    /// Puts the read block back and moves its rest to memory of its own size, unless that is more than
    /// `bytes_max`.
    #[inline]
    pub(super) fn return_read_block(&mut self, bytes_max: usize) {
        if self.flags.has(Flag::Pooled) && self.read.len() <= bytes_max {
            let rest =
                if self.read.is_empty() { BytesMut::new() } else { BytesMut::from(&self.read[..]) };
            block_pool::put(std::mem::replace(&mut self.read, rest));
            self.flags.set(Flag::Pooled, false);
        }
    }

    /// Whether `read` is larger than a block, because a long item needed it.
    #[inline]
    pub(super) fn has_outgrown_a_block(&self) -> bool {
        self.read.capacity() > block_pool::BLOCK_BYTES
    }

    /// Moves what follows a long item into a block, so that the memory of the item is free when the item is,
    /// and not when the next one is complete. A read having brought it, that is less than a block.
    #[cold]
    pub(super) fn leave_memory_of_long_item(&mut self) {
        let rest = std::mem::take(&mut self.read);
        self.flags.set(Flag::Pooled, !rest.is_empty());
        if !rest.is_empty() {
            self.read = block_pool::take();
            self.read.extend_from_slice(&rest);
        }
    }

    /// Puts the write block back, like [`return_read_block`](Self::return_read_block).
    #[inline]
    pub(super) fn return_write_block(&mut self) {
        if self.write.capacity() > 0 {
            self.return_used_write_block();
        }
    }

    /// A rest is moved at most twice for each halving.
    fn return_used_write_block(&mut self) {
        if self.write.is_empty() {
            let used = std::mem::take(&mut self.write);
            // A smaller one is a batch with memory of its own.
            if used.capacity() > COPIED_BYTES_MAX {
                block_pool::put(used);
            } else {
                block_pool::put_short(used);
            }
            self.write_block_bytes = POOL_BLOCK;
        } else if self.write.len() <= self.write_block_bytes as usize / 4 {
            let rest = BytesMut::from(&self.write[..]);
            self.write_block_bytes = rest.len() as u32;
            block_pool::put(std::mem::replace(&mut self.write, rest));
        }
    }
}

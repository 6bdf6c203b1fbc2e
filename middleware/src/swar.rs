//! The first 16 bytes of a slice as one number: SIMD within a register.
//!
//! For short lines, verbs and replies: a search or copy of a length that is unknown at compile time is a function
//! call, which costs more than its work on a few bytes.

/// Bytes that a number holds.
pub(crate) const BYTES: usize = 16;

/// Bytes of its first half, which is all that many lines and most verbs have.
pub(crate) const HALF_BYTES: usize = BYTES / 2;

/// 1 in each byte.
const EACH: u64 = u64::MAX / 255;

/// The highest bit of each byte.
const HIGH: u64 = EACH * 0x80;

/// The first 16 bytes, the first one lowest, and zeros behind shorter slices. By loads that overlap.
#[inline]
pub(crate) fn load(bytes: &[u8]) -> u128 {
    if let Some(all) = bytes.first_chunk() {
        u128::from_le_bytes(*all)
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
        u128::from(first) | u128::from(last) << (8 * (bytes.len() - HALF_BYTES))
    } else {
        load_half(bytes).into()
    }
}

/// The first 8 bytes, as [`load`] has them.
#[inline]
pub(crate) fn load_half(bytes: &[u8]) -> u64 {
    if let Some(all) = bytes.first_chunk() {
        u64::from_le_bytes(*all)
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        u64::from(first) | u64::from(last) << (8 * (bytes.len() - 4))
    } else {
        bytes.iter().rev().fold(0, |bytes, &byte| bytes << 8 | u64::from(byte))
    }
}

/// Sets bit 5 of each byte that is `A` to `Z`.
#[inline]
pub(crate) const fn to_ascii_lowercase(bytes: u64) -> u64 {
    let low = bytes & !HIGH;
    let from_a = low + EACH * (0x80 - b'A' as u64);
    let above_z = low + EACH * (0x7f - b'Z' as u64);
    let upper = from_a & !above_z & !bytes & HIGH;
    bytes | (upper >> 2)
}

/// The position of the first byte below `limit`, which is at most 0x80. Costs half where it is in the first half.
#[inline]
pub(crate) const fn position_below(bytes: u128, limit: u8) -> Option<usize> {
    let first = below(bytes as u64, limit);
    if first != 0 {
        return Some(first_byte(first));
    }
    let second = below((bytes >> 64) as u64, limit);
    if second != 0 { Some(HALF_BYTES + first_byte(second)) } else { None }
}

/// The position of the first byte that is `byte`. Zeros behind a shorter slice count as bytes.
#[inline]
pub(crate) const fn position(bytes: u128, byte: u8) -> Option<usize> {
    position_below(bytes ^ (u128::MAX / 255 * byte as u128), 1)
}

/// The highest bits of the bytes below `limit`; behind the first of them others may be set, too.
#[inline]
const fn below(bytes: u64, limit: u8) -> u64 {
    // A byte borrows from the one above it only if it is below the limit, so the lowest bit is right.
    bytes.wrapping_sub(EACH * limit as u64) & !bytes & HIGH
}

/// The byte in which the lowest bit is set.
#[inline]
const fn first_byte(bits: u64) -> usize {
    bits.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_holds_the_first_sixteen_bytes_of_any_length() {
        let bytes: Vec<u8> = (1..=20).map(|n| n * 11).collect();
        for len in 0..=bytes.len() {
            let mut first = [0; BYTES];
            let end = len.min(BYTES);
            first[..end].copy_from_slice(&bytes[..end]);
            let all = u128::from_le_bytes(first);
            assert_eq!(load(&bytes[..len]), all, "{len} bytes");
            assert_eq!(load_half(&bytes[..len]), all as u64, "{len} bytes");
        }
    }

    #[test]
    fn lower_case_is_that_of_ascii_for_every_byte() {
        for byte in 0..=u8::MAX {
            let lower = u64::from(byte.to_ascii_lowercase());
            assert_eq!(to_ascii_lowercase(byte.into()), lower);
            assert_eq!(to_ascii_lowercase(EACH * u64::from(byte)), EACH * lower);
        }
    }

    proptest! {
        #[test]
        fn a_search_finds_what_a_loop_finds(bytes: [u8; BYTES], byte: u8, limit in 0..=0x80_u8) {
            let number = load(&bytes);
            let found = bytes.iter().position(|&other| other == byte);
            prop_assert_eq!(position(number, byte), found);
            let found = bytes.iter().position(|&other| other < limit);
            prop_assert_eq!(position_below(number, limit), found);
        }
    }
}

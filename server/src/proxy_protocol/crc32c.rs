//! CRC-32C (Castagnoli), a byte at a time: headers have a few hundred bytes.

use std::ops::Range;

/// The polynomial, its lowest bit first.
const POLYNOMIAL: u32 = 0x82f6_3b78;

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < table.len() {
        let (mut value, mut bit) = (at as u32, 0);
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ POLYNOMIAL } else { value >> 1 };
            bit += 1;
        }
        table[at] = value;
        at += 1;
    }
    table
}

/// The checksum of `bytes` with those at `zeroed` taken as zero.
pub(super) fn crc32c(bytes: &[u8], zeroed: Range<usize>) -> u32 {
    let sum = bytes.iter().enumerate().fold(u32::MAX, |sum, (at, byte)| {
        let byte = if zeroed.contains(&at) { 0 } else { *byte };
        TABLE[usize::from(sum as u8 ^ byte)] ^ (sum >> 8)
    });
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_catalogue_is_computed() {
        assert_eq!(crc32c(b"123456789", 0..0), 0xe306_9283);
        assert_eq!(crc32c(b"1234x6789", 4..5), crc32c(b"1234\x006789", 0..0));
    }
}

//! Recognises a peer that speaks TLS by its first bytes.

/// Bytes that are looked at: the header of a record, that of a handshake message, and its version.
const BYTES: usize = 11;

/// What the beginning of a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    /// A ClientHello, with which every TLS connection begins.
    ClientHello,
    /// Too few bytes to tell, all of which a ClientHello may begin with.
    Undecided,
    /// Anything else.
    Other,
}

/// Tells what a connection is that begins with `bytes`.
///
/// All that RFC 8446 fixes in the first eleven bytes is checked (section 5.1 of records, section 4.1.2 of the
/// message), so nothing that is meant as a line is taken for TLS.
pub(super) fn beginning(bytes: &[u8]) -> Beginning {
    let fits = |at: usize, byte: u8| match at {
        // A handshake, in a record of a version between SSL 3.0 and TLS 1.3.
        0 => byte == 0x16,
        1 | 9 => byte == 0x03,
        2 | 10 => byte <= 0x04,
        // A record has at most 16 KiB.
        3 => byte <= 0x40,
        // The message is a ClientHello of less than 64 KiB.
        5 => byte == 0x01,
        6 => byte == 0x00,
        _ => true,
    };
    let seen = &bytes[..bytes.len().min(BYTES)];
    match seen.iter().enumerate().all(|(at, byte)| fits(at, *byte)) {
        true if seen.len() == BYTES => Beginning::ClientHello,
        true => Beginning::Undecided,
        false => Beginning::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of what OpenSSL 3 sends.
    const HELLO: [u8; 12] = [22, 3, 1, 1, 0x3a, 1, 0, 1, 0x36, 3, 3, 0x99];

    #[test]
    fn a_client_hello_is_recognised_from_its_eleventh_byte_on() {
        for length in 0..HELLO.len() {
            let expected =
                if length < BYTES { Beginning::Undecided } else { Beginning::ClientHello };
            assert_eq!(beginning(&HELLO[..length]), expected, "{length} bytes");
        }
    }

    #[test]
    fn any_byte_that_tls_fixes_decides() {
        for at in [0, 1, 2, 3, 5, 6, 9, 10] {
            let mut other = HELLO;
            other[at] = b'z';
            assert_eq!(beginning(&other), Beginning::Other, "byte {at}");
        }
    }
}

//! A message of a fan-out: its run, publisher and number, when it was due and sent, and a pattern that
//! fills it up. All messages of a run have one length.
//!
//! ```text
//! #tl 0123abcd 0001 000000002a 00000004a817c800 00000004a817d000 : abcdefgh… ;   (without the spaces)
//!     run      pub. number     due              sent               pattern
//! ```

/// What each message begins with.
pub(super) const MARK: &[u8] = b"#tl";
const HEADER: usize = MARK.len() + 8 + 4 + 10 + 16 + 16 + 1;
/// The least length: the header and the end.
pub(crate) const MESSAGE_BYTES_MIN: usize = HEADER + 1;

/// The format of a run's messages.
#[derive(Debug)]
pub(crate) struct Format {
    run: u32,
    publishers: u32,
    /// The bytes behind the header.
    rest: Vec<u8>,
}

/// What a message says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) publisher: u32,
    /// From 0 for each publisher.
    pub(crate) number: u64,
    /// When it was due, and when it was sent, on the host's monotonic clock.
    pub(crate) due: u64,
    pub(crate) sent: u64,
}

/// Why bytes are not a message of this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// They are whole, but of another run or of no publisher of it.
    Foreign,
    /// They are cut, or not what was sent.
    Corrupted,
}

impl Format {
    pub(crate) fn new(run: u32, publishers: u32, bytes: u32) -> Self {
        let fill = (bytes as usize).saturating_sub(MESSAGE_BYTES_MIN);
        let mut rest: Vec<u8> = (0..fill).map(|at| b'a' + (at % 26) as u8).collect();
        rest.push(b';');
        Self { run, publishers, rest }
    }

    /// The length of every message.
    pub(crate) fn bytes(&self) -> usize {
        HEADER + self.rest.len()
    }

    /// Appends a message.
    pub(crate) fn encode(&self, stamp: Stamp, out: &mut Vec<u8>) {
        out.extend_from_slice(MARK);
        put(self.run.into(), 8, out);
        put(stamp.publisher.into(), 4, out);
        put(stamp.number, 10, out);
        put(stamp.due, 16, out);
        put(stamp.sent, 16, out);
        out.push(b':');
        out.extend_from_slice(&self.rest);
    }

    /// Reads the message that `bytes` begin with.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<Stamp, Wrong> {
        if !bytes.starts_with(MARK) {
            return Err(Wrong::Foreign);
        }
        let fields = bytes.get(MARK.len()..HEADER).ok_or(Wrong::Corrupted)?;
        let field = |from: usize, digits: usize| get(&fields[from..from + digits]);
        let (run, publisher) = (field(0, 8)?, field(8, 4)?);
        if run != u64::from(self.run) || publisher >= u64::from(self.publishers) {
            return Err(Wrong::Foreign);
        }
        let stamp = Stamp {
            publisher: publisher as u32,
            number: field(12, 10)?,
            due: field(22, 16)?,
            sent: field(38, 16)?,
        };
        if fields[54] != b':' || !bytes[HEADER..].starts_with(&self.rest) {
            return Err(Wrong::Corrupted);
        }
        Ok(stamp)
    }
}

fn put(value: u64, digits: u32, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for digit in (0..digits).rev() {
        out.push(HEX[(value >> (4 * digit)) as usize & 15]);
    }
}

fn get(digits: &[u8]) -> Result<u64, Wrong> {
    let (mut value, mut valid) = (0, true);
    for byte in digits {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => {
                valid = false;
                0
            }
        };
        value = value << 4 | u64::from(digit);
    }
    if valid { Ok(value) } else { Err(Wrong::Corrupted) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp =
        Stamp { publisher: 2, number: 0x12_3456_789a, due: u64::MAX - 1, sent: u64::MAX };

    #[test]
    fn a_message_of_any_length_says_what_it_was_made_of() {
        for bytes in [MESSAGE_BYTES_MIN as u32, 100, 65_536] {
            let format = Format::new(7, 3, bytes);
            let mut message = Vec::new();
            format.encode(STAMP, &mut message);
            assert_eq!(message.len(), bytes as usize);
            assert_eq!(format.bytes(), message.len());
            assert_eq!(format.decode(&message), Ok(STAMP));
        }
    }

    #[test]
    fn no_changed_or_cut_message_is_taken_for_another() {
        let format = Format::new(7, 3, 90);
        let mut message = Vec::new();
        format.encode(STAMP, &mut message);
        for at in 0..message.len() {
            assert!(format.decode(&message[..at]).is_err(), "cut at {at}");
            let mut changed = message.clone();
            changed[at] ^= 0x80;
            assert!(format.decode(&changed).is_err(), "changed at {at}");
        }
        assert_eq!(Format::new(8, 3, 90).decode(&message), Err(Wrong::Foreign));
        assert_eq!(Format::new(7, 2, 90).decode(&message), Err(Wrong::Foreign));
        assert_eq!(Format::new(7, 3, 91).decode(&message), Err(Wrong::Corrupted));
    }
}

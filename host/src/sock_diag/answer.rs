//! The messages of an answer.

/// Size of `struct nlmsghdr`.
pub(super) const HEADER_BYTES: usize = 16;
pub(super) const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_DONE: u16 = 3;
const NLMSG_ERROR: u16 = 2;
/// In the flags: the table changed while the kernel walked it.
const NLM_F_DUMP_INTR: u16 = 0x10;

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// `struct inet_diag_msg` and the attributes behind it.
    Socket(&'a [u8]),
    /// Nothing more follows.
    End {
        /// The kernel gave all that was asked for.
        whole: bool,
    },
}

/// The messages in one block of an answer.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    rest: &'a [u8],
}

impl<'a> Answer<'a> {
    pub(super) const fn new(block: &'a [u8]) -> Self {
        Self { rest: block }
    }
}

impl<'a> Iterator for Answer<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        loop {
            let rest = self.rest;
            let length = u32_at(rest, 0)? as usize;
            let (kind, flags) = (u16_at(rest, 4)?, u16_at(rest, 6)?);
            let message = &rest[..length.clamp(HEADER_BYTES.min(rest.len()), rest.len())];
            // Messages are aligned to four bytes. One of no length would be read for ever.
            let step = message.len().next_multiple_of(4).max(HEADER_BYTES);
            self.rest = rest.get(step..).unwrap_or(&[]);
            match kind {
                SOCK_DIAG_BY_FAMILY => return message.get(HEADER_BYTES..).map(Message::Socket),
                NLMSG_DONE => return Some(Message::End { whole: flags & NLM_F_DUMP_INTR == 0 }),
                // Among them: there is no such connection.
                NLMSG_ERROR => return Some(Message::End { whole: false }),
                _ => {}
            }
        }
    }
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sock_diag::TcpSocket;

    #[test]
    fn a_malformed_answer_ends_and_does_not_panic() {
        for length in [0_u32, 1, 15, 16, 17, 40, 88, 100, u32::MAX] {
            for kind in [SOCK_DIAG_BY_FAMILY, u16::MAX] {
                let mut block = [0xFF; 120];
                block[..4].copy_from_slice(&length.to_ne_bytes());
                block[4..6].copy_from_slice(&kind.to_ne_bytes());
                for cut in 0..block.len() {
                    for message in Answer::new(&block[..cut]) {
                        if let Message::Socket(socket) = message {
                            let _ = TcpSocket::parse(socket);
                        }
                    }
                }
            }
        }
    }
}

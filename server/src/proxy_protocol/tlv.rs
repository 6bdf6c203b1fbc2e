//! The facts behind the addresses of version 2: a type, a length and a value each.

use super::{Proxied, ProxiedTls, ProxyError, crc32c::crc32c};

const AUTHORITY: u8 = 0x02;
const CRC32C: u8 = 0x03;
const UNIQUE_ID: u8 = 0x05;
const SSL: u8 = 0x20;
const SSL_VERSION: u8 = 0x21;
const SSL_COMMON_NAME: u8 = 0x22;
const SSL_CIPHER: u8 = 0x23;

const UNIQUE_ID_BYTES_MAX: usize = 128;
/// The longest host name.
const AUTHORITY_BYTES_MAX: usize = 255;

/// Bits of the client field of [`SSL`].
const CLIENT_SSL: u8 = 0x01;
const CLIENT_CERTIFICATE: u8 = 0x02 | 0x04;

/// Reads `facts`, which are the end of `header`.
pub(super) fn read(header: &[u8], facts: &[u8], proxied: &mut Proxied) -> Result<(), ProxyError> {
    let mut rest = facts;
    while let Some(Fact { kind, value, next }) = split(rest)? {
        let malformed = ProxyError::MalformedTlv(kind);
        match kind {
            CRC32C => {
                let said = <[u8; 4]>::try_from(value).map_err(|_other_length| malformed)?;
                let at = header.len() - next.len() - said.len();
                if crc32c(header, at..at + said.len()) != u32::from_be_bytes(said) {
                    return Err(ProxyError::WrongChecksum);
                }
            }
            UNIQUE_ID if value.len() > UNIQUE_ID_BYTES_MAX => return Err(malformed),
            UNIQUE_ID => proxied.unique_id = Some(value.into()),
            AUTHORITY if value.len() > AUTHORITY_BYTES_MAX => return Err(malformed),
            AUTHORITY => proxied.authority = Some(text(value).ok_or(malformed)?),
            SSL => proxied.tls = tls(value)?,
            // Others say nothing that is used here, or are to be ignored.
            _ => {}
        }
        rest = next;
    }
    Ok(())
}

/// One fact, and what follows it.
struct Fact<'a> {
    kind: u8,
    value: &'a [u8],
    next: &'a [u8],
}

/// Splits the first fact off.
fn split(facts: &[u8]) -> Result<Option<Fact<'_>>, ProxyError> {
    let Some((&kind, rest)) = facts.split_first() else { return Ok(None) };
    let fact = rest
        .split_first_chunk()
        .and_then(|(length, rest)| rest.split_at_checked(usize::from(u16::from_be_bytes(*length))));
    let (value, next) = fact.ok_or(ProxyError::MalformedTlv(kind))?;
    Ok(Some(Fact { kind, value, next }))
}

fn tls(value: &[u8]) -> Result<Option<ProxiedTls>, ProxyError> {
    let malformed = ProxyError::MalformedTlv(SSL);
    let (&client, rest) = value.split_first().ok_or(malformed)?;
    let (verify, mut rest) = rest.split_first_chunk::<4>().ok_or(malformed)?;
    let mut tls = ProxiedTls {
        verified: client & CLIENT_CERTIFICATE != 0 && *verify == [0; 4],
        ..ProxiedTls::default()
    };
    while let Some(Fact { kind, value, next }) = split(rest)? {
        let field = match kind {
            SSL_VERSION => &mut tls.version,
            SSL_COMMON_NAME => &mut tls.common_name,
            SSL_CIPHER => &mut tls.cipher,
            _ => {
                rest = next;
                continue;
            }
        };
        *field = Some(text(value).ok_or(ProxyError::MalformedTlv(kind))?);
        rest = next;
    }
    Ok((client & CLIENT_SSL != 0).then_some(tls))
}

/// Text that can be logged: UTF-8 without control characters.
fn text(value: &[u8]) -> Option<Box<str>> {
    let text = std::str::from_utf8(value).ok()?;
    (!text.contains(char::is_control)).then(|| text.into())
}

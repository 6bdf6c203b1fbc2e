//! The stack of a connection over a stream that is no socket.

use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tower::Service;
use towline_config::Framing;
use towline_middleware::{
    BatchCodec, BoxError, Utf8LinesCodec,
    protocol::{BytesMut, FrameLimits, Lf, Notice, Protocol},
    stats::CloseReason,
};

use crate::stack::{Responder, StackParts, connection_stack};

/// A byte stream of any type.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for T {}

/// Ends when the connection does, with why, or with the error of its service.
pub(crate) type Ended = Pin<Box<dyn Future<Output = Result<CloseReason, BoxError>> + Send>>;

/// Serves a stream with a line stack of type `S`.
pub(crate) type ServeStream<S> = fn(&StackParts, Framing, Box<dyn ByteStream>, S) -> Ended;

/// Serves lines, with the codec that `framing` names.
pub(super) fn stream_of_lines<S: Responder<Lf>>(
    parts: &StackParts,
    framing: Framing,
    stream: Box<dyn ByteStream>,
    responder: S,
) -> Ended {
    match framing {
        Framing::Lines => {
            Box::pin(connection_stack(parts, Utf8LinesCodec::shared, responder, None).call(stream))
        }
        _ => serve_stream(parts, framing, stream, responder),
    }
}

/// Serves batches of any protocol, for which there is one framing.
pub(super) fn serve_stream<S: Responder<P>, P: Protocol>(
    parts: &StackParts,
    _: Framing,
    stream: Box<dyn ByteStream>,
    responder: S,
) -> Ended {
    Box::pin(connection_stack(parts, BatchCodec::<P>::shared, responder, None).call(stream))
}

/// What ends the lines that the server says in `P`; empty for a protocol that is not one of lines.
pub(super) fn end_of_line<P: Protocol>() -> &'static [u8] {
    let notices = [
        Notice::Timeout,
        Notice::TooLong { limit_bytes: 1 },
        Notice::Malformed(""),
        Notice::Ping,
        Notice::Refused(""),
    ];
    for notice in notices {
        let mut said = BytesMut::new();
        P::notice(&notice, &mut said);
        for end in [&b"\r\n"[..], b"\n"] {
            if said.ends_with(end) {
                return end;
            }
        }
    }
    // A protocol that says nothing by itself: what makes one byte a frame.
    let is_frame = |bytes: &[u8]| {
        P::delimit(bytes, &FrameLimits::new(64)).is_ok_and(|found| found.whole == bytes.len())
    };
    [(&b"x\n"[..], &b"\n"[..]), (b"x\r\n", b"\r\n")]
        .into_iter()
        .find(|(line, _)| is_frame(line) && !is_frame(b"x"))
        .map_or(b"", |(_, end)| end)
}

#[cfg(test)]
mod tests {
    use towline_middleware::protocol::{AnyEol, CrLf, Length, Lf, Raw, Resp};

    use super::end_of_line;

    #[test]
    fn each_protocol_of_lines_has_its_end_and_the_others_have_none() {
        assert_eq!(end_of_line::<Lf>(), b"\n");
        for end in [end_of_line::<CrLf>(), end_of_line::<AnyEol>(), end_of_line::<Resp>()] {
            assert_eq!(end, b"\r\n");
        }
        for end in [end_of_line::<Raw>(), end_of_line::<Length<1>>(), end_of_line::<Length<4>>()] {
            assert_eq!(end, b"");
        }
    }
}

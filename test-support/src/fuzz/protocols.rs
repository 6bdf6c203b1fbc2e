use towline_middleware::{
    protocol::{AnyEol, BigEndian, CrLf, Head, Length, Lf, LineWithBody, LittleEndian, Resp},
    test::laws,
};

/// A head of [`LineWithBody`]: `put BYTES` announces a body.
#[derive(Debug)]
pub enum Store {}

impl Head for Store {
    fn body_bytes(line: &[u8]) -> Result<Option<usize>, &'static str> {
        let Some(digits) = line.strip_prefix(b"put ") else { return Ok(None) };
        let bytes = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        bytes.map(Some).ok_or("expected a length")
    }
}

/// Longest input; the laws are checked with each cut of it.
const INPUT_BYTES_MAX: usize = 512;

/// The laws hold for each protocol but [`Raw`](towline_middleware::protocol::Raw), whose frames are the reads. The
/// first byte chooses the protocol, the rest is its input.
pub fn protocols(data: &[u8]) {
    let [protocol, input @ ..] = data else { return };
    let input = [&input[..input.len().min(INPUT_BYTES_MAX)]];
    match protocol % 10 {
        0 => laws::<Lf>(input),
        1 => laws::<AnyEol>(input),
        2 => laws::<CrLf>(input),
        3 => laws::<LineWithBody<Store>>(input),
        4 => laws::<Resp>(input),
        5 => laws::<Length<1>>(input),
        6 => laws::<Length<2, LittleEndian>>(input),
        7 => laws::<Length<3, BigEndian>>(input),
        8 => laws::<Length<4>>(input),
        _ => laws::<Length<8>>(input),
    }
}

//! Any bytes as what a peer sends on a connection, in pieces of any length.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use futures_util::FutureExt;
use tokio::io::{AsyncRead, ReadBuf};

use super::frame::{Decoded, Frame, FrameReader, HEADER_LEN, Next, ReadError, decode, header, repair};
use crate::fuzz::Input;

/// The longest body.
const LIMIT: u32 = 1 << 20;
/// The longest that is read without being asked for.
const UNASKED: u32 = 1 << 10;

const REPAIR: u8 = 0;
const WAITS: u8 = 1;

/// An input says how the bytes come: the length of each piece, over and over, and whether the reader is given up and asked
/// again between them. The same frames come out, and the same end, as where all bytes come at once.
pub(crate) fn frames(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let flags = input.flags();
    let pieces = input.part();
    let mut bytes = input.rest().to_vec();
    if flags.has(REPAIR) {
        let mut at = 0;
        while let Some(length) = bytes.get_mut(at..).and_then(repair) {
            at += length;
        }
    }
    let (expected, end) = at_once(&bytes);
    let stream = Pieces {
        bytes: &bytes,
        lengths: pieces.iter().cycle(),
        waits: flags.has(WAITS),
        waited: false,
    };
    let mut reader = FrameReader::new(stream, LIMIT).asking_from(UNASKED);
    let mut read = Vec::new();
    let came_to = loop {
        // A future that is dropped where it waits loses nothing.
        match reader.next_or_long().now_or_never() {
            None => {}
            // A frame that is kept keeps the buffer that it came in.
            Some(Ok(Next::Frame(frame))) => read.extend(encoded(&frame)),
            Some(Ok(Next::Long(length))) => {
                assert!((UNASKED + 1..=LIMIT).contains(&length), "{length} were asked for");
                reader.grant();
            }
            Some(Ok(Next::End)) => break End::Between,
            Some(Err(ReadError::Cut)) => break End::Inside,
            Some(Err(ReadError::Frame(_))) => break End::NoFrame,
            Some(Err(error)) => unreachable!("{error}"),
        }
        assert!(reader.received() <= bytes.len() as u64);
    };
    assert_eq!((read, came_to), (expected, end));
}

/// How a connection ended.
#[derive(Debug, PartialEq)]
enum End {
    Between,
    Inside,
    NoFrame,
}

/// The frames that are in the bytes, as they would be written again.
fn at_once(bytes: &[u8]) -> (Vec<u8>, End) {
    let mut buffer = BytesMut::from(bytes);
    let mut frames = Vec::new();
    let end = loop {
        match decode(&mut buffer, LIMIT) {
            Ok(Decoded::Frame(frame)) => frames.push(frame),
            Ok(_) if buffer.is_empty() => break End::Between,
            Ok(_) => break End::Inside,
            Err(_) => break End::NoFrame,
        }
    };
    let written: Vec<u8> = frames.iter().flat_map(encoded).collect();
    assert_eq!(bytes.get(..written.len()), Some(&written[..]));
    assert_eq!(bytes.len() - written.len(), buffer.len());
    (written, end)
}

fn encoded(frame: &Frame) -> Vec<u8> {
    let header: [u8; HEADER_LEN] = header(frame.kind, frame.id, &frame.body);
    [&header[..], &frame.body].concat()
}

/// Bytes that come in pieces.
struct Pieces<'a, L> {
    bytes: &'a [u8],
    lengths: L,
    /// Nothing is there between two pieces, for once.
    waits: bool,
    waited: bool,
}

impl<'a, L: Iterator<Item = &'a u8> + Unpin> AsyncRead for Pieces<'a, L> {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.waited = this.waits && !this.waited;
        if this.waited {
            return Poll::Pending;
        }
        let length = this
            .lengths
            .next()
            .map_or(usize::MAX, |length| usize::from(*length) + 1);
        let length = length.min(this.bytes.len()).min(buffer.remaining());
        let (piece, rest) = this.bytes.split_at(length);
        buffer.put_slice(piece);
        this.bytes = rest;
        Poll::Ready(Ok(()))
    }
}

/// Frames of every kind, whole, in pieces, cut, too long.
#[cfg(test)]
pub(crate) fn examples() -> Vec<crate::fuzz::Example> {
    use super::frame::Kind::{Error, Goodbye, Ping, Pong, Request, Response};
    use crate::fuzz::put_part;

    let frame = |kind, id, body: &[u8]| {
        let header: [u8; HEADER_LEN] = header(kind, id, body);
        [&header[..], body].concat()
    };
    let every: Vec<u8> = [Request, Response, Error, Ping, Pong, Goodbye]
        .into_iter()
        .zip(1..)
        .flat_map(|(kind, id)| frame(kind, id, &b"body"[..4 - id as usize % 4]))
        .collect();
    let long = frame(Request, 7, &[b'x'; 1500]);
    let mut too_long = frame(Request, 8, b"");
    too_long[4..8].copy_from_slice(&(LIMIT + 1).to_be_bytes());
    let input = |flags: u8, pieces: &[u8], bytes: &[u8]| {
        let mut input = vec![flags];
        put_part(&mut input, pieces);
        input.extend_from_slice(bytes);
        input
    };
    vec![
        ("nothing", vec![]),
        ("every-kind", input(0, &[], &every)),
        ("every-kind-in-pieces", input(1 << WAITS, &[0, 4, 19, 30], &every)),
        ("every-kind-repaired", input(1 << REPAIR, &[6], &every)),
        ("long", input(1 << REPAIR, &[255], &long)),
        ("too-long", input(1 << REPAIR, &[], &too_long)),
        ("cut", input(0, &[9], &every[..every.len() - 1])),
    ]
}

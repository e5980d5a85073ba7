//! Fuzz target: any bytes as the data that a peer sends on a connection, in pieces of any length.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use futures_util::FutureExt;
use tokio::io::{AsyncRead, ReadBuf};

use super::frame::{Decoded, Frame, FrameReadError, FrameReader, NextFrame, decode, plain_frame, repair};
use super::frame_check::FrameCheck;
use crate::fuzz::Input;

/// The longest body, in bytes.
const MAX_BODY: u32 = 1 << 20;
/// The longest body that is read without a grant, in bytes.
const MAX_UNGRANTED_BODY: u32 = 1 << 10;

/// Flag: the checksums of the frames are corrected first.
const REPAIR_CHECKSUMS: u8 = 0;
/// Flag: the stream is pending once between two pieces.
const PENDING_BETWEEN_PIECES: u8 = 1;

/// An input says how the bytes arrive: the lengths of the pieces, repeated, and whether the reader is dropped and called
/// again between them. The frames and the end must be the same as when all bytes arrive at once.
pub(crate) fn frames(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let flags = input.flags();
    let pieces = input.part();
    let mut bytes = input.rest().to_vec();
    if flags.has(REPAIR_CHECKSUMS) {
        let mut at = 0;
        while let Some(length) = bytes.get_mut(at..).and_then(repair) {
            at += length;
        }
    }
    let (expected, end) = decode_at_once(&bytes);
    let stream = Pieces {
        bytes: &bytes,
        lengths: pieces.iter().cycle(),
        waits: flags.has(PENDING_BETWEEN_PIECES),
        waited: false,
    };
    let mut reader =
        FrameReader::new(stream, FrameCheck::Checksum, MAX_BODY).with_ungranted_limit(MAX_UNGRANTED_BODY);
    let mut read = Vec::new();
    let end_reached = loop {
        // A future that is dropped while it waits must lose nothing.
        match reader.next_or_needs_grant().now_or_never() {
            None => {}
            // A frame that is kept keeps its read buffer alive.
            Some(Ok(NextFrame::Frame(frame))) => read.extend(encoded(&frame)),
            Some(Ok(NextFrame::NeedsGrant(length))) => {
                assert!(
                    (MAX_UNGRANTED_BODY + 1..=MAX_BODY).contains(&length),
                    "a grant for {length} bytes"
                );
                reader.grant();
            }
            Some(Ok(NextFrame::End)) => break StreamEnd::Between,
            Some(Err(FrameReadError::Cut)) => break StreamEnd::Inside,
            Some(Err(FrameReadError::Frame(_))) => break StreamEnd::NoFrame,
            Some(Err(error)) => unreachable!("{error}"),
        }
        assert!(reader.received() <= bytes.len() as u64);
    };
    assert_eq!((read, end_reached), (expected, end));
}

/// How a connection ended.
#[derive(Debug, PartialEq)]
enum StreamEnd {
    Between,
    Inside,
    NoFrame,
}

/// The frames in the bytes, encoded again.
fn decode_at_once(bytes: &[u8]) -> (Vec<u8>, StreamEnd) {
    let mut buffer = BytesMut::from(bytes);
    let mut frames = Vec::new();
    let end = loop {
        match decode(&mut buffer, MAX_BODY, &mut FrameCheck::Checksum) {
            Ok(Decoded::Frame(frame)) => frames.push(frame),
            Ok(_) if buffer.is_empty() => break StreamEnd::Between,
            Ok(_) => break StreamEnd::Inside,
            Err(_) => break StreamEnd::NoFrame,
        }
    };
    let written: Vec<u8> = frames.iter().flat_map(encoded).collect();
    assert_eq!(bytes.get(..written.len()), Some(&written[..]));
    assert_eq!(bytes.len() - written.len(), buffer.len());
    (written, end)
}

fn encoded(frame: &Frame) -> Vec<u8> {
    plain_frame(frame.kind, frame.id, &frame.body)
}

/// A stream that delivers bytes in pieces.
struct Pieces<'a, L> {
    bytes: &'a [u8],
    lengths: L,
    /// The stream is pending once between two pieces.
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

/// Seed inputs: frames of every kind, whole, in pieces, cut, too long.
#[cfg(test)]
pub(crate) fn examples() -> Vec<crate::fuzz::Example> {
    use super::frame::FrameKind::{Error, Goodbye, Ping, Pong, Request, Response};
    use crate::fuzz::put_part;

    let frame = plain_frame;
    let every: Vec<u8> = [Request, Response, Error, Ping, Pong, Goodbye]
        .into_iter()
        .zip(1..)
        .flat_map(|(kind, id)| frame(kind, id, &b"body"[..4 - id as usize % 4]))
        .collect();
    let long = frame(Request, 7, &[b'x'; 1500]);
    let mut too_long = frame(Request, 8, b"");
    too_long[4..8].copy_from_slice(&(MAX_BODY + 1).to_be_bytes());
    let input = |flags: u8, pieces: &[u8], bytes: &[u8]| {
        let mut input = vec![flags];
        put_part(&mut input, pieces);
        input.extend_from_slice(bytes);
        input
    };
    vec![
        ("nothing", vec![]),
        ("every-kind", input(0, &[], &every)),
        (
            "every-kind-in-pieces",
            input(1 << PENDING_BETWEEN_PIECES, &[0, 4, 19, 30], &every),
        ),
        ("every-kind-repaired", input(1 << REPAIR_CHECKSUMS, &[6], &every)),
        ("long", input(1 << REPAIR_CHECKSUMS, &[255], &long)),
        ("too-long", input(1 << REPAIR_CHECKSUMS, &[], &too_long)),
        ("cut", input(0, &[9], &every[..every.len() - 1])),
    ]
}

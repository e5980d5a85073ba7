//! The encoding of messages on an upgraded connection.
//!
//! ```text
//! 0      2         3      4        8    16      20 or 32
//! | "CK" | version | kind | length | id | check | body ...
//! ```
//!
//! Numbers are big-endian. The check covers the header before it and the body: a CRC-32C in version 1, and in version 2,
//! between ends that have proved themselves, a code that only they can compute ([`FrameCheck`]). A reader checks the
//! length against its own limit before it allocates anything.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::frame_check::FrameCheck;
use crate::env::{self, Instant};

const MAGIC: [u8; 2] = *b"CK";
/// The part of the header that the check covers.
pub(super) const CHECKED_LEN: usize = 16;

/// The room that the buffer has for one read: at the beginning, and at most on a busy connection.
const MIN_READ_BYTES: usize = 4 << 10;
const MAX_READ_BYTES: usize = 64 << 10;
/// A frame with a body of at least this length does not leave its buffer to the next one.
const MAX_KEPT_BUFFER: usize = 256 << 10;

/// The kind of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// A call; its id is chosen by the caller and names the answer.
    Request = 1,
    /// The answer of the handler.
    Response = 2,
    /// An answer in place of that of the handler: an error, as JSON.
    Error = 3,
    /// Asks for a `Pong`.
    Ping = 4,
    /// Answers a `Ping`.
    Pong = 5,
    /// The sender takes no further requests on this connection, and answers those that it has read.
    Goodbye = 6,
}

impl FrameKind {
    fn from_byte(byte: u8) -> Option<Self> {
        use FrameKind::{Error, Goodbye, Ping, Pong, Request, Response};
        [Request, Response, Error, Ping, Pong, Goodbye]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: FrameKind,
    pub(super) id: u64,
    /// Shares the read buffer's memory.
    pub(super) body: Bytes,
}

/// Why bytes are not a frame. The connection cannot be used further, because nothing shows where the next frame begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("the bytes received are no ClusterKit frame")]
    Magic,
    #[error("frame version {0} is unknown")]
    Version(u8),
    #[error("frame kind {0} is unknown")]
    Kind(u8),
    #[error("a frame of {length} bytes exceeds the limit of {limit}")]
    TooLarge { length: u32, limit: u32 },
    #[error("a frame's checksum is wrong")]
    Checksum,
    #[error("a frame was changed, repeated, left out, or is of another connection")]
    Forged,
}

/// Appends the header of a frame with this body to `buffer`. The caller has checked that the body's length is within the
/// limit, and sends the frames of a connection in the order of these calls.
pub(super) fn put_header(
    buffer: &mut BytesMut,
    check: &mut FrameCheck,
    kind: FrameKind,
    id: u64,
    body: &[u8],
) {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut checked = [0; CHECKED_LEN];
    let mut fields = &mut checked[..];
    fields.put_slice(&MAGIC);
    fields.put_u8(check.version());
    fields.put_u8(kind as u8);
    fields.put_u32(length);
    fields.put_u64(id);
    buffer.extend_from_slice(&checked);
    check.put(buffer, &checked, body);
}

/// What the buffer begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    Frame(Frame),
    /// A part of a header; at least so many bytes are missing.
    Missing(usize),
    /// A header and a part of its body of `length` bytes.
    Part {
        missing: usize,
        length: u32,
    },
}

/// Takes one frame off the front of the buffer, if the buffer has all of it.
pub(super) fn decode(
    buffer: &mut BytesMut,
    limit: u32,
    check: &mut FrameCheck,
) -> Result<Decoded, FrameError> {
    // Checked as soon as these bytes are there: other data may never reach the length of a header.
    if buffer.get(..2).is_some_and(|magic| magic != MAGIC) {
        return Err(FrameError::Magic);
    }
    let header_len = check.header_len();
    let Some((checked, rest)) = buffer.split_first_chunk::<CHECKED_LEN>() else {
        return Ok(Decoded::Missing(header_len - buffer.len()));
    };
    let mut fields = &checked[MAGIC.len()..];
    let version = fields.get_u8();
    if version != check.version() {
        return Err(FrameError::Version(version));
    }
    let kind = fields.get_u8();
    let kind = FrameKind::from_byte(kind).ok_or(FrameError::Kind(kind))?;
    let length = fields.get_u32();
    let id = fields.get_u64();
    if length > limit {
        return Err(FrameError::TooLarge { length, limit });
    }
    let Some((sent, rest)) = rest.split_at_checked(header_len - CHECKED_LEN) else {
        return Ok(Decoded::Missing(header_len - buffer.len()));
    };
    let Some(body) = rest.get(..length as usize) else {
        let missing = header_len + length as usize - buffer.len();
        return Ok(Decoded::Part { missing, length });
    };
    check.verify(checked, body, sent)?;
    buffer.advance(header_len);
    let body = buffer.split_to(length as usize).freeze();
    Ok(Decoded::Frame(Frame { kind, id, body }))
}

/// Corrects the checksum of the frame that `data` begins with, and returns its length; `None` if `data` has only a part of
/// it.
#[cfg(any(test, feature = "fuzz"))]
pub(super) fn repair(data: &mut [u8]) -> Option<usize> {
    let mut check = FrameCheck::Checksum;
    let length = u32::from_be_bytes(*data.get(4..)?.first_chunk()?) as usize;
    let (header, rest) = data.split_at_mut_checked(check.header_len())?;
    let (checked, sent) = header.split_first_chunk_mut::<CHECKED_LEN>()?;
    let mut right = BytesMut::new();
    check.put(&mut right, checked, rest.get(..length)?);
    sent.copy_from_slice(&right);
    Some(check.header_len() + length)
}

/// A whole frame, without a proof.
#[cfg(any(test, feature = "fuzz"))]
pub(super) fn plain_frame(kind: FrameKind, id: u64, body: &[u8]) -> Vec<u8> {
    let mut frame = BytesMut::new();
    put_header(&mut frame, &mut FrameCheck::Checksum, kind, id, body);
    frame.extend_from_slice(body);
    frame.to_vec()
}

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameReadError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("the connection ended in the middle of a frame")]
    Cut,
    #[error("a frame took too long to arrive")]
    Slow,
}

/// What a reader reads next.
#[derive(Debug)]
pub(super) enum NextFrame {
    Frame(Frame),
    /// A frame with a body of this length has begun, which is read only after [`FrameReader::grant`].
    NeedsGrant(u32),
    /// The connection ended between two frames.
    End,
}

/// The lowest rate at which a frame may arrive after its deadline, in bytes a second.
const MIN_BYTES_PER_SECOND: u32 = 64 << 10;

/// The reading half of a connection.
#[derive(Debug)]
pub(super) struct FrameReader<R> {
    io: R,
    check: FrameCheck,
    buffer: BytesMut,
    limit: u32,
    received: u64,
    /// The room for one read; doubled by each read that fills it.
    read_size: usize,
    /// The longest body that is read without a grant.
    ungranted_limit: u32,
    /// The longest body that is read now.
    present_limit: u32,
    /// How long a frame may take to arrive, if that is limited.
    deadline: Option<Duration>,
    /// When the present frame began to arrive.
    frame_began: Option<Instant>,
}

impl<R: AsyncRead + Unpin + Send> FrameReader<R> {
    pub(super) fn new(io: R, check: FrameCheck, limit: u32) -> Self {
        FrameReader {
            io,
            check,
            buffer: BytesMut::new(),
            limit,
            received: 0,
            read_size: MIN_READ_BYTES,
            ungranted_limit: limit,
            present_limit: limit,
            deadline: None,
            frame_began: None,
        }
    }

    /// A reader that returns [`NextFrame::NeedsGrant`] before it reads a body of more than `ungranted_limit` bytes, and fails
    /// if a frame takes longer than `deadline` and the time for its bytes.
    pub(super) fn bounded(
        io: R,
        check: FrameCheck,
        limit: u32,
        ungranted_limit: u32,
        deadline: Duration,
    ) -> Self {
        FrameReader {
            ungranted_limit,
            present_limit: ungranted_limit,
            deadline: Some(deadline),
            ..FrameReader::new(io, check, limit)
        }
    }

    /// The same reader with a limit on bodies without a grant, and no deadline.
    #[cfg(any(test, feature = "fuzz"))]
    pub(super) fn with_ungranted_limit(self, ungranted_limit: u32) -> Self {
        FrameReader {
            ungranted_limit,
            present_limit: ungranted_limit,
            ..self
        }
    }

    /// Number of bytes received so far. It grows in the middle of a large frame, too.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Lets the frame that has begun be as long as its header says. Its deadline begins now.
    pub(super) fn grant(&mut self) {
        self.present_limit = self.limit;
        self.frame_began = None;
    }

    /// The next frame; `None` when the connection ended between two frames. Dropping the future loses no byte.
    pub(super) async fn next(&mut self) -> Result<Option<Frame>, FrameReadError> {
        loop {
            match self.next_or_needs_grant().await? {
                NextFrame::Frame(frame) => return Ok(Some(frame)),
                NextFrame::NeedsGrant(_) => self.grant(),
                NextFrame::End => return Ok(None),
            }
        }
    }

    /// The next frame, or the need for a grant. Dropping the future loses no byte.
    pub(super) async fn next_or_needs_grant(&mut self) -> Result<NextFrame, FrameReadError> {
        loop {
            let (missing, length) = match decode(&mut self.buffer, self.limit, &mut self.check)? {
                Decoded::Frame(frame) => {
                    if frame.body.len() >= MAX_KEPT_BUFFER {
                        self.buffer = BytesMut::from(&self.buffer[..]);
                    }
                    self.present_limit = self.ungranted_limit;
                    self.frame_began = None;
                    return Ok(NextFrame::Frame(frame));
                }
                Decoded::Part { length, .. } if length > self.present_limit => {
                    return Ok(NextFrame::NeedsGrant(length));
                }
                Decoded::Part { missing, length } => (missing, length),
                Decoded::Missing(missing) => (missing, 0),
            };
            // The buffer grows with what has arrived, not with the length in the header, which costs a sender nothing.
            if self.buffer.capacity() == self.buffer.len() || self.buffer.is_empty() {
                let max_reserve = self.read_size.max(self.buffer.len());
                self.buffer.reserve(missing.clamp(self.read_size, max_reserve));
            }
            let frame_deadline = self.frame_deadline(length);
            let reading = self.io.read_buf(&mut self.buffer);
            let count = match frame_deadline {
                Some(deadline) => match env::timeout(deadline.since(Instant::now()), reading).await {
                    Ok(count) => count?,
                    Err(_) => return Err(FrameReadError::Slow),
                },
                None => reading.await?,
            };
            if count == 0 {
                return if self.buffer.is_empty() {
                    Ok(NextFrame::End)
                } else {
                    Err(FrameReadError::Cut)
                };
            }
            self.received += count as u64;
            if self.buffer.capacity() == self.buffer.len() {
                self.read_size = (self.read_size * 2).min(MAX_READ_BYTES);
            }
        }
    }

    /// The moment at which the frame that has begun must be complete; `None` without such a frame or a deadline.
    fn frame_deadline(&mut self, length: u32) -> Option<Instant> {
        let deadline = self.deadline.filter(|_| !self.buffer.is_empty())?;
        let began = *self.frame_began.get_or_insert_with(Instant::now);
        Some(began + deadline + Duration::from_secs(u64::from(length / MIN_BYTES_PER_SECOND)))
    }

    /// Reads and discards until the other end closes.
    pub(super) async fn drain(&mut self) {
        loop {
            self.buffer.clear();
            self.buffer.reserve(MIN_READ_BYTES);
            match self.io.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }
}

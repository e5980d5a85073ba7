//! The encoding of messages on an upgraded connection.
//!
//! ```text
//! 0      2         3      4        8    16       20
//! | "CK" | version | kind | length | id | crc32c | body ...
//! ```
//!
//! Numbers are big-endian. The checksum covers the header before it and the body. A reader checks the length
//! against its own bound before it makes room for anything.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::env::{self, Instant};

/// The length of a frame's header, in bytes.
pub(super) const HEADER_LEN: usize = 20;
const MAGIC: [u8; 2] = *b"CK";
const VERSION: u8 = 1;
const CHECKED_LEN: usize = 16;

/// How much room is made at a time when reading: the least, and the most that a busy connection gets.
const MIN_READ: usize = 4 << 10;
const MAX_READ: usize = 64 << 10;
/// A buffer that has grown past this for one large frame is given back after it.
const KEEP_BUFFER: usize = 256 << 10;

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A call; its id is chosen by the caller and names the answer.
    Request = 1,
    /// The answer of the handler.
    Response = 2,
    /// The answer where there is none from the handler: an error, as JSON.
    Error = 3,
    /// A sign of life is wanted.
    Ping = 4,
    /// The sign of life.
    Pong = 5,
    /// The sender takes no more requests on this connection; those that it has read are still answered.
    Goodbye = 6,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        use Kind::{Error, Goodbye, Ping, Pong, Request, Response};
        [Request, Response, Error, Ping, Pong, Goodbye]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) id: u64,
    /// Shares the read buffer's memory.
    pub(super) body: Bytes,
}

/// Why bytes are not a frame. The connection is of no more use: nothing says where the next frame begins.
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
}

/// The header of a frame. The caller has checked that the body's length is within the limit.
pub(super) fn header(kind: Kind, id: u64, body: &[u8]) -> [u8; HEADER_LEN] {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut header = [0; HEADER_LEN];
    header[..2].copy_from_slice(&MAGIC);
    header[2] = VERSION;
    header[3] = kind as u8;
    header[4..8].copy_from_slice(&length.to_be_bytes());
    header[8..16].copy_from_slice(&id.to_be_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..CHECKED_LEN]), body);
    header[16..].copy_from_slice(&crc.to_be_bytes());
    header
}

/// What a look at the buffer tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    Frame(Frame),
    /// At least this many bytes are missing.
    Missing(usize),
    /// So many are, of a frame whose body has this length.
    Part {
        missing: usize,
        length: u32,
    },
}

/// Takes one frame off the front of the buffer, if it is there as a whole.
pub(super) fn decode(buffer: &mut BytesMut, limit: u32) -> Result<Decoded, FrameError> {
    // Looked at as soon as it is there: what is no frame may never grow to the length of a header.
    if buffer.get(..2).is_some_and(|magic| magic != MAGIC) {
        return Err(FrameError::Magic);
    }
    let Some(mut header) = buffer.get(..HEADER_LEN) else {
        return Ok(Decoded::Missing(HEADER_LEN - buffer.len()));
    };
    let checked = crc32c::crc32c(&header[..CHECKED_LEN]);
    header.advance(MAGIC.len());
    let version = header.get_u8();
    if version != VERSION {
        return Err(FrameError::Version(version));
    }
    let kind = header.get_u8();
    let kind = Kind::from_byte(kind).ok_or(FrameError::Kind(kind))?;
    let length = header.get_u32();
    let id = header.get_u64();
    let crc = header.get_u32();
    if length > limit {
        return Err(FrameError::TooLarge { length, limit });
    }
    let whole = HEADER_LEN + length as usize;
    let Some(body) = buffer.get(HEADER_LEN..whole) else {
        let missing = whole - buffer.len();
        return Ok(Decoded::Part { missing, length });
    };
    if crc32c::crc32c_append(checked, body) != crc {
        return Err(FrameError::Checksum);
    }
    buffer.advance(HEADER_LEN);
    let body = buffer.split_to(length as usize).freeze();
    Ok(Decoded::Frame(Frame { kind, id, body }))
}

/// Makes the checksum right of the frame that `data` begins with, and gives its length; `None` where it is not there as a whole.
#[cfg(any(test, feature = "fuzz"))]
pub(super) fn repair(data: &mut [u8]) -> Option<usize> {
    let (header, rest) = data.split_first_chunk_mut::<HEADER_LEN>()?;
    let length = u32::from_be_bytes(*header.get(4..)?.first_chunk()?) as usize;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..CHECKED_LEN]), rest.get(..length)?);
    header[CHECKED_LEN..].copy_from_slice(&crc.to_be_bytes());
    Some(HEADER_LEN + length)
}

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("the connection ended in the middle of a frame")]
    Cut,
    #[error("a frame took too long to arrive")]
    Slow,
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    Frame(Frame),
    /// A frame with a body of this length has begun, and is longer than is read without being asked for.
    Long(u32),
    /// The connection ended between two frames.
    End,
}

/// The slowest that a frame may arrive, in bytes a second, after the time that each has.
const SLOWEST: u32 = 64 << 10;

/// The reading half of a connection.
#[derive(Debug)]
pub(super) struct FrameReader<R> {
    io: R,
    buffer: BytesMut,
    limit: u32,
    received: u64,
    /// The room that is made at a time; doubled by each read that fills it.
    read_size: usize,
    /// The longest body that is read without being asked for, and the present one.
    unasked: u32,
    granted: u32,
    /// How long a frame may take, if there is a bound, and when the present one began to arrive.
    deadline: Option<Duration>,
    began: Option<Instant>,
}

impl<R: AsyncRead + Unpin + Send> FrameReader<R> {
    pub(super) fn new(io: R, limit: u32) -> Self {
        FrameReader {
            io,
            buffer: BytesMut::new(),
            limit,
            received: 0,
            read_size: MIN_READ,
            unasked: limit,
            granted: limit,
            deadline: None,
            began: None,
        }
    }

    /// One that says [`Next::Long`] before it reads a body of more than `unasked` bytes, and fails where a frame takes
    /// longer than `deadline` and the time for its bytes.
    pub(super) fn bounded(io: R, limit: u32, unasked: u32, deadline: Duration) -> Self {
        FrameReader {
            unasked,
            granted: unasked,
            deadline: Some(deadline),
            ..FrameReader::new(io, limit)
        }
    }

    /// The same without a bound on the time.
    #[cfg(any(test, feature = "fuzz"))]
    pub(super) fn asking_from(self, unasked: u32) -> Self {
        FrameReader {
            unasked,
            granted: unasked,
            ..self
        }
    }

    /// How many bytes have arrived so far: a sign of life in the middle of a large frame.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// The frame that has begun may be as long as it says; its time begins now.
    pub(super) fn grant(&mut self) {
        self.granted = self.limit;
        self.began = None;
    }

    /// The next frame; `None` when the connection ended between two frames. May be dropped and called
    /// again without losing a byte.
    pub(super) async fn next(&mut self) -> Result<Option<Frame>, ReadError> {
        loop {
            match self.next_or_long().await? {
                Next::Frame(frame) => return Ok(Some(frame)),
                Next::Long(_) => self.grant(),
                Next::End => return Ok(None),
            }
        }
    }

    /// What comes next. May be dropped and called again without losing a byte.
    pub(super) async fn next_or_long(&mut self) -> Result<Next, ReadError> {
        loop {
            let (missing, length) = match decode(&mut self.buffer, self.limit)? {
                Decoded::Frame(frame) => {
                    if frame.body.len() >= KEEP_BUFFER {
                        self.buffer = BytesMut::from(&self.buffer[..]);
                    }
                    self.granted = self.unasked;
                    self.began = None;
                    return Ok(Next::Frame(frame));
                }
                Decoded::Part { length, .. } if length > self.granted => return Ok(Next::Long(length)),
                Decoded::Part { missing, length } => (missing, length),
                Decoded::Missing(missing) => (missing, 0),
            };
            // Room grows with what has arrived, not with what the header promises: a header is free to send.
            if self.buffer.capacity() == self.buffer.len() || self.buffer.is_empty() {
                let most = self.read_size.max(self.buffer.len());
                self.buffer.reserve(missing.clamp(self.read_size, most));
            }
            let due = self.due(length);
            let reading = self.io.read_buf(&mut self.buffer);
            let count = match due {
                Some(due) => match env::timeout(due.since(Instant::now()), reading).await {
                    Ok(count) => count?,
                    Err(_) => return Err(ReadError::Slow),
                },
                None => reading.await?,
            };
            if count == 0 {
                return if self.buffer.is_empty() {
                    Ok(Next::End)
                } else {
                    Err(ReadError::Cut)
                };
            }
            self.received += count as u64;
            if self.buffer.capacity() == self.buffer.len() {
                self.read_size = (self.read_size * 2).min(MAX_READ);
            }
        }
    }

    /// Until when the frame has to be there that has begun, where one has.
    fn due(&mut self, length: u32) -> Option<Instant> {
        let deadline = self.deadline.filter(|_| !self.buffer.is_empty())?;
        let began = *self.began.get_or_insert_with(Instant::now);
        Some(began + deadline + Duration::from_secs(u64::from(length / SLOWEST)))
    }

    /// Reads and discards until the other end closes.
    pub(super) async fn drain(&mut self) {
        loop {
            self.buffer.clear();
            self.buffer.reserve(MIN_READ);
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

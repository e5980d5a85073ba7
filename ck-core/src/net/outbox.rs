//! The writing half of a connection: a queue of frames, and one task that writes all queued frames together.

use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, Semaphore};

use super::frame::{self, FrameKind};
use super::frame_check::FrameCheck;
use crate::env;

/// Bodies up to this length, in bytes, are copied behind their header; larger ones are written without a copy.
const MAX_COPIED_BODY: usize = 16 << 10;
/// How many bytes of short frames are written at once.
const MAX_WRITE_BYTES: usize = 256 << 10;
/// How long the other end may accept no byte before the connection counts as lost.
const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The frames to be written on one connection.
#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<OutboxState>,
    /// Wakes the writer: there are frames to write, or the outbox is closed.
    wake: Notify,
    /// Stops the writer at once.
    abort: Notify,
    /// Held by the sender that waits for room, so that frames are queued in the order in which they were sent.
    send_order: tokio::sync::Mutex<()>,
    /// Bytes that may still be queued.
    free_bytes: Semaphore,
    capacity: u32,
    header_len: usize,
    /// Bytes that were queued since the beginning.
    total_queued: AtomicU64,
    /// Bytes that the kernel has accepted since the beginning.
    total_written: AtomicU64,
}

#[derive(Debug, Default)]
struct OutboxState {
    frames: Vec<QueuedFrame>,
    /// The bytes of `free_bytes` that the frames hold.
    reserved: usize,
    closed: bool,
}

#[derive(Debug)]
struct QueuedFrame {
    kind: FrameKind,
    id: u64,
    body: Bytes,
}

/// The outbox takes no further frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutboxClosed;

impl Outbox {
    /// An outbox that holds up to about `capacity` bytes of frames, whose headers have this length.
    pub(super) fn new(capacity: u32, header_len: usize) -> Self {
        Outbox {
            header_len,
            state: Mutex::default(),
            wake: Notify::new(),
            abort: Notify::new(),
            send_order: tokio::sync::Mutex::new(()),
            free_bytes: Semaphore::new(capacity as usize),
            capacity,
            total_queued: AtomicU64::new(0),
            total_written: AtomicU64::new(0),
        }
    }

    /// Queues a frame; waits until there is room for it.
    pub(super) async fn send(&self, kind: FrameKind, id: u64, body: Bytes) -> Result<(), OutboxClosed> {
        let length = u32::try_from(self.header_len + body.len()).unwrap_or(u32::MAX);
        // A frame larger than the capacity passes alone.
        let reserved = length.min(self.capacity);
        // Tokio's cooperative budget could otherwise delay one frame and let the next overtake it.
        tokio::task::unconstrained(async {
            let _order = self.send_order.lock().await;
            match self.free_bytes.acquire_many(reserved).await {
                Ok(permit) => permit.forget(),
                Err(_) => return Err(OutboxClosed),
            }
            self.push(QueuedFrame { kind, id, body }, reserved as usize)
        })
        .await
    }

    /// Queues a frame without a body, whether there is room or not. For frames that are sent rarely.
    pub(super) fn send_now(&self, kind: FrameKind) -> Result<(), OutboxClosed> {
        let body = Bytes::new();
        self.push(QueuedFrame { kind, id: 0, body }, 0)
    }

    fn push(&self, frame: QueuedFrame, reserved: usize) -> Result<(), OutboxClosed> {
        let length = (self.header_len + frame.body.len()) as u64;
        let mut state = self.state.lock();
        if state.closed {
            return Err(OutboxClosed);
        }
        state.reserved += reserved;
        self.total_queued.fetch_add(length, Ordering::Relaxed);
        state.frames.push(frame);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Takes no further frames; the writer ends when it has written the queued ones.
    pub(super) fn finish(&self) {
        self.state.lock().closed = true;
        self.free_bytes.close();
        self.wake.notify_one();
    }

    /// Takes no further frames, and the writer ends at once.
    pub(super) fn abort(&self) {
        self.finish();
        self.abort.notify_one();
    }

    /// Number of bytes written so far, if more bytes are queued. With such a backlog each written byte shows that the other
    /// end reads; without one the bytes may only be in this machine's kernel.
    pub(super) fn written_of_backlog(&self) -> Option<u64> {
        let written = self.total_written.load(Ordering::Relaxed);
        (written < self.total_queued.load(Ordering::Relaxed)).then_some(written)
    }

    /// Writes frames with this check until the outbox is finished or aborted, or the connection fails.
    pub(super) async fn write_to<W: AsyncWrite + Send + Unpin>(
        &self,
        mut io: W,
        check: FrameCheck,
    ) -> io::Result<()> {
        let result = tokio::select! {
            biased;
            () = self.abort.notified() => Ok(()),
            result = self.write_all(&mut io, check) => result,
        };
        self.finish();
        result
    }

    async fn write_all<W: AsyncWrite + Send + Unpin>(
        &self,
        io: &mut W,
        mut check: FrameCheck,
    ) -> io::Result<()> {
        let mut frames = Vec::new();
        let mut encoded = EncodedFrames::default();
        loop {
            let (reserved, closed) = {
                let mut state = self.state.lock();
                std::mem::swap(&mut frames, &mut state.frames);
                (std::mem::take(&mut state.reserved), state.closed)
            };
            if frames.is_empty() {
                if closed {
                    return unless_stalled(io.shutdown()).await;
                }
                self.wake.notified().await;
                continue;
            }
            for frame in frames.drain(..) {
                encoded.add(&frame, &mut check);
                if encoded.is_long() {
                    self.write_encoded(&mut encoded, io).await?;
                }
            }
            self.write_encoded(&mut encoded, io).await?;
            unless_stalled(io.flush()).await?;
            self.free_bytes.add_permits(reserved);
        }
    }

    async fn write_encoded<W: AsyncWrite + Send + Unpin>(
        &self,
        encoded: &mut EncodedFrames,
        io: &mut W,
    ) -> io::Result<()> {
        let tail = encoded.tail.split().freeze();
        for mut chunk in encoded.chunks.drain(..).chain([tail]) {
            while chunk.has_remaining() {
                let count = unless_stalled(io.write(&chunk)).await?;
                if count == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                chunk.advance(count);
                self.total_written.fetch_add(count as u64, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// Frames that are ready to be written together.
#[derive(Debug, Default)]
struct EncodedFrames {
    /// Before `tail`.
    chunks: Vec<Bytes>,
    tail: BytesMut,
}

impl EncodedFrames {
    fn add(&mut self, frame: &QueuedFrame, check: &mut FrameCheck) {
        let QueuedFrame { kind, id, body } = frame;
        frame::put_header(&mut self.tail, check, *kind, *id, body);
        if body.len() <= MAX_COPIED_BODY {
            self.tail.extend_from_slice(body);
        } else {
            let tail = self.tail.split().freeze();
            self.chunks.extend([tail, body.clone()]);
        }
    }

    /// True when these are enough for one write. What follows would only be encoded earlier than it can be sent.
    fn is_long(&self) -> bool {
        !self.chunks.is_empty() || self.tail.len() >= MAX_WRITE_BYTES
    }
}

async fn unless_stalled<T>(write: impl Future<Output = io::Result<T>> + Send) -> io::Result<T> {
    match env::timeout(WRITE_STALL_TIMEOUT, write).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the peer accepts no data",
        )),
    }
}

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
use crate::env;

/// Bodies up to this length, in bytes, are copied behind their header; larger ones are queued without a copy.
const MAX_COPIED_BODY: usize = 16 << 10;
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
    /// Bytes that were queued since the beginning.
    total_queued: AtomicU64,
    /// Bytes that the kernel has accepted since the beginning.
    total_written: AtomicU64,
}

#[derive(Debug, Default)]
struct OutboxState {
    /// Whole chunks, before `tail`.
    chunks: Vec<Bytes>,
    tail: BytesMut,
    /// The bytes of `free_bytes` that chunks and tail hold.
    reserved: usize,
    closed: bool,
}

/// The outbox takes no further frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutboxClosed;

impl Outbox {
    /// An outbox that holds up to about `capacity` bytes.
    pub(super) fn new(capacity: u32) -> Self {
        Outbox {
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
        let length = u32::try_from(frame::HEADER_LEN + body.len()).unwrap_or(u32::MAX);
        // A frame larger than the capacity passes alone.
        let reserved = length.min(self.capacity);
        // Tokio's cooperative budget could otherwise delay one frame and let the next overtake it.
        tokio::task::unconstrained(async {
            let _order = self.send_order.lock().await;
            match self.free_bytes.acquire_many(reserved).await {
                Ok(permit) => permit.forget(),
                Err(_) => return Err(OutboxClosed),
            }
            self.push(kind, id, &body, reserved as usize)
        })
        .await
    }

    /// Queues a frame without a body, whether there is room or not. For frames that are sent rarely.
    pub(super) fn send_now(&self, kind: FrameKind) -> Result<(), OutboxClosed> {
        self.push(kind, 0, &Bytes::new(), 0)
    }

    fn push(&self, kind: FrameKind, id: u64, body: &Bytes, reserved: usize) -> Result<(), OutboxClosed> {
        // The checksum is computed before the lock is taken.
        let header = frame::header(kind, id, body);
        let mut state = self.state.lock();
        if state.closed {
            return Err(OutboxClosed);
        }
        state.reserved += reserved;
        let length = (header.len() + body.len()) as u64;
        self.total_queued.fetch_add(length, Ordering::Relaxed);
        state.tail.extend_from_slice(&header);
        if body.len() <= MAX_COPIED_BODY {
            state.tail.extend_from_slice(body);
        } else {
            let tail = state.tail.split().freeze();
            state.chunks.extend([tail, body.clone()]);
        }
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

    /// Writes until the outbox is finished or aborted, or the connection fails.
    pub(super) async fn write_to<W: AsyncWrite + Send + Unpin>(&self, mut io: W) -> io::Result<()> {
        let result = tokio::select! {
            biased;
            () = self.abort.notified() => Ok(()),
            result = self.write_all(&mut io) => result,
        };
        self.finish();
        result
    }

    async fn write_all<W: AsyncWrite + Send + Unpin>(&self, io: &mut W) -> io::Result<()> {
        let mut chunks = Vec::new();
        loop {
            let (reserved, closed) = {
                let mut state = self.state.lock();
                chunks.append(&mut state.chunks);
                if !state.tail.is_empty() {
                    chunks.push(state.tail.split().freeze());
                }
                (std::mem::take(&mut state.reserved), state.closed)
            };
            if chunks.is_empty() {
                if closed {
                    return unless_stalled(io.shutdown()).await;
                }
                self.wake.notified().await;
                continue;
            }
            for mut chunk in chunks.drain(..) {
                while chunk.has_remaining() {
                    let count = unless_stalled(io.write(&chunk)).await?;
                    if count == 0 {
                        return Err(io::ErrorKind::WriteZero.into());
                    }
                    chunk.advance(count);
                    self.total_written.fetch_add(count as u64, Ordering::Relaxed);
                }
            }
            unless_stalled(io.flush()).await?;
            self.free_bytes.add_permits(reserved);
        }
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

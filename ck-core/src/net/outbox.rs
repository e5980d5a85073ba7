//! The writing half of a connection: frames wait here, and one task writes all that wait in one go.

use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, Semaphore};

use super::frame::{self, Kind};
use crate::env;

/// Bodies up to this length are copied behind their header; larger ones are queued as they are.
const COPY_LIMIT: usize = 16 << 10;
/// How long the other end may refuse to take a single byte.
const STALLED: Duration = Duration::from_secs(30);

/// Frames to be written.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    /// There is something to write, or nothing more will come.
    wake: Notify,
    /// The writer shall stop where it is.
    abort: Notify,
    /// Held by the one that waits for room: frames are queued in the order in which they were sent.
    turn: tokio::sync::Mutex<()>,
    /// Bytes that may still be queued.
    room: Semaphore,
    capacity: u32,
    /// Bytes that were ever queued, and those of them that the other end has taken.
    queued: AtomicU64,
    written: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    /// Whole chunks, before `tail`.
    chunks: Vec<Bytes>,
    tail: BytesMut,
    /// The room that these take.
    taken: usize,
    closed: bool,
}

/// The connection takes no more frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closed;

impl Outbox {
    /// An outbox that holds up to about `capacity` bytes.
    pub(super) fn new(capacity: u32) -> Self {
        Outbox {
            queue: Mutex::default(),
            wake: Notify::new(),
            abort: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
            room: Semaphore::new(capacity as usize),
            capacity,
            queued: AtomicU64::new(0),
            written: AtomicU64::new(0),
        }
    }

    /// Queues a frame, when there is room for it.
    pub(super) async fn send(&self, kind: Kind, id: u64, body: Bytes) -> Result<(), Closed> {
        let length = u32::try_from(frame::HEADER_LEN + body.len()).unwrap_or(u32::MAX);
        // A frame larger than everything passes alone.
        let room = length.min(self.capacity);
        // Tokio's budget for a task could otherwise put one frame off and let the next pass.
        tokio::task::unconstrained(async {
            let _turn = self.turn.lock().await;
            match self.room.acquire_many(room).await {
                Ok(permit) => permit.forget(),
                Err(_) => return Err(Closed),
            }
            self.push(kind, id, &body, room as usize)
        })
        .await
    }

    /// Queues a frame without a body, room or not. For what is sent at most once in a while.
    pub(super) fn send_now(&self, kind: Kind) -> Result<(), Closed> {
        self.push(kind, 0, &Bytes::new(), 0)
    }

    fn push(&self, kind: Kind, id: u64, body: &Bytes, room: usize) -> Result<(), Closed> {
        // The checksum is worked out before the lock is taken.
        let header = frame::header(kind, id, body);
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(Closed);
        }
        queue.taken += room;
        let length = (header.len() + body.len()) as u64;
        self.queued.fetch_add(length, Ordering::Relaxed);
        queue.tail.extend_from_slice(&header);
        if body.len() <= COPY_LIMIT {
            queue.tail.extend_from_slice(body);
        } else {
            let tail = queue.tail.split().freeze();
            queue.chunks.extend([tail, body.clone()]);
        }
        drop(queue);
        self.wake.notify_one();
        Ok(())
    }

    /// Takes no more frames; the writer ends when it has written those that wait.
    pub(super) fn finish(&self) {
        self.queue.lock().closed = true;
        self.room.close();
        self.wake.notify_one();
    }

    /// Takes no more frames, and the writer ends where it is.
    pub(super) fn abort(&self) {
        self.finish();
        self.abort.notify_one();
    }

    /// How many bytes were written so far, while more of them wait. Then each of them is a sign that the other
    /// end takes data; without such a backlog it may be only the kernel that took them.
    pub(super) fn written_of_backlog(&self) -> Option<u64> {
        let written = self.written.load(Ordering::Relaxed);
        (written < self.queued.load(Ordering::Relaxed)).then_some(written)
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
            let (taken, closed) = {
                let mut queue = self.queue.lock();
                chunks.append(&mut queue.chunks);
                if !queue.tail.is_empty() {
                    chunks.push(queue.tail.split().freeze());
                }
                (std::mem::take(&mut queue.taken), queue.closed)
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
                    self.written.fetch_add(count as u64, Ordering::Relaxed);
                }
            }
            unless_stalled(io.flush()).await?;
            self.room.add_permits(taken);
        }
    }
}

async fn unless_stalled<T>(write: impl Future<Output = io::Result<T>> + Send) -> io::Result<T> {
    match env::timeout(STALLED, write).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes no data")),
    }
}

//! A simulated connection: bytes in order, as TCP carries them over links that delay, lose, queue and forget.
//!
//! What it keeps of TCP: a send buffer, a window of bytes under way, retransmission after a timeout that doubles, a receive
//! buffer that holds the sender back, a reset when the other end is gone, and the user timeout that the real sockets set.
//! What it leaves out: congestion control. A sender puts its whole window onto the link at once, which is the worst that it
//! can do to those behind it.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use super::{Lane, Shared};
use crate::env::{self, Instant};
use crate::net::USER_TIMEOUT;

/// What one end's kernel takes before a write has to wait, and what may be under way unacknowledged.
const SEND_BUFFER: usize = 512 << 10;
/// What the other end's kernel holds before it takes no more.
const RECEIVE_BUFFER: usize = 256 << 10;
/// How much travels at a time.
const SEGMENT: usize = 8 << 10;
/// The first retransmission comes after this, each further one after twice the time before.
pub(super) const FIRST_RETRANSMISSION: Duration = Duration::from_millis(200);
const LAST_RETRANSMISSION: Duration = Duration::from_secs(120);

/// One connection between two addresses.
pub(super) struct Flow {
    pub(super) from: String,
    pub(super) to: String,
    /// What stands between the ends has forgotten it: nothing that is sent on it arrives, and nobody is told.
    dead: AtomicBool,
    /// Dropped, refused or given up: both ends see it when they next look.
    over: Mutex<[Option<io::ErrorKind>; 2]>,
    pipes: Mutex<Vec<Weak<Pipe>>>,
}

impl Flow {
    /// From now on nothing on it arrives.
    pub(super) fn die(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    /// The end at `addr` is gone without a word of its own: its kernel answers for it with a reset.
    pub(super) fn abandon(&self, addr: &str) {
        let end = usize::from(self.to == addr);
        self.fail(end, io::ErrorKind::ConnectionReset);
        for pipe in self.pipes.lock().iter().filter_map(Weak::upgrade) {
            if pipe.end == end {
                pipe.close();
            } else {
                pipe.forsake();
            }
        }
    }

    /// What happens at one end: reads and writes there fail from now on.
    fn fail(&self, end: usize, kind: io::ErrorKind) {
        self.over.lock()[end].get_or_insert(kind);
        for pipe in self.pipes.lock().iter().filter_map(Weak::upgrade) {
            pipe.wake();
        }
    }

    fn failure(&self, end: usize) -> Option<io::Error> {
        self.over.lock()[end].map(io::Error::from)
    }
}

/// One direction of a connection.
struct Pipe {
    flow: Arc<Flow>,
    /// The end that writes: 0 is the one that dialled.
    end: usize,
    state: Mutex<PipeState>,
    /// There is something to carry, or room for it.
    changed: Notify,
}

#[derive(Default)]
struct PipeState {
    to_send: BytesMut,
    /// Bytes that are under way.
    under_way: usize,
    received: BytesMut,
    /// The writer has ended.
    closed: bool,
    /// So has the reader seen it.
    ended: bool,
    /// The reader is gone: what arrives is answered with a reset.
    forsaken: bool,
    writer: Option<Waker>,
    reader: Option<Waker>,
}

impl Pipe {
    fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    fn forsake(&self) {
        self.state.lock().forsaken = true;
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    fn wake(&self) {
        let wakers = {
            let mut state = self.state.lock();
            [state.writer.take(), state.reader.take()]
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
        self.changed.notify_waiters();
        self.changed.notify_one();
    }
}

/// One end of a connection.
pub(super) struct SimStream {
    flow: Arc<Flow>,
    end: usize,
    incoming: Arc<Pipe>,
    outgoing: Arc<Pipe>,
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.outgoing.close();
        self.incoming.forsake();
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.incoming.state.lock();
        if !state.received.is_empty() {
            let count = buffer.remaining().min(state.received.len());
            buffer.put_slice(&state.received[..count]);
            state.received.advance(count);
            drop(state);
            self.incoming.changed.notify_one();
            return Poll::Ready(Ok(()));
        }
        if state.ended {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = self.flow.failure(self.end) {
            return Poll::Ready(Err(error));
        }
        state.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(error) = self.flow.failure(self.end) {
            return Poll::Ready(Err(error));
        }
        let mut state = self.outgoing.state.lock();
        if state.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = SEND_BUFFER.saturating_sub(state.to_send.len() + state.under_way);
        if room == 0 {
            state.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let count = room.min(bytes.len());
        state.to_send.extend_from_slice(&bytes[..count]);
        drop(state);
        self.outgoing.changed.notify_one();
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.close();
        Poll::Ready(Ok(()))
    }
}

/// A segment under way; the last one of a direction is empty.
struct Segment {
    bytes: Bytes,
    arrives: Instant,
}

impl Shared {
    /// A connection from one address to another: the end that dialled, and the other.
    pub(super) fn open_flow(self: &Arc<Self>, from: &str, to: &str, lane: Lane) -> (SimStream, SimStream) {
        let flow = Arc::new(Flow {
            from: from.to_owned(),
            to: to.to_owned(),
            dead: AtomicBool::new(false),
            over: Mutex::default(),
            pipes: Mutex::default(),
        });
        let pipe = |end| {
            Arc::new(Pipe {
                flow: flow.clone(),
                end,
                state: Mutex::default(),
                changed: Notify::new(),
            })
        };
        let (there, back) = (pipe(0), pipe(1));
        flow.pipes
            .lock()
            .extend([Arc::downgrade(&there), Arc::downgrade(&back)]);
        {
            let mut world = self.world.lock();
            world.flows.retain(|flow| flow.strong_count() > 0);
            world.flows.push(Arc::downgrade(&flow));
        }
        for pipe in [&there, &back] {
            let (shared, pipe) = (self.clone(), pipe.clone());
            // The network's doing, whatever becomes of the processes at its ends.
            env::sim_process::outside(|| env::spawn(async move { shared.carry(pipe, lane).await }));
        }
        let end = |end, incoming: &Arc<Pipe>, outgoing: &Arc<Pipe>| SimStream {
            flow: flow.clone(),
            end,
            incoming: incoming.clone(),
            outgoing: outgoing.clone(),
        };
        (end(0, &back, &there), end(1, &there, &back))
    }

    /// Carries one direction until it has ended.
    async fn carry(self: Arc<Self>, pipe: Arc<Pipe>, lane: Lane) {
        let (from, to) = match pipe.end {
            0 => (pipe.flow.from.clone(), pipe.flow.to.clone()),
            _ => (pipe.flow.to.clone(), pipe.flow.from.clone()),
        };
        let mut under_way: VecDeque<Segment> = VecDeque::new();
        let mut last_sent = false;
        loop {
            if pipe.flow.failure(pipe.end).is_some() && pipe.state.lock().ended {
                return;
            }
            // Everything that is there goes onto the link.
            while !last_sent {
                let bytes = {
                    let mut state = pipe.state.lock();
                    let count = state.to_send.len().min(SEGMENT);
                    if count == 0 && !state.closed {
                        break;
                    }
                    state.under_way += count;
                    state.to_send.split_to(count).freeze()
                };
                last_sent = bytes.is_empty();
                let mut arrives = self.departs(&from, &to, bytes.len());
                if let Some(before) = under_way.back() {
                    arrives = arrives.max(before.arrives);
                }
                under_way.push_back(Segment { bytes, arrives });
            }
            let Some(next) = under_way.front() else {
                pipe.changed.notified().await;
                continue;
            };
            let arrives = next.arrives;
            tokio::select! {
                biased;
                () = pipe.changed.notified(), if !last_sent => {}
                () = env::sleep_until(arrives) => {
                    if !self.arrive(&pipe, &from, &to, lane).await {
                        return;
                    }
                    let Some(segment) = under_way.pop_front() else {
                        return;
                    };
                    if !deliver(&pipe, segment.bytes).await {
                        return;
                    }
                }
            }
        }
    }

    /// When so many bytes that are sent now arrive: each address has one way up and one way down, and what is sent on them
    /// waits for what was sent before.
    pub(super) fn departs(&self, from: &str, to: &str, bytes: usize) -> Instant {
        /// What a packet has besides its bytes.
        const OVERHEAD: usize = 60;
        let mut world = self.world.lock();
        world.stats.sent += 1;
        let link = super::link(from, to);
        let conditions = world.conditions(&link);
        let slow = world.chance(conditions.slow);
        let delay = conditions.delay(slow, &mut world.rng);
        let now = Instant::now();
        if from == to {
            return now;
        }
        let size = bytes + OVERHEAD * (1 + bytes / 1448);
        let left = world.through(from, true, now, size);
        world.through(to, false, left + delay, size)
    }

    /// A packet without data; false when it is lost.
    pub(super) async fn packet(&self, from: &str, to: &str, lane: Lane) -> bool {
        let arrives = self.departs(from, to, 0);
        env::sleep_until(arrives).await;
        if from == to {
            return true;
        }
        let link = super::link(from, to);
        let mut world = self.world.lock();
        let conditions = world.conditions(&link);
        let lost = world.chance(conditions.loss)
            || world.barriers.is_cut(from, to)
            || world.barriers.is_clogged(&link, lane);
        if lost {
            world.stats.lost += 1;
        } else {
            world.stats.delivered += 1;
        }
        !lost
    }

    /// Waits until the segment that is due arrives, by retransmission where it was lost; false when it never does.
    async fn arrive(&self, pipe: &Pipe, from: &str, to: &str, lane: Lane) -> bool {
        if from == to {
            return true;
        }
        let link = super::link(from, to);
        let mut pause = FIRST_RETRANSMISSION;
        let since = Instant::now();
        let mut first = true;
        loop {
            let released = {
                let mut world = self.world.lock();
                let conditions = world.conditions(&link);
                let by_chance = first && world.chance(conditions.loss);
                first = false;
                if by_chance || world.barriers.is_cut(from, to) || pipe.flow.dead.load(Ordering::Relaxed) {
                    world.stats.lost += 1;
                    None
                } else if world.barriers.is_clogged(&link, lane) {
                    world.stats.held += 1;
                    let (release, released) = tokio::sync::oneshot::channel();
                    world.held.push((link.clone(), lane, release));
                    Some(released)
                } else {
                    world.stats.delivered += 1;
                    return true;
                }
            };
            match released {
                Some(released) => drop(released.await),
                None => {
                    if since.elapsed() + pause > USER_TIMEOUT {
                        env::sleep(USER_TIMEOUT.saturating_sub(since.elapsed())).await;
                        pipe.flow.fail(pipe.end, io::ErrorKind::TimedOut);
                        return false;
                    }
                    env::sleep(pause).await;
                    pause = (pause * 2).min(LAST_RETRANSMISSION);
                }
            }
        }
    }
}

/// Hands bytes to the reader once there is room; false when the direction has ended.
async fn deliver(pipe: &Pipe, bytes: Bytes) -> bool {
    loop {
        let changed = pipe.changed.notified();
        {
            let mut state = pipe.state.lock();
            if bytes.is_empty() {
                state.ended = true;
                drop(state);
                pipe.wake();
                return false;
            }
            if state.forsaken {
                drop(state);
                pipe.flow.fail(pipe.end, io::ErrorKind::ConnectionReset);
                return false;
            }
            if state.received.len() < RECEIVE_BUFFER {
                state.under_way = state.under_way.saturating_sub(bytes.len());
                state.received.extend_from_slice(&bytes);
                let wakers = [state.writer.take(), state.reader.take()];
                drop(state);
                wakers.into_iter().flatten().for_each(Waker::wake);
                return true;
            }
        }
        changed.await;
    }
}

//! A simulated connection: bytes in order, as TCP carries them over links that delay, lose and queue packets and drop
//! connections.
//!
//! What it models of TCP: a send buffer, a window of bytes in flight, retransmission after a timeout that doubles, a receive
//! buffer that stops the sender, a reset when the other end is gone, and the user timeout that the real sockets set.
//! It has no congestion control: a sender puts its whole window onto the link at once, which is the worst case for the
//! packets behind it.

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

use super::{Lane, SimNetworkInner};
use crate::env::{self, Instant};
use crate::net::TCP_USER_TIMEOUT;

/// The send buffer of one end, which bounds the bytes that are unsent or unacknowledged.
const SEND_BUFFER_BYTES: usize = 512 << 10;
/// The receive buffer of the other end.
const RECEIVE_BUFFER_BYTES: usize = 256 << 10;
/// The bytes of one segment.
const SEGMENT_BYTES: usize = 8 << 10;
/// The delay before the first retransmission; it doubles with each further one.
pub(super) const FIRST_RETRANSMISSION_DELAY: Duration = Duration::from_millis(200);
/// The longest delay before a retransmission.
const MAX_RETRANSMISSION_DELAY: Duration = Duration::from_secs(120);

/// One connection between two addresses.
pub(super) struct Flow {
    pub(super) from: String,
    pub(super) to: String,
    /// A device between the ends (a firewall, a NAT) has dropped its state of the connection: nothing that is sent on it
    /// arrives, and neither end is notified.
    black_holed: AtomicBool,
    /// For each end, the error with which its reads and writes fail from now on.
    failures: Mutex<[Option<io::ErrorKind>; 2]>,
    pipes: Mutex<Vec<Weak<Pipe>>>,
}

impl Flow {
    /// From now on nothing that is sent on it arrives.
    pub(super) fn black_hole(&self) {
        self.black_holed.store(true, Ordering::Relaxed);
    }

    /// The process at `addr` is gone: its kernel answers with a reset.
    pub(super) fn reset(&self, addr: &str) {
        let end = usize::from(self.to == addr);
        self.fail(end, io::ErrorKind::ConnectionReset);
        for pipe in self.pipes.lock().iter().filter_map(Weak::upgrade) {
            if pipe.end == end {
                pipe.close();
            } else {
                pipe.drop_reader();
            }
        }
    }

    /// Makes the reads and writes of one end fail from now on.
    fn fail(&self, end: usize, kind: io::ErrorKind) {
        self.failures.lock()[end].get_or_insert(kind);
        for pipe in self.pipes.lock().iter().filter_map(Weak::upgrade) {
            pipe.wake();
        }
    }

    fn failure(&self, end: usize) -> Option<io::Error> {
        self.failures.lock()[end].map(io::Error::from)
    }
}

/// One direction of a connection.
struct Pipe {
    flow: Arc<Flow>,
    /// The end that writes: 0 is the one that dialled.
    end: usize,
    state: Mutex<PipeState>,
    /// Notified when there are bytes to carry, or room for them.
    changed: Notify,
}

#[derive(Default)]
struct PipeState {
    unsent: BytesMut,
    /// Number of bytes in flight.
    in_flight: usize,
    received: BytesMut,
    /// The writer has closed the direction.
    closed: bool,
    /// The end of the direction has reached the reader.
    ended: bool,
    /// The reader is gone: data that arrives is answered with a reset.
    reader_gone: bool,
    writer: Option<Waker>,
    reader: Option<Waker>,
}

impl Pipe {
    fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    fn drop_reader(&self) {
        self.state.lock().reader_gone = true;
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
        self.incoming.drop_reader();
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
        let room = SEND_BUFFER_BYTES.saturating_sub(state.unsent.len() + state.in_flight);
        if room == 0 {
            state.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let count = room.min(bytes.len());
        state.unsent.extend_from_slice(&bytes[..count]);
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

/// A segment in flight; the last one of a direction is empty.
struct Segment {
    bytes: Bytes,
    arrives: Instant,
}

impl SimNetworkInner {
    /// A connection between two addresses: the end that dialled, and the other end.
    pub(super) fn open_flow(self: &Arc<Self>, from: &str, to: &str, lane: Lane) -> (SimStream, SimStream) {
        let flow = Arc::new(Flow {
            from: from.to_owned(),
            to: to.to_owned(),
            black_holed: AtomicBool::new(false),
            failures: Mutex::default(),
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
            let mut state = self.state.lock();
            state.flows.retain(|flow| flow.strong_count() > 0);
            state.flows.push(Arc::downgrade(&flow));
        }
        for pipe in [&there, &back] {
            let (shared, pipe) = (self.clone(), pipe.clone());
            // The task belongs to the network, not to the processes at the ends.
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
        let mut in_flight: VecDeque<Segment> = VecDeque::new();
        let mut last_sent = false;
        loop {
            if pipe.flow.failure(pipe.end).is_some() && pipe.state.lock().ended {
                return;
            }
            // All unsent bytes go onto the link.
            while !last_sent {
                let bytes = {
                    let mut state = pipe.state.lock();
                    let count = state.unsent.len().min(SEGMENT_BYTES);
                    if count == 0 && !state.closed {
                        break;
                    }
                    state.in_flight += count;
                    state.unsent.split_to(count).freeze()
                };
                last_sent = bytes.is_empty();
                let mut arrives = self.arrival_time(&from, &to, bytes.len());
                if let Some(before) = in_flight.back() {
                    arrives = arrives.max(before.arrives);
                }
                in_flight.push_back(Segment { bytes, arrives });
            }
            let Some(next) = in_flight.front() else {
                pipe.changed.notified().await;
                continue;
            };
            let arrives = next.arrives;
            tokio::select! {
                biased;
                () = pipe.changed.notified(), if !last_sent => {}
                () = env::sleep_until(arrives) => {
                    if !self.wait_arrival(&pipe, &from, &to, lane).await {
                        return;
                    }
                    let Some(segment) = in_flight.pop_front() else {
                        return;
                    };
                    if !deliver(&pipe, segment.bytes).await {
                        return;
                    }
                }
            }
        }
    }

    /// The time at which so many bytes that are sent now arrive. Each address has one uplink and one downlink, on which
    /// packets queue.
    pub(super) fn arrival_time(&self, from: &str, to: &str, bytes: usize) -> Instant {
        /// The headers of a packet.
        const PACKET_OVERHEAD_BYTES: usize = 60;
        let mut state = self.state.lock();
        state.stats.sent += 1;
        let link = super::link(from, to);
        let conditions = state.conditions(&link);
        let slow = state.chance(conditions.slow);
        let delay = conditions.delay(slow, &mut state.rng);
        let now = Instant::now();
        if from == to {
            return now;
        }
        let size = bytes + PACKET_OVERHEAD_BYTES * (1 + bytes / 1448);
        let left = state.transmit(from, true, now, size);
        state.transmit(to, false, left + delay, size)
    }

    /// A packet without data; false when it is lost.
    pub(super) async fn packet(&self, from: &str, to: &str, lane: Lane) -> bool {
        let arrives = self.arrival_time(from, to, 0);
        env::sleep_until(arrives).await;
        if from == to {
            return true;
        }
        let link = super::link(from, to);
        let mut state = self.state.lock();
        let conditions = state.conditions(&link);
        let lost = state.chance(conditions.loss)
            || state.barriers.is_cut(from, to)
            || state.barriers.is_clogged(&link, lane);
        if lost {
            state.stats.lost += 1;
        } else {
            state.stats.delivered += 1;
        }
        !lost
    }

    /// Waits until the next segment arrives, after retransmissions if it is lost; false if it never arrives.
    async fn wait_arrival(&self, pipe: &Pipe, from: &str, to: &str, lane: Lane) -> bool {
        if from == to {
            return true;
        }
        let link = super::link(from, to);
        let mut pause = FIRST_RETRANSMISSION_DELAY;
        let since = Instant::now();
        let mut first = true;
        loop {
            let released = {
                let mut state = self.state.lock();
                let conditions = state.conditions(&link);
                let by_chance = first && state.chance(conditions.loss);
                first = false;
                if by_chance
                    || state.barriers.is_cut(from, to)
                    || pipe.flow.black_holed.load(Ordering::Relaxed)
                {
                    state.stats.lost += 1;
                    None
                } else if state.barriers.is_clogged(&link, lane) {
                    state.stats.held += 1;
                    let (release, released) = tokio::sync::oneshot::channel();
                    state.held.push((link.clone(), lane, release));
                    Some(released)
                } else {
                    state.stats.delivered += 1;
                    return true;
                }
            };
            match released {
                Some(released) => drop(released.await),
                None => {
                    if since.elapsed() + pause > TCP_USER_TIMEOUT {
                        env::sleep(TCP_USER_TIMEOUT.saturating_sub(since.elapsed())).await;
                        pipe.flow.fail(pipe.end, io::ErrorKind::TimedOut);
                        return false;
                    }
                    env::sleep(pause).await;
                    pause = (pause * 2).min(MAX_RETRANSMISSION_DELAY);
                }
            }
        }
    }
}

/// Gives bytes to the reader once there is room; false when the direction has ended.
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
            if state.reader_gone {
                drop(state);
                pipe.flow.fail(pipe.end, io::ErrorKind::ConnectionReset);
                return false;
            }
            if state.received.len() < RECEIVE_BUFFER_BYTES {
                state.in_flight = state.in_flight.saturating_sub(bytes.len());
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

//! The calling end of one connection: requests in flight, matched to their answers by id.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::ReadHalf;
use tokio::sync::{Notify, oneshot};

use super::frame::{Frame, FrameReader, Kind};
use super::outbox::Outbox;
use super::{Lane, NetLimits, PeerStream};
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};

type Reader = FrameReader<ReadHalf<Box<dyn PeerStream>>>;

/// A snapshot on a slow link stands in the kernel's buffers for a while before the peer sees the ping behind
/// it, so bulk connections are given this many times the usual silence.
const BULK_PATIENCE: u32 = 2;

/// One connection, as the node that dialled it sees it.
#[derive(Debug)]
pub(super) struct Connection {
    outbox: Outbox,
    calls: Mutex<Calls>,
    /// Wakes the reading task when the connection was closed from this end.
    closed: Notify,
    max_silence: Duration,
    idle_timeout: Duration,
}

#[derive(Debug)]
struct Calls {
    next_id: u64,
    waiting: BTreeMap<u64, oneshot::Sender<Result<Bytes>>>,
    phase: Phase,
    /// When the last call was made.
    used_at: Instant,
    /// The peer has sent a frame: this is a connection that works.
    proven: bool,
}

#[derive(Debug, Clone)]
enum Phase {
    Open,
    /// The peer takes no more requests here, and answers those that it has.
    Leaving,
    Closed(Error),
}

impl Connection {
    /// Runs a connection over a stream that is past its handshake. It lives until it fails, is closed, or has
    /// been idle for long.
    pub(super) fn start(stream: Box<dyn PeerStream>, lane: Lane, limits: &NetLimits) -> Arc<Self> {
        let patience = if lane == Lane::Bulk { BULK_PATIENCE } else { 1 };
        let (reading, writing) = tokio::io::split(stream);
        let connection = Arc::new(Connection {
            outbox: Outbox::new(limits.max_queued),
            calls: Mutex::new(Calls {
                next_id: 1,
                waiting: BTreeMap::new(),
                phase: Phase::Open,
                used_at: Instant::now(),
                proven: false,
            }),
            closed: Notify::new(),
            max_silence: limits.max_silence * patience,
            idle_timeout: limits.idle_timeout,
        });
        let reader = FrameReader::new(reading, limits.max_body);
        env::spawn(connection.clone().read_all(reader));
        let writer = connection.clone();
        env::spawn(async move {
            if let Err(error) = writer.outbox.write_to(writing).await {
                writer.close(lost(&error.to_string()));
            }
        });
        connection
    }

    /// True when the connection takes requests.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.calls.lock().phase, Phase::Open)
    }

    /// True when the peer has ever answered on it.
    pub(super) fn is_proven(&self) -> bool {
        self.calls.lock().proven
    }

    /// One request, one answer. Dropping the future forgets the call. Calls `sent` once the request is on its way, or may
    /// be: until then it never leaves this node when the call is given up.
    pub(super) async fn call(&self, request: Bytes, sent: impl FnOnce() + Send) -> Result<Bytes> {
        let (slot, answer) = self.open_slot().map_err(Error::unsent)?;
        if self.outbox.send(Kind::Request, slot.id, request).await.is_err() {
            return Err(self.why_closed().unsent());
        }
        sent();
        match answer.await {
            Ok(result) => result,
            Err(_) => Err(self.why_closed()),
        }
    }

    /// Fails every call in flight, and takes no more.
    pub(super) fn close(&self, error: Error) {
        let waiting = {
            let mut calls = self.calls.lock();
            if matches!(calls.phase, Phase::Closed(_)) {
                return;
            }
            calls.phase = Phase::Closed(error.clone());
            std::mem::take(&mut calls.waiting)
        };
        for (_, answer) in waiting {
            let _ = answer.send(Err(error.clone()));
        }
        self.outbox.abort();
        self.closed.notify_one();
    }

    fn open_slot(&self) -> Result<(Slot<'_>, oneshot::Receiver<Result<Bytes>>)> {
        let mut calls = self.calls.lock();
        match &calls.phase {
            Phase::Open => {}
            Phase::Leaving => return Err(lost("the peer is closing it")),
            Phase::Closed(error) => return Err(error.clone()),
        }
        let (sender, answer) = oneshot::channel();
        let id = calls.next_id;
        calls.next_id += 1;
        calls.used_at = Instant::now();
        calls.waiting.insert(id, sender);
        Ok((Slot { connection: self, id }, answer))
    }

    fn why_closed(&self) -> Error {
        match &self.calls.lock().phase {
            Phase::Closed(error) => error.clone(),
            Phase::Open | Phase::Leaving => lost("it was closed"),
        }
    }

    async fn read_all(self: Arc<Self>, mut reader: Reader) {
        // Often enough to ask for a sign of life, and to get it, within the silence that is allowed.
        let tick = (self.max_silence / 8).clamp(Duration::from_millis(5), Duration::from_secs(1));
        let mut timer = std::pin::pin!(env::sleep(tick));
        let mut silence = Silence::new(tick);
        let mut seen = (0, None);
        let why = loop {
            tokio::select! {
                biased;
                () = self.closed.notified() => return,
                frame = reader.next() => match frame {
                    Ok(Some(frame)) => {
                        if let Err(why) = self.take(frame) {
                            break why;
                        }
                    }
                    Ok(None) => break lost("the peer closed it"),
                    Err(error) => break lost(&error.to_string()),
                },
                () = timer.as_mut() => {
                    let now = (reader.received(), self.outbox.written_of_backlog());
                    let moved = now.0 != seen.0 || (now.1.is_some() && now.1 != seen.1);
                    if let Err(why) = self.check(silence.look(moved || self.is_unwatched())) {
                        break why;
                    }
                    seen = now;
                    timer.set(env::sleep(tick));
                }
            }
        };
        self.close(why);
    }

    /// Planted: silence is what a call waits through, and starts anew with each.
    fn is_unwatched(&self) -> bool {
        if !planted!("silence-of-a-call") {
            return false;
        }
        let calls = self.calls.lock();
        calls.waiting.is_empty() || calls.used_at.elapsed() < self.max_silence / 2
    }

    fn take(&self, frame: Frame) -> Result<()> {
        let answer = {
            let mut calls = self.calls.lock();
            calls.proven = true;
            match frame.kind {
                Kind::Response | Kind::Error => calls.waiting.remove(&frame.id),
                Kind::Pong => None,
                Kind::Goodbye => {
                    if matches!(calls.phase, Phase::Open) {
                        calls.phase = Phase::Leaving;
                    }
                    None
                }
                Kind::Request | Kind::Ping => return Err(lost("the peer sent what only a caller sends")),
            }
        };
        // No slot: the caller has given up.
        if let Some(answer) = answer {
            let result = match frame.kind {
                Kind::Error => Err(decode_error(&frame.body)),
                _ => Ok(frame.body),
            };
            let _ = answer.send(result);
        }
        self.check_leaving()
    }

    /// A connection that the peer is leaving ends with its last answer.
    fn check_leaving(&self) -> Result<()> {
        let calls = self.calls.lock();
        if matches!(calls.phase, Phase::Leaving) && calls.waiting.is_empty() {
            return Err(lost("the peer is closing it"));
        }
        Ok(())
    }

    /// Looks after a connection from time to time: `quiet` is for how long the peer has said nothing. An error is the
    /// reason to close it.
    ///
    /// It makes no difference whether a call waits, or was given up: a connection that has died is of no use to the next
    /// call either, and must be replaced before it comes.
    fn check(&self, quiet: Duration) -> Result<()> {
        self.check_leaving()?;
        let calls = self.calls.lock();
        if calls.waiting.is_empty() && calls.used_at.elapsed() >= self.idle_timeout {
            return Err(lost("it was idle"));
        }
        drop(calls);
        if quiet >= self.max_silence {
            return Err(lost(&format!("no sign of life for {quiet:?}")));
        }
        if quiet >= self.max_silence / 4 {
            let _ = self.outbox.send_now(Kind::Ping);
        }
        Ok(())
    }
}

/// For how long a peer has said nothing, while this node listened.
#[derive(Debug)]
struct Silence {
    quiet: Duration,
    looked: Instant,
    tick: Duration,
}

impl Silence {
    fn new(tick: Duration) -> Self {
        Silence {
            quiet: Duration::ZERO,
            looked: Instant::now(),
            tick,
        }
    }

    /// To be asked every `tick`. A node that is late itself has not listened meanwhile: what it missed is not held against
    /// the peer.
    fn look(&mut self, heard: bool) -> Duration {
        let now = Instant::now();
        let passed = now.since(self.looked).min(self.tick * 2);
        self.looked = now;
        self.quiet = if heard {
            Duration::ZERO
        } else {
            self.quiet + passed
        };
        self.quiet
    }
}

/// The place of a call that waits for its answer; given up when the call is.
struct Slot<'c> {
    connection: &'c Connection,
    id: u64,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.connection.calls.lock().waiting.remove(&self.id);
    }
}

fn lost(why: &str) -> Error {
    Error::new(ErrorCode::Unreachable, format!("the connection is lost: {why}"))
}

/// Encodes an error that answers a request in the handler's place.
pub(super) fn encode_error(error: &Error) -> Bytes {
    serde_json::to_vec(error).unwrap_or_default().into()
}

fn decode_error(body: &[u8]) -> Error {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        Error::new(
            ErrorCode::Internal,
            "the peer answered with an error that is not readable",
        )
    })
}

#[cfg(test)]
impl Connection {
    /// How many calls wait for an answer.
    pub(super) fn in_flight(&self) -> usize {
        self.calls.lock().waiting.len()
    }
}

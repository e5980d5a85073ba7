//! The calling end of one connection: requests in flight, matched to their answers by id.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::ReadHalf;
use tokio::sync::{Notify, oneshot};

use super::frame::{Frame, FrameKind, FrameReader};
use super::frame_check::FrameCheck;
use super::outbox::Outbox;
use super::{KeyId, Lane, NetLimits, PeerStream};
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};

type Reader = FrameReader<ReadHalf<Box<dyn PeerStream>>>;

/// How many times the usual silence a bulk connection may last: a snapshot on a slow link fills the kernel's buffers, so a
/// ping reaches the peer late.
const BULK_SILENCE_FACTOR: u32 = 2;

/// A stream whose handshake is complete, with the checks of the frames in each direction.
pub(super) struct ReadyStream {
    pub(super) stream: Box<dyn PeerStream>,
    /// The key with which both ends have proved themselves.
    pub(super) key_id: Option<KeyId>,
    pub(super) reading: FrameCheck,
    pub(super) writing: FrameCheck,
}

impl ReadyStream {
    /// A stream whose ends have proved nothing.
    pub(super) fn plain(stream: Box<dyn PeerStream>) -> Self {
        ReadyStream {
            stream,
            key_id: None,
            reading: FrameCheck::Checksum,
            writing: FrameCheck::Checksum,
        }
    }
}

/// One connection, at the node that dialled it.
#[derive(Debug)]
pub(super) struct OutgoingConnection {
    outbox: Outbox,
    state: Mutex<OutgoingState>,
    /// Wakes the reading task when this end closes the connection.
    closed: Notify,
    max_silence: Duration,
    idle_timeout: Duration,
}

#[derive(Debug)]
struct OutgoingState {
    next_id: u64,
    /// The calls in flight, by id.
    calls: BTreeMap<u64, oneshot::Sender<Result<Bytes>>>,
    phase: ConnectionPhase,
    /// When the last call was made.
    last_call_at: Instant,
    /// True once the peer has sent a frame.
    proven: bool,
}

#[derive(Debug, Clone)]
enum ConnectionPhase {
    Open,
    /// The peer takes no further requests on this connection, and answers those in flight.
    Draining,
    Closed(Error),
}

impl OutgoingConnection {
    /// Runs a connection over a stream whose handshake is complete, until it fails, is closed, or is idle for too
    /// long.
    pub(super) fn start(dialled: ReadyStream, lane: Lane, limits: &NetLimits) -> Arc<Self> {
        let ReadyStream {
            stream,
            reading: reading_check,
            writing: writing_check,
            ..
        } = dialled;
        let silence_factor = if lane == Lane::Bulk {
            BULK_SILENCE_FACTOR
        } else {
            1
        };
        let (reading, writing) = tokio::io::split(stream);
        let connection = Arc::new(OutgoingConnection {
            outbox: Outbox::new(limits.max_queued, writing_check.header_len()),
            state: Mutex::new(OutgoingState {
                next_id: 1,
                calls: BTreeMap::new(),
                phase: ConnectionPhase::Open,
                last_call_at: Instant::now(),
                proven: false,
            }),
            closed: Notify::new(),
            max_silence: limits.max_silence * silence_factor,
            idle_timeout: limits.idle_timeout,
        });
        let reader = FrameReader::new(reading, reading_check, limits.max_body);
        env::spawn(connection.clone().read_all(reader));
        let writer = connection.clone();
        env::spawn(async move {
            if let Err(error) = writer.outbox.write_to(writing, writing_check).await {
                writer.close(connection_lost(&error.to_string()));
            }
        });
        connection
    }

    /// Takes no further requests, and ends with the answer to the last one in flight.
    pub(super) fn retire(&self) {
        let mut state = self.state.lock();
        if matches!(state.phase, ConnectionPhase::Open) {
            state.phase = ConnectionPhase::Draining;
        }
    }

    /// True when the connection takes requests.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state.lock().phase, ConnectionPhase::Open)
    }

    /// True once the peer has sent a frame.
    pub(super) fn is_proven(&self) -> bool {
        self.state.lock().proven
    }

    /// One request, one answer. Dropping the future gives up the call. `on_sent` is called once the request is queued to be
    /// sent; a call that is given up before that sends nothing.
    pub(super) async fn call(&self, request: Bytes, on_sent: impl FnOnce() + Send) -> Result<Bytes> {
        let (slot, answer) = self.open_slot().map_err(Error::unsent)?;
        if self
            .outbox
            .send(FrameKind::Request, slot.id, request)
            .await
            .is_err()
        {
            return Err(self.closed_error().unsent());
        }
        on_sent();
        match answer.await {
            Ok(result) => result,
            Err(_) => Err(self.closed_error()),
        }
    }

    /// Fails every call in flight and every later one with `error`.
    pub(super) fn close(&self, error: Error) {
        let calls = {
            let mut state = self.state.lock();
            if matches!(state.phase, ConnectionPhase::Closed(_)) {
                return;
            }
            state.phase = ConnectionPhase::Closed(error.clone());
            std::mem::take(&mut state.calls)
        };
        for (_, answer) in calls {
            let _ = answer.send(Err(error.clone()));
        }
        self.outbox.abort();
        self.closed.notify_one();
    }

    fn open_slot(&self) -> Result<(CallSlot<'_>, oneshot::Receiver<Result<Bytes>>)> {
        let mut state = self.state.lock();
        match &state.phase {
            ConnectionPhase::Open => {}
            ConnectionPhase::Draining => return Err(connection_lost("the peer is closing it")),
            ConnectionPhase::Closed(error) => return Err(error.clone()),
        }
        let (sender, answer) = oneshot::channel();
        let id = state.next_id;
        state.next_id += 1;
        state.last_call_at = Instant::now();
        state.calls.insert(id, sender);
        Ok((CallSlot { connection: self, id }, answer))
    }

    fn closed_error(&self) -> Error {
        match &self.state.lock().phase {
            ConnectionPhase::Closed(error) => error.clone(),
            ConnectionPhase::Open | ConnectionPhase::Draining => connection_lost("it was closed"),
        }
    }

    async fn read_all(self: Arc<Self>, mut reader: Reader) {
        // Short enough to send a ping and to receive the answer within `max_silence`.
        let tick = (self.max_silence / 8).clamp(Duration::from_millis(5), Duration::from_secs(1));
        let mut timer = std::pin::pin!(env::sleep(tick));
        let mut silence = SilenceTimer::new(tick);
        let mut last_progress = (0, None);
        let why = loop {
            tokio::select! {
                biased;
                () = self.closed.notified() => return,
                frame = reader.next() => match frame {
                    Ok(Some(frame)) => {
                        if let Err(why) = self.handle_frame(frame) {
                            break why;
                        }
                    }
                    Ok(None) => break connection_lost("the peer closed it"),
                    Err(error) => break connection_lost(&error.to_string()),
                },
                () = timer.as_mut() => {
                    let progress = (reader.received(), self.outbox.written_of_backlog());
                    let moved = progress.0 != last_progress.0
                        || (progress.1.is_some() && progress.1 != last_progress.1);
                    if let Err(why) = self.check_liveness(silence.update(moved || self.ignores_silence())) {
                        break why;
                    }
                    last_progress = progress;
                    timer.set(env::sleep(tick));
                }
            }
        };
        self.close(why);
    }

    /// Planted bug: silence counts only while a call waits, and begins at zero with each call.
    fn ignores_silence(&self) -> bool {
        if !planted!("silence-of-a-call") {
            return false;
        }
        let state = self.state.lock();
        state.calls.is_empty() || state.last_call_at.elapsed() < self.max_silence / 2
    }

    fn handle_frame(&self, frame: Frame) -> Result<()> {
        let answer = {
            let mut state = self.state.lock();
            state.proven = true;
            match frame.kind {
                FrameKind::Response | FrameKind::Error => state.calls.remove(&frame.id),
                FrameKind::Pong => None,
                FrameKind::Goodbye => {
                    if matches!(state.phase, ConnectionPhase::Open) {
                        state.phase = ConnectionPhase::Draining;
                    }
                    None
                }
                FrameKind::Request | FrameKind::Ping => {
                    return Err(connection_lost(
                        "the peer sent a request on a connection that it serves",
                    ));
                }
            }
        };
        // There is no slot if the caller has given up.
        if let Some(answer) = answer {
            let result = match frame.kind {
                FrameKind::Error => Err(decode_error(&frame.body)),
                _ => Ok(frame.body),
            };
            let _ = answer.send(result);
        }
        self.check_draining()
    }

    /// A connection that the peer drains ends with its last answer.
    fn check_draining(&self) -> Result<()> {
        let state = self.state.lock();
        if matches!(state.phase, ConnectionPhase::Draining) && state.calls.is_empty() {
            return Err(connection_lost("the peer is closing it"));
        }
        Ok(())
    }

    /// The periodic check: pings a peer that has been silent for some time. An error is the reason to close the connection.
    ///
    /// Calls in flight make no difference: a dead connection is of no use to the next call either, and must be replaced
    /// before that call.
    fn check_liveness(&self, silence: Duration) -> Result<()> {
        self.check_draining()?;
        let state = self.state.lock();
        if state.calls.is_empty() && state.last_call_at.elapsed() >= self.idle_timeout {
            return Err(connection_lost("it was idle"));
        }
        drop(state);
        if silence >= self.max_silence {
            return Err(connection_lost(&format!(
                "the peer has been silent for {silence:?}"
            )));
        }
        if silence >= self.max_silence / 4 {
            let _ = self.outbox.send_now(FrameKind::Ping);
        }
        Ok(())
    }
}

/// Measures how long a peer has been silent.
#[derive(Debug)]
struct SilenceTimer {
    silence: Duration,
    updated_at: Instant,
    tick: Duration,
}

impl SilenceTimer {
    fn new(tick: Duration) -> Self {
        SilenceTimer {
            silence: Duration::ZERO,
            updated_at: Instant::now(),
            tick,
        }
    }

    /// The silence so far. To be called every `tick`, with whether the connection made progress since the last call. If
    /// this node is late itself, the time by which it is late does not count as silence of the peer.
    fn update(&mut self, progressed: bool) -> Duration {
        let now = Instant::now();
        let passed = now.since(self.updated_at).min(self.tick * 2);
        self.updated_at = now;
        self.silence = if progressed {
            Duration::ZERO
        } else {
            self.silence + passed
        };
        self.silence
    }
}

/// The entry of a call that waits for its answer; removed when the call is given up.
struct CallSlot<'c> {
    connection: &'c OutgoingConnection,
    id: u64,
}

impl Drop for CallSlot<'_> {
    fn drop(&mut self) {
        self.connection.state.lock().calls.remove(&self.id);
    }
}

fn connection_lost(why: &str) -> Error {
    Error::new(ErrorCode::Unreachable, format!("the connection is lost: {why}"))
}

/// Encodes an error that answers a request in place of the handler.
pub(super) fn encode_error(error: &Error) -> Bytes {
    serde_json::to_vec(error).unwrap_or_default().into()
}

fn decode_error(body: &[u8]) -> Error {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        Error::new(
            ErrorCode::Internal,
            "the peer answered with an error that cannot be decoded",
        )
    })
}

#[cfg(test)]
impl OutgoingConnection {
    /// Number of calls that wait for an answer.
    pub(super) fn in_flight(&self) -> usize {
        self.state.lock().calls.len()
    }
}

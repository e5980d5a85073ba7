//! The served end of one connection: it reads requests, has them handled, and writes the answers.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::io::ReadHalf;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::byte_budget::{self, BudgetPermit, ByteBudget};
use super::frame::{Frame, FrameKind, FrameReader, NextFrame};
use super::frame_check::FrameCheck;
use super::outbox::Outbox;
use super::outgoing_connection::encode_error;
use super::{Handler, Lane, NetLimits, PeerConnection, PeerStream};
use crate::env;
use crate::error::{Error, ErrorCode};

/// How long a drained connection waits for the caller to read its last answers. Closing it with unread requests in the
/// buffer would reset the connection, and those answers would be lost.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a draining connection may take to answer the requests in flight.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection is read on whose key was revoked: the caller has learnt of it by then, and sends nothing more.
const REVOKED_GRACE: Duration = Duration::from_secs(2);

/// Why a connection takes no further requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClosingReason {
    /// Another connection waits for its place.
    Evicted,
    /// Its key was revoked.
    Revoked,
}

/// The stage of a server, as its connections see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ServerStage {
    /// Taking requests.
    Serving,
    /// Answering the requests in flight, and taking no further ones.
    Draining,
    /// Closing every connection at once.
    Closed,
}

type Reader = FrameReader<ReadHalf<Box<dyn PeerStream>>>;

/// A connection to be served.
pub(super) struct IncomingConnection {
    pub(super) stream: Box<dyn PeerStream>,
    /// The check of the frames that are read.
    pub(super) reading: FrameCheck,
    /// The check of the frames that are written.
    pub(super) writing: FrameCheck,
    pub(super) lane: Lane,
    /// The connection as its handler sees it.
    pub(super) connection: Arc<PeerConnection>,
    pub(super) handler: Handler,
}

impl IncomingConnection {
    /// Serves the connection until it ends, breaks the protocol, is idle for too long, the server closes, or `closing`
    /// returns: then it takes no further requests, and answers those in flight.
    pub(super) async fn serve(
        self,
        limits: &NetLimits,
        budget: &ByteBudget,
        mut stage: watch::Receiver<ServerStage>,
        closing: impl Future<Output = ClosingReason>,
    ) {
        let (reading, writing) = tokio::io::split(self.stream);
        let mut reader = FrameReader::bounded(
            reading,
            self.reading,
            limits.max_body,
            byte_budget::MAX_UNCOUNTED_BODY,
            limits.frame_deadline,
        );
        let responder = Arc::new(Responder {
            outbox: Outbox::new(limits.max_answers, self.writing.header_len()),
            writer_ended: Notify::new(),
            handler: self.handler,
            connection: self.connection,
            max_body: limits.max_body,
        });
        let (writer, check) = (responder.clone(), self.writing);
        let mut writing = env::spawn(async move {
            let result = writer.outbox.write_to(writing, check).await;
            writer.writer_ended.notify_one();
            result
        });
        let requests = InboundRequests::start(responder.clone(), self.lane, limits, budget.clone());

        // How long the connection is still read, and then how long the caller has to read the last answers; `None` if it has
        // closed the connection or broken the protocol.
        let linger = tokio::select! {
            biased;
            _ = stage.wait_for(|stage| *stage != ServerStage::Serving) => Some((Duration::ZERO, LINGER_TIMEOUT)),
            () = responder.writer_ended.notified() => None,
            reason = closing => Some(match reason {
                ClosingReason::Evicted => (Duration::ZERO, Duration::ZERO),
                ClosingReason::Revoked => (REVOKED_GRACE, LINGER_TIMEOUT),
            }),
            end = requests.read(&mut reader) => (end == ReadEnd::Idle).then_some((Duration::ZERO, LINGER_TIMEOUT)),
        };
        if let Some((grace, linger)) = linger {
            let _ = responder.outbox.send_now(FrameKind::Goodbye);
            if !grace.is_zero() {
                // What the caller sent before it heard of this is answered: nobody is to notice a change of the secret.
                tokio::select! {
                    biased;
                    _ = stage.wait_for(|stage| *stage != ServerStage::Serving) => {}
                    () = responder.writer_ended.notified() => {}
                    _ = env::timeout(grace, requests.read(&mut reader)) => {}
                }
            }
            let finish = async {
                requests.wait_answered().await;
                responder.outbox.finish();
                let _ = (&mut writing).await;
                let _ = env::timeout(linger, reader.drain()).await;
            };
            tokio::select! {
                biased;
                _ = stage.wait_for(|stage| *stage == ServerStage::Closed) => {}
                _ = env::timeout(DRAIN_TIMEOUT, finish) => {}
            }
        }
        responder.outbox.abort();
    }
}

/// Why a connection is no longer read.
#[derive(Debug, PartialEq, Eq)]
enum ReadEnd {
    /// Nothing was received for too long.
    Idle,
    /// The other end has closed the connection or broken the protocol.
    ByPeer,
}

/// Has the requests of a connection handled, and queues their answers.
struct Responder {
    outbox: Outbox,
    /// Notified when the writer has ended.
    writer_ended: Notify,
    handler: Handler,
    connection: Arc<PeerConnection>,
    max_body: u32,
}

impl Responder {
    /// Handles one request and queues its answer. `permits` are held until the answer is queued, so that a connection whose
    /// caller reads no answers is not read either.
    async fn answer(&self, request: Frame, permits: RequestPermits) {
        let Frame { id, body, .. } = request;
        let handling = AssertUnwindSafe(async { (self.handler)(body, self.connection.clone()).await });
        let (kind, body) = match handling.catch_unwind().await {
            Ok(body) if body.len() <= self.max_body as usize => (FrameKind::Response, body),
            Ok(body) => {
                let message = format!(
                    "the answer of {} bytes exceeds the limit of {} bytes",
                    body.len(),
                    self.max_body
                );
                (
                    FrameKind::Error,
                    encode_error(&Error::new(ErrorCode::TooLarge, message)),
                )
            }
            Err(_) => (
                FrameKind::Error,
                encode_error(&Error::internal("the peer's handler panicked")),
            ),
        };
        // If the outbox is closed, the connection has ended.
        let _ = self.outbox.send(kind, id, body).await;
        drop(permits);
    }
}

/// What a request holds until it is answered: bytes of its connection, and bytes of the budget of all connections.
type RequestPermits = (OwnedSemaphorePermit, BudgetPermit);

/// The requests of a connection that were received and not answered yet.
struct InboundRequests {
    responder: Arc<Responder>,
    /// Bytes that further requests may take on this connection.
    free_bytes: Arc<Semaphore>,
    max_bytes: u32,
    proven_limits: InboundLimits,
    unproven_limits: InboundLimits,
    /// On [`Lane::Log`]: the queue of requests, which are begun one after the other.
    in_order: Option<mpsc::UnboundedSender<(Frame, RequestPermits)>>,
    budget: ByteBudget,
    /// How long a long request may wait for its bytes of the budget.
    budget_timeout: Duration,
}

/// The limits of a connection, which are lower while it is unproven.
struct InboundLimits {
    /// The bytes of the connection that a request takes at least. This bounds the number of requests.
    min_request_bytes: u32,
    /// How long the connection may receive nothing.
    idle_timeout: Duration,
}

impl InboundRequests {
    fn start(responder: Arc<Responder>, lane: Lane, limits: &NetLimits, budget: ByteBudget) -> Self {
        let in_order = (lane == Lane::Log).then(|| {
            // Bounded by the bytes that each request holds.
            let (sender, mut requests) = mpsc::unbounded_channel();
            let responder = responder.clone();
            env::spawn(async move {
                // Futures of this set are first polled in the order in which they were added.
                let mut begun = FuturesUnordered::new();
                loop {
                    tokio::select! {
                        biased;
                        request = requests.recv() => match request {
                            Some((request, permits)) => begun.push(responder.answer(request, permits)),
                            None => break,
                        },
                        Some(()) = begun.next(), if !begun.is_empty() => {}
                    }
                }
                while begun.next().await.is_some() {}
            });
            sender
        });
        let proven_limits = InboundLimits {
            min_request_bytes: limits.max_queued / limits.max_requests.max(1),
            idle_timeout: limits.idle_timeout * 2,
        };
        let min_request_bytes = limits.max_queued / limits.max_requests_unproven.max(1);
        let unproven_limits = InboundLimits {
            min_request_bytes: min_request_bytes.max(proven_limits.min_request_bytes),
            idle_timeout: limits.unproven_timeout.min(proven_limits.idle_timeout),
        };
        InboundRequests {
            responder,
            free_bytes: Arc::new(Semaphore::new(limits.max_queued as usize)),
            max_bytes: limits.max_queued,
            proven_limits,
            unproven_limits,
            in_order,
            budget,
            budget_timeout: limits.frame_deadline,
        }
    }

    fn is_proven(&self) -> bool {
        self.responder.connection.is_proven()
    }

    /// The present limits: they rise when the connection becomes proven.
    fn limits(&self) -> &InboundLimits {
        if self.is_proven() {
            &self.proven_limits
        } else {
            &self.unproven_limits
        }
    }

    /// Reads requests until the connection ends, breaks the protocol, or is idle for too long.
    async fn read(&self, reader: &mut Reader) -> ReadEnd {
        let mut timer = std::pin::pin!(env::sleep(self.limits().idle_timeout));
        let mut received = 0;
        // Taken for the long frame that is being read.
        let mut budget_permit = BudgetPermit::default();
        loop {
            tokio::select! {
                biased;
                next = reader.next_or_needs_grant() => match next {
                    Ok(NextFrame::Frame(frame)) => {
                        let permit = std::mem::take(&mut budget_permit);
                        if self.handle_frame(frame, permit).await.is_none() {
                            return ReadEnd::ByPeer;
                        }
                    }
                    Ok(NextFrame::NeedsGrant(length)) => {
                        let acquiring = self.budget.acquire(length, self.is_proven());
                        let Ok(permit) = env::timeout(self.budget_timeout, acquiring).await else {
                            return ReadEnd::ByPeer;
                        };
                        budget_permit = permit;
                        reader.grant();
                    }
                    Ok(NextFrame::End) | Err(_) => return ReadEnd::ByPeer,
                },
                () = timer.as_mut() => {
                    let idle = reader.received() == received;
                    if idle && self.free_bytes.available_permits() == self.max_bytes as usize {
                        return ReadEnd::Idle;
                    }
                    received = reader.received();
                    timer.set(env::sleep(self.limits().idle_timeout));
                }
            }
        }
    }

    /// Handles one frame; `None` when that ends the connection. Waits while too much is in flight.
    async fn handle_frame(&self, frame: Frame, budget_permit: BudgetPermit) -> Option<()> {
        match frame.kind {
            FrameKind::Request => {}
            FrameKind::Ping => {
                return self
                    .responder
                    .outbox
                    .send(FrameKind::Pong, 0, Bytes::new())
                    .await
                    .ok();
            }
            FrameKind::Goodbye => return Some(()),
            FrameKind::Response | FrameKind::Error | FrameKind::Pong => return None,
        }
        let length = u32::try_from(frame.body.len()).unwrap_or(u32::MAX);
        let bytes = length.max(self.limits().min_request_bytes).min(self.max_bytes);
        let connection_permit = self.free_bytes.clone().acquire_many_owned(bytes).await.ok()?;
        let permits = (connection_permit, budget_permit);
        match &self.in_order {
            Some(queue) => queue.send((frame, permits)).ok(),
            None => {
                let responder = self.responder.clone();
                env::spawn(async move { responder.answer(frame, permits).await });
                Some(())
            }
        }
    }

    /// Waits until every request that was received is answered.
    async fn wait_answered(&self) {
        let _ = self.free_bytes.acquire_many(self.max_bytes).await;
    }
}

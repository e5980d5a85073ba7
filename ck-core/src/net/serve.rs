//! The answering end of one connection.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::io::ReadHalf;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::budget::{self, Budget, Taken};
use super::connection::encode_error;
use super::frame::{Frame, FrameReader, Kind, Next};
use super::outbox::Outbox;
use super::{Handler, Lane, NetLimits, PeerInfo, PeerStream};
use crate::env;
use crate::error::{Error, ErrorCode};

/// How long a connection that was drained waits for the caller to have read its last answers. Closing with
/// unread requests in the buffer would reset the connection and take those answers with it.
const LINGER: Duration = Duration::from_secs(1);
/// How long a connection that takes no more requests may take to answer those that it has.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// What a server is doing, as its connections see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Taking requests.
    Serving,
    /// Answering those that it has.
    Draining,
    /// Gone.
    Closed,
}

type Reader = FrameReader<ReadHalf<Box<dyn PeerStream>>>;

/// Serves one connection until it ends, breaks the protocol, is idle for long, the server closes, or `enough` returns: it
/// takes no more requests then, and answers those that it has.
pub(super) async fn serve(
    stream: Box<dyn PeerStream>,
    info: PeerInfo,
    handler: Handler,
    limits: &NetLimits,
    budget: &Budget,
    mut stage: watch::Receiver<Stage>,
    enough: impl Future<Output = ()>,
) {
    let (reading, writing) = tokio::io::split(stream);
    let mut reader = FrameReader::bounded(reading, limits.max_body, budget::SHORT, limits.frame_deadline);
    let answers = Arc::new(Answers {
        outbox: Outbox::new(limits.max_answers),
        failed: Notify::new(),
        handler,
        info,
        max_body: limits.max_body,
    });
    let writer = answers.clone();
    let mut writing = env::spawn(async move {
        let result = writer.outbox.write_to(writing).await;
        writer.failed.notify_one();
        result
    });
    let work = Work::start(answers.clone(), limits, budget.clone());

    // For how long the last answers are left to be read; none where the other end wants nothing more.
    let linger = tokio::select! {
        biased;
        _ = stage.wait_for(|stage| *stage != Stage::Serving) => Some(LINGER),
        () = answers.failed.notified() => None,
        // Somebody waits for its place.
        () = enough => Some(Duration::ZERO),
        ended = work.read(&mut reader) => (ended == Ended::Idle).then_some(LINGER),
    };
    if let Some(linger) = linger {
        let _ = answers.outbox.send_now(Kind::Goodbye);
        let finish = async {
            work.done().await;
            answers.outbox.finish();
            let _ = (&mut writing).await;
            let _ = env::timeout(linger, reader.drain()).await;
        };
        tokio::select! {
            biased;
            _ = stage.wait_for(|stage| *stage == Stage::Closed) => {}
            _ = env::timeout(LAST_ANSWERS, finish) => {}
        }
    }
    answers.outbox.abort();
}

/// Why a connection is read no more.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// Nothing came for long.
    Idle,
    /// The other end wants nothing more, or breaks the protocol.
    ByPeer,
}

/// What every request of a connection needs.
struct Answers {
    outbox: Outbox,
    /// The writer has ended.
    failed: Notify,
    handler: Handler,
    info: PeerInfo,
    max_body: u32,
}

impl Answers {
    /// Handles one request and queues its answer. `room` is given back when the answer is queued, not before:
    /// a caller that reads no answers is read no further.
    async fn answer(&self, request: Frame, room: Room) {
        let Frame { id, body, .. } = request;
        let handling = AssertUnwindSafe(async { (self.handler)(body, self.info.clone()).await });
        let (kind, body) = match handling.catch_unwind().await {
            Ok(body) if body.len() <= self.max_body as usize => (Kind::Response, body),
            Ok(body) => {
                let message = format!(
                    "the answer of {} bytes exceeds the limit of {} bytes",
                    body.len(),
                    self.max_body
                );
                (
                    Kind::Error,
                    encode_error(&Error::new(ErrorCode::TooLarge, message)),
                )
            }
            Err(_) => (
                Kind::Error,
                encode_error(&Error::internal("the peer's handler panicked")),
            ),
        };
        // Closed: nobody is left to tell.
        let _ = self.outbox.send(kind, id, body).await;
        drop(room);
    }
}

/// What a request holds while it is answered: room on its connection, and bytes of everybody's budget.
type Room = (OwnedSemaphorePermit, Taken);

/// Requests on their way to the handler.
struct Work {
    answers: Arc<Answers>,
    /// Bytes of requests in flight that may be added.
    room: Arc<Semaphore>,
    max_room: u32,
    peer: Terms,
    stranger: Terms,
    /// Begun one after the other, on [`Lane::Log`].
    in_order: Option<mpsc::UnboundedSender<(Frame, Room)>>,
    budget: Budget,
    /// How long a long request may wait for its bytes of the budget.
    long_patience: Duration,
}

/// What is granted to a peer, and less of it to who has not shown yet that it is one.
struct Terms {
    /// What a request takes at least of the connection's room: this bounds their number.
    min_room: u32,
    /// For how long nothing may come.
    patience: Duration,
}

impl Work {
    fn start(answers: Arc<Answers>, limits: &NetLimits, budget: Budget) -> Self {
        let in_order = (answers.info.lane == Lane::Log).then(|| {
            // Bounded by the room that each request holds.
            let (sender, mut requests) = mpsc::unbounded_channel();
            let answers = answers.clone();
            env::spawn(async move {
                // Futures of this set are first polled in the order in which they were added.
                let mut begun = FuturesUnordered::new();
                loop {
                    tokio::select! {
                        biased;
                        request = requests.recv() => match request {
                            Some((request, room)) => begun.push(answers.answer(request, room)),
                            None => break,
                        },
                        Some(()) = begun.next(), if !begun.is_empty() => {}
                    }
                }
                while begun.next().await.is_some() {}
            });
            sender
        });
        let peer = Terms {
            min_room: limits.max_queued / limits.max_requests.max(1),
            patience: limits.idle_timeout * 2,
        };
        let min_room = limits.max_queued / limits.max_requests_unproven.max(1);
        let stranger = Terms {
            min_room: min_room.max(peer.min_room),
            patience: limits.unproven_timeout.min(peer.patience),
        };
        Work {
            answers,
            room: Arc::new(Semaphore::new(limits.max_queued as usize)),
            max_room: limits.max_queued,
            peer,
            stranger,
            in_order,
            budget,
            long_patience: limits.frame_deadline,
        }
    }

    fn is_proven(&self) -> bool {
        self.answers.info.connection.is_proven()
    }

    /// As of now: it may show that it is a peer.
    fn terms(&self) -> &Terms {
        if self.is_proven() {
            &self.peer
        } else {
            &self.stranger
        }
    }

    /// Takes requests until the connection ends, breaks the protocol or has been idle for long.
    async fn read(&self, reader: &mut Reader) -> Ended {
        let mut timer = std::pin::pin!(env::sleep(self.terms().patience));
        let mut received = 0;
        // For the long one that has begun.
        let mut taken = Taken::default();
        loop {
            tokio::select! {
                biased;
                next = reader.next_or_long() => match next {
                    Ok(Next::Frame(frame)) => {
                        if self.take(frame, std::mem::take(&mut taken)).await.is_none() {
                            return Ended::ByPeer;
                        }
                    }
                    Ok(Next::Long(length)) => {
                        let taking = self.budget.take(length, self.is_proven());
                        let Ok(bytes) = env::timeout(self.long_patience, taking).await else {
                            return Ended::ByPeer;
                        };
                        taken = bytes;
                        reader.grant();
                    }
                    Ok(Next::End) | Err(_) => return Ended::ByPeer,
                },
                () = timer.as_mut() => {
                    let idle = reader.received() == received;
                    if idle && self.room.available_permits() == self.max_room as usize {
                        return Ended::Idle;
                    }
                    received = reader.received();
                    timer.set(env::sleep(self.terms().patience));
                }
            }
        }
    }

    /// Acts on one frame; `None` when that ends the connection. Waits while too much is in flight.
    async fn take(&self, frame: Frame, taken: Taken) -> Option<()> {
        match frame.kind {
            Kind::Request => {}
            Kind::Ping => return self.answers.outbox.send(Kind::Pong, 0, Bytes::new()).await.ok(),
            Kind::Goodbye => return Some(()),
            Kind::Response | Kind::Error | Kind::Pong => return None,
        }
        let length = u32::try_from(frame.body.len()).unwrap_or(u32::MAX);
        let room = length.max(self.terms().min_room).min(self.max_room);
        let room = (self.room.clone().acquire_many_owned(room).await.ok()?, taken);
        match &self.in_order {
            Some(queue) => queue.send((frame, room)).ok(),
            None => {
                let answers = self.answers.clone();
                env::spawn(async move { answers.answer(frame, room).await });
                Some(())
            }
        }
    }

    /// Waits until every request that was taken is answered.
    async fn done(&self) {
        let _ = self.room.acquire_many(self.max_room).await;
    }
}

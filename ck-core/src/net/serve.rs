//! The answering end of one connection.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::io::ReadHalf;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::connection::encode_error;
use super::frame::{Frame, FrameReader, Kind};
use super::outbox::Outbox;
use super::{Handler, Lane, NetLimits, PeerInfo, PeerStream};
use crate::env;
use crate::error::{Error, ErrorCode};

/// How long a connection that was drained waits for the caller to have read its last answers. Closing with
/// unread requests in the buffer would reset the connection and take those answers with it.
const LINGER: Duration = Duration::from_secs(1);

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

/// Serves one connection until it ends, breaks the protocol, is idle for long, or the server closes.
pub(super) async fn serve(
    stream: Box<dyn PeerStream>,
    info: PeerInfo,
    handler: Handler,
    limits: &NetLimits,
    mut stage: watch::Receiver<Stage>,
) {
    let (reading, writing) = tokio::io::split(stream);
    let mut reader = FrameReader::new(reading, limits.max_body);
    let answers = Arc::new(Answers {
        outbox: Outbox::new(limits.max_queued),
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
    let work = Work::start(answers.clone(), limits);

    let drain = tokio::select! {
        biased;
        _ = stage.wait_for(|stage| *stage != Stage::Serving) => true,
        () = answers.failed.notified() => false,
        // However it ended, the other end wants nothing more.
        () = work.read(&mut reader, limits.idle_timeout * 2) => false,
    };
    if drain {
        let _ = answers.outbox.send_now(Kind::Goodbye);
        let finish = async {
            work.done().await;
            answers.outbox.finish();
            let _ = (&mut writing).await;
            let _ = env::timeout(LINGER, reader.drain()).await;
        };
        tokio::select! {
            biased;
            _ = stage.wait_for(|stage| *stage == Stage::Closed) => {}
            () = finish => {}
        }
    }
    answers.outbox.abort();
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
    async fn answer(&self, request: Frame, room: OwnedSemaphorePermit) {
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

/// Requests on their way to the handler.
struct Work {
    answers: Arc<Answers>,
    /// Bytes of requests in flight that may be added.
    room: Arc<Semaphore>,
    max_room: u32,
    /// What a request takes at least: this bounds their number.
    min_room: u32,
    /// Begun one after the other, on [`Lane::Log`].
    in_order: Option<mpsc::UnboundedSender<(Frame, OwnedSemaphorePermit)>>,
}

impl Work {
    fn start(answers: Arc<Answers>, limits: &NetLimits) -> Self {
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
        Work {
            answers,
            room: Arc::new(Semaphore::new(limits.max_queued as usize)),
            max_room: limits.max_queued,
            min_room: limits.max_queued / limits.max_requests.max(1),
            in_order,
        }
    }

    /// Takes requests until the connection ends, breaks the protocol or has been idle for long.
    async fn read(&self, reader: &mut Reader, idle_timeout: Duration) {
        let mut timer = std::pin::pin!(env::sleep(idle_timeout));
        let mut received = 0;
        loop {
            tokio::select! {
                biased;
                frame = reader.next() => match frame {
                    Ok(Some(frame)) => {
                        if self.take(frame).await.is_none() {
                            return;
                        }
                    }
                    Ok(None) | Err(_) => return,
                },
                () = timer.as_mut() => {
                    let idle = reader.received() == received;
                    if idle && self.room.available_permits() == self.max_room as usize {
                        return;
                    }
                    received = reader.received();
                    timer.set(env::sleep(idle_timeout));
                }
            }
        }
    }

    /// Acts on one frame; `None` when that ends the connection. Waits while too much is in flight.
    async fn take(&self, frame: Frame) -> Option<()> {
        match frame.kind {
            Kind::Request => {}
            Kind::Ping => return self.answers.outbox.send(Kind::Pong, 0, Bytes::new()).await.ok(),
            Kind::Goodbye => return Some(()),
            Kind::Response | Kind::Error | Kind::Pong => return None,
        }
        let length = u32::try_from(frame.body.len()).unwrap_or(u32::MAX);
        let room = length.max(self.min_room).min(self.max_room);
        let room = self.room.clone().acquire_many_owned(room).await.ok()?;
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

//! Large answers, which may be hundreds of megabytes.
//!
//! Ten clients that ask for the whole cluster at once must not take ten times its memory, nor keep the node from its
//! peers. So these answers are built one at a time, off the runtime's threads; a client that asks for an answer that is
//! being sent already gets the same bytes; and the answers being sent, to clients that may read slowly, share one
//! budget.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderMap, Response as HttpResponse, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failure::Failure;
use super::respond::{Answered, Tag};
use crate::env;
use crate::error::{Error, ErrorCode};

/// Answers of up to this size, in bytes, are not counted.
const SHORT: usize = 64 << 10;
/// The budget counts in units of this many bytes, because it may be more bytes than a semaphore has permits.
const UNIT: usize = 1 << 10;

/// The large answers of a node.
#[derive(Debug)]
pub(super) struct LargeAnswers {
    /// Held while an answer is built, even when its client has disconnected meanwhile.
    making: Arc<Semaphore>,
    budget: Arc<Semaphore>,
    units: u32,
    /// The answers that are being sent, by their tag.
    sent: Mutex<HashMap<String, Weak<Made>>>,
}

/// A built answer, which lives for as long as it is being sent to a client.
#[derive(Debug)]
struct Made {
    headers: HeaderMap,
    bytes: Bytes,
    _budget: OwnedSemaphorePermit,
}

impl LargeAnswers {
    /// At most `most` bytes of large answers are in memory; an answer that is larger than that is sent alone.
    pub(super) fn new(most: usize) -> Self {
        let units = u32::try_from(most / UNIT).unwrap_or(u32::MAX).clamp(1, 1 << 28);
        LargeAnswers {
            making: Arc::new(Semaphore::new(1)),
            budget: Arc::new(Semaphore::new(units as usize)),
            units,
            sent: Mutex::default(),
        }
    }

    /// Builds an answer, off the runtime's threads.
    ///
    /// # Errors
    /// [`ErrorCode::Busy`] when the answers being sent leave no room for it.
    pub(super) async fn answer(&self, make: impl FnOnce() -> Answered + Send + 'static) -> Answered {
        let turn = self.turn().await;
        self.make(turn, make).await
    }

    /// The answer with this tag: an answer that is being sent already, or else a newly built one, whose own tag may be
    /// a later one.
    ///
    /// # Errors
    /// As [`LargeAnswers::answer`].
    pub(super) async fn tagged(
        &self,
        tag: &Tag,
        make: impl FnOnce() -> Answered + Send + 'static,
    ) -> Answered {
        let turn = self.turn().await;
        let known = self.sent().get(tag.text()).and_then(Weak::upgrade);
        match known {
            Some(made) => Ok(made.response()),
            None => self.make(turn, make).await,
        }
    }

    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        self.making.clone().acquire_owned().await.ok()
    }

    async fn make(
        &self,
        turn: Option<OwnedSemaphorePermit>,
        make: impl FnOnce() -> Answered + Send + 'static,
    ) -> Answered {
        let (answered, _turn) = env::blocking(move || (make(), turn)).await?;
        let made = answered?;
        let is_short = made
            .body()
            .size_hint()
            .upper()
            .is_some_and(|upper| upper <= SHORT as u64);
        if is_short || made.status() != StatusCode::OK {
            return Ok(made);
        }
        let (head, body) = made.into_parts();
        // The body is complete in memory already.
        let bytes = match axum::body::to_bytes(body, usize::MAX).await {
            Ok(bytes) => bytes,
            Err(error) => return Err(Error::internal(format!("make the answer: {error}")).into()),
        };
        let made = Arc::new(Made {
            _budget: self.room_for(bytes.len())?,
            headers: head.headers,
            bytes,
        });
        if let Some(tag) = made.tag() {
            let mut sent = self.sent();
            sent.retain(|_, made| made.strong_count() > 0);
            sent.insert(tag, Arc::downgrade(&made));
        }
        Ok(made.response())
    }

    fn room_for(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Failure> {
        let units = u32::try_from(bytes.div_ceil(UNIT))
            .unwrap_or(u32::MAX)
            .min(self.units);
        self.budget.clone().try_acquire_many_owned(units).map_err(|_| {
            Failure::new(
                ErrorCode::Busy,
                format!(
                    "so many large answers are being sent that there is no room for one of {bytes} bytes"
                ),
            )
        })
    }

    fn sent(&self) -> MutexGuard<'_, HashMap<String, Weak<Made>>> {
        self.sent.lock()
    }
}

impl Made {
    fn tag(&self) -> Option<String> {
        let tag = self.headers.get(header::ETAG)?.to_str().ok()?;
        Some(tag.trim_matches('"').to_owned())
    }

    fn response(self: Arc<Self>) -> Response {
        let mut response = HttpResponse::new(());
        *response.headers_mut() = self.headers.clone();
        response.map(|()| {
            Body::new(Sending {
                bytes: self.bytes.clone(),
                _made: self,
            })
        })
    }
}

/// The body of an answer; it keeps the answer alive until it is sent.
struct Sending {
    bytes: Bytes,
    _made: Arc<Made>,
}

/// Number of bytes that are given to the connection at a time.
const SLICE: usize = 256 << 10;

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.bytes.len().min(SLICE);
        let slice = self.bytes.split_to(length);
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;
    use crate::http::respond::json_bytes;

    const LONG: usize = 1 << 20;

    fn answer(revision: u64, length: usize) -> Answered {
        let mut response = json_bytes(StatusCode::OK, vec![b'1'; length]);
        let tag = Tag::of(revision).header();
        response.headers_mut().insert(header::ETAG, tag);
        Ok(response)
    }

    async fn read(response: Response) -> Bytes {
        axum::body::to_bytes(response.into_body(), usize::MAX)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn who_asks_for_what_is_being_sent_gets_the_same_bytes() {
        let (large, made) = (LargeAnswers::new(10 * LONG), Arc::new(AtomicUsize::new(0)));
        let ask = |revision| {
            let made = made.clone();
            let make = move || {
                made.fetch_add(1, Ordering::SeqCst);
                answer(revision, LONG)
            };
            let large = &large;
            async move { large.tagged(&Tag::of(revision), make).await.map_err(|_| ()) }
        };
        let ten = join_all((0..10).map(|_| ask(7))).await;
        assert_eq!(made.load(Ordering::SeqCst), 1);
        let mut pointers = std::collections::BTreeSet::new();
        for response in ten {
            let mut body = response.unwrap().into_body();
            let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
            let slice = frame.unwrap().unwrap().into_data().unwrap();
            assert_eq!(slice.len(), SLICE);
            pointers.insert(slice.as_ptr());
        }
        assert_eq!(pointers.len(), 1, "nothing is copied");
        // Another revision is another answer, and an answer that is no longer being sent is built again.
        assert_eq!(read(ask(8).await.unwrap()).await.len(), LONG);
        assert_eq!(read(ask(7).await.unwrap()).await, vec![b'1'; LONG]);
        assert_eq!(made.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn what_is_being_sent_has_one_budget() {
        let large = LargeAnswers::new(3 * LONG);
        let mut held = Vec::new();
        for revision in 0..3 {
            held.push(large.answer(move || answer(revision, LONG)).await.ok().unwrap());
        }
        assert!(
            large.answer(|| answer(9, LONG)).await.is_err(),
            "slow readers hold it all"
        );
        // A short answer takes nothing of the budget.
        let short = large.answer(|| answer(9, SHORT)).await.ok().unwrap();
        assert_eq!(read(short).await.len(), SHORT);
        // One client has read everything, one has disconnected.
        read(held.pop().unwrap()).await;
        drop(held.pop());
        let next = large.answer(|| answer(9, 2 * LONG)).await.ok().unwrap();
        drop((next, held));
        // Larger than the whole budget: sent alone.
        let all = large.answer(|| answer(9, 5 * LONG)).await.ok().unwrap();
        assert!(large.answer(|| answer(9, LONG)).await.is_err());
        assert_eq!(read(all).await.len(), 5 * LONG);
    }

    /// Clients that disconnect right after their request do not cause several answers to be built at the same time.
    #[tokio::test]
    async fn one_is_made_at_a_time_whoever_has_gone() {
        let large = LargeAnswers::new(10 * LONG);
        let (at_once, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        for _ in 0..20 {
            let (at_once, most) = (at_once.clone(), most.clone());
            let making = large.answer(move || {
                most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(2));
                at_once.fetch_sub(1, Ordering::SeqCst);
                answer(1, LONG)
            });
            // Building begins, and the client disconnects.
            let gone = tokio::time::timeout(std::time::Duration::from_millis(1), making).await;
            drop(gone);
        }
        read(large.answer(|| answer(1, LONG)).await.ok().unwrap()).await;
        assert_eq!(most.load(Ordering::SeqCst), 1);
    }
}

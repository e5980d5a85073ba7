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

use super::error_response::ErrorResponse;
use super::response::{ETag, HandlerResult};
use crate::env;
use crate::error::{Error, ErrorCode};

/// Answers of up to this size, in bytes, take nothing of the budget.
const MAX_UNCOUNTED_BYTES: usize = 64 << 10;
/// The budget counts in units of this many bytes, because it may be more bytes than a semaphore has permits.
const BUDGET_UNIT_BYTES: usize = 1 << 10;

/// The large answers of a node.
#[derive(Debug)]
pub(super) struct LargeResponses {
    /// Held while an answer is built, even when its client has disconnected meanwhile.
    build_lock: Arc<Semaphore>,
    budget: Arc<Semaphore>,
    budget_units: u32,
    /// The answers that are being sent, by their tag.
    in_flight: Mutex<HashMap<String, Weak<BuiltResponse>>>,
}

/// A built answer, which lives for as long as it is being sent to a client.
#[derive(Debug)]
struct BuiltResponse {
    headers: HeaderMap,
    bytes: Bytes,
    _budget: OwnedSemaphorePermit,
}

impl LargeResponses {
    /// At most `max_bytes` of large answers are in memory; an answer that is larger than that is sent alone.
    pub(super) fn new(max_bytes: usize) -> Self {
        let budget_units = u32::try_from(max_bytes / BUDGET_UNIT_BYTES)
            .unwrap_or(u32::MAX)
            .clamp(1, 1 << 28);
        LargeResponses {
            build_lock: Arc::new(Semaphore::new(1)),
            budget: Arc::new(Semaphore::new(budget_units as usize)),
            budget_units,
            in_flight: Mutex::default(),
        }
    }

    /// Builds an answer, off the runtime's threads.
    ///
    /// # Errors
    /// [`ErrorCode::Busy`] when the answers being sent leave no room for it.
    pub(super) async fn build(
        &self,
        build: impl FnOnce() -> HandlerResult + Send + 'static,
    ) -> HandlerResult {
        let permit = self.lock_build().await;
        self.build_locked(permit, build).await
    }

    /// The answer with this tag: an answer that is being sent already, or else a newly built one, whose own tag may be
    /// a later one.
    ///
    /// # Errors
    /// As [`LargeResponses::build`].
    pub(super) async fn build_or_share(
        &self,
        tag: &ETag,
        build: impl FnOnce() -> HandlerResult + Send + 'static,
    ) -> HandlerResult {
        let permit = self.lock_build().await;
        let known = self.in_flight().get(tag.as_str()).and_then(Weak::upgrade);
        match known {
            Some(built) => Ok(built.response()),
            None => self.build_locked(permit, build).await,
        }
    }

    async fn lock_build(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        self.build_lock.clone().acquire_owned().await.ok()
    }

    async fn build_locked(
        &self,
        permit: Option<OwnedSemaphorePermit>,
        build: impl FnOnce() -> HandlerResult + Send + 'static,
    ) -> HandlerResult {
        let (outcome, _permit) = env::blocking(move || (build(), permit)).await?;
        let response = outcome?;
        let is_uncounted = response
            .body()
            .size_hint()
            .upper()
            .is_some_and(|upper| upper <= MAX_UNCOUNTED_BYTES as u64);
        if is_uncounted || response.status() != StatusCode::OK {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        // The body is complete in memory already.
        let bytes = match axum::body::to_bytes(body, usize::MAX).await {
            Ok(bytes) => bytes,
            Err(error) => return Err(Error::internal(format!("make the answer: {error}")).into()),
        };
        let built = Arc::new(BuiltResponse {
            _budget: self.reserve(bytes.len())?,
            headers: head.headers,
            bytes,
        });
        if let Some(tag) = built.tag() {
            let mut in_flight = self.in_flight();
            in_flight.retain(|_, built| built.strong_count() > 0);
            in_flight.insert(tag, Arc::downgrade(&built));
        }
        Ok(built.response())
    }

    fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ErrorResponse> {
        let units = u32::try_from(bytes.div_ceil(BUDGET_UNIT_BYTES))
            .unwrap_or(u32::MAX)
            .min(self.budget_units);
        self.budget.clone().try_acquire_many_owned(units).map_err(|_| {
            ErrorResponse::new(
                ErrorCode::Busy,
                format!(
                    "so many large answers are being sent that there is no room for one of {bytes} bytes"
                ),
            )
        })
    }

    fn in_flight(&self) -> MutexGuard<'_, HashMap<String, Weak<BuiltResponse>>> {
        self.in_flight.lock()
    }
}

impl BuiltResponse {
    fn tag(&self) -> Option<String> {
        let tag = self.headers.get(header::ETAG)?.to_str().ok()?;
        Some(tag.trim_matches('"').to_owned())
    }

    fn response(self: Arc<Self>) -> Response {
        let mut response = HttpResponse::new(());
        *response.headers_mut() = self.headers.clone();
        response.map(|()| {
            Body::new(SharedBody {
                bytes: self.bytes.clone(),
                _response: self,
            })
        })
    }
}

/// The body of an answer; it keeps the answer alive until it is sent.
struct SharedBody {
    bytes: Bytes,
    _response: Arc<BuiltResponse>,
}

/// Number of bytes that are given to the connection at a time.
const CHUNK_BYTES: usize = 256 << 10;

impl HttpBody for SharedBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.bytes.len().min(CHUNK_BYTES);
        let chunk = self.bytes.split_to(length);
        Poll::Ready(Some(Ok(Frame::data(chunk))))
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
    use crate::http::response::json_bytes;

    const LARGE_BYTES: usize = 1 << 20;

    fn answer(revision: u64, length: usize) -> HandlerResult {
        let mut response = json_bytes(StatusCode::OK, vec![b'1'; length]);
        let tag = ETag::of(revision).header_value();
        response.headers_mut().insert(header::ETAG, tag);
        Ok(response)
    }

    async fn read(response: Response) -> Bytes {
        axum::body::to_bytes(response.into_body(), usize::MAX)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_tag_that_is_being_sent_is_answered_with_the_same_bytes() {
        let (large, made) = (
            LargeResponses::new(10 * LARGE_BYTES),
            Arc::new(AtomicUsize::new(0)),
        );
        let ask = |revision| {
            let made = made.clone();
            let make = move || {
                made.fetch_add(1, Ordering::SeqCst);
                answer(revision, LARGE_BYTES)
            };
            let large = &large;
            async move {
                large
                    .build_or_share(&ETag::of(revision), make)
                    .await
                    .map_err(|_| ())
            }
        };
        let ten = join_all((0..10).map(|_| ask(7))).await;
        assert_eq!(made.load(Ordering::SeqCst), 1);
        let mut pointers = std::collections::BTreeSet::new();
        for response in ten {
            let mut body = response.unwrap().into_body();
            let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
            let slice = frame.unwrap().unwrap().into_data().unwrap();
            assert_eq!(slice.len(), CHUNK_BYTES);
            pointers.insert(slice.as_ptr());
        }
        assert_eq!(pointers.len(), 1, "nothing is copied");
        // Another revision is another answer, and an answer that is no longer being sent is built again.
        assert_eq!(read(ask(8).await.unwrap()).await.len(), LARGE_BYTES);
        assert_eq!(read(ask(7).await.unwrap()).await, vec![b'1'; LARGE_BYTES]);
        assert_eq!(made.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn answers_being_sent_share_one_budget() {
        let large = LargeResponses::new(3 * LARGE_BYTES);
        let mut held = Vec::new();
        for revision in 0..3 {
            held.push(
                large
                    .build(move || answer(revision, LARGE_BYTES))
                    .await
                    .ok()
                    .unwrap(),
            );
        }
        assert!(
            large.build(|| answer(9, LARGE_BYTES)).await.is_err(),
            "slow readers hold it all"
        );
        // A short answer takes nothing of the budget.
        let short = large.build(|| answer(9, MAX_UNCOUNTED_BYTES)).await.ok().unwrap();
        assert_eq!(read(short).await.len(), MAX_UNCOUNTED_BYTES);
        // One client has read everything, one has disconnected.
        read(held.pop().unwrap()).await;
        drop(held.pop());
        let next = large.build(|| answer(9, 2 * LARGE_BYTES)).await.ok().unwrap();
        drop((next, held));
        // Larger than the whole budget: sent alone.
        let all = large.build(|| answer(9, 5 * LARGE_BYTES)).await.ok().unwrap();
        assert!(large.build(|| answer(9, LARGE_BYTES)).await.is_err());
        assert_eq!(read(all).await.len(), 5 * LARGE_BYTES);
    }

    /// Clients that disconnect right after their request do not cause several answers to be built at the same time.
    #[tokio::test]
    async fn one_answer_is_built_at_a_time_also_when_clients_disconnect() {
        let large = LargeResponses::new(10 * LARGE_BYTES);
        let (at_once, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        for _ in 0..20 {
            let (at_once, most) = (at_once.clone(), most.clone());
            let building = large.build(move || {
                most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(2));
                at_once.fetch_sub(1, Ordering::SeqCst);
                answer(1, LARGE_BYTES)
            });
            // Building begins, and the client disconnects.
            let gone = tokio::time::timeout(std::time::Duration::from_millis(1), building).await;
            drop(gone);
        }
        read(large.build(|| answer(1, LARGE_BYTES)).await.ok().unwrap()).await;
        assert_eq!(most.load(Ordering::SeqCst), 1);
    }
}

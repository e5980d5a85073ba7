//! Support for clients that close their sending side and wait for their answer.
//!
//! With such a half-close a program says that it has no further requests. TCP cannot tell it from a client that has
//! disconnected until something is sent to it. So the end of the client's data is withheld while an answer is
//! pending that ends by itself: one that is being computed, or one whose length is known. Answers without a known end
//! are only for clients that are still connected. While a request body is being read its end is not withheld, because
//! the rest of the body will not come.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use hyper::body::{Body as _, Frame, SizeHint};

/// The requests of one connection whose answers are not sent completely. Clones refer to the same connection.
#[derive(Debug, Clone, Default)]
pub(super) struct PendingResponses(Arc<PendingCounts>);

#[derive(Debug, Default)]
struct PendingCounts {
    /// Requests that were received and not answered completely.
    responses: AtomicUsize,
    /// Request bodies that are not read to the end.
    request_bodies: AtomicUsize,
    /// Wakes the reader from which the client's end is withheld.
    reader: AtomicWaker,
}

impl PendingResponses {
    /// Counts a request that was received: its answer is pending until the guard is dropped.
    pub(super) fn begin_response(&self) -> PendingGuard {
        self.0.responses.fetch_add(1, Ordering::AcqRel);
        PendingGuard(self.clone(), |counts| &counts.responses)
    }

    /// Counts a request body, which is being read until the guard is dropped.
    pub(super) fn begin_request_body(&self) -> PendingGuard {
        self.0.request_bodies.fetch_add(1, Ordering::AcqRel);
        PendingGuard(self.clone(), |counts| &counts.request_bodies)
    }

    /// True when the end of the client's data is to be withheld; the calling task is then woken when that may have changed.
    pub(super) fn withholds_end(&self, context: &Context<'_>) -> bool {
        // Registered before the counts are read, so that no change is missed.
        self.0.reader.register(context.waker());
        self.0.responses.load(Ordering::Acquire) > 0 && self.0.request_bodies.load(Ordering::Acquire) == 0
    }
}

/// One count in [`PendingResponses`], taken back when this is dropped.
#[derive(Debug)]
pub(super) struct PendingGuard(PendingResponses, fn(&PendingCounts) -> &AtomicUsize);

impl Drop for PendingGuard {
    fn drop(&mut self) {
        let counts = &*self.0.0;
        (self.1)(counts).fetch_sub(1, Ordering::AcqRel);
        counts.reader.wake();
    }
}

/// Wraps the answer: it is pending until it is sent completely if its length is known and not 0. `held` is dropped then in
/// any case.
pub(super) fn hold_until_sent<H: Send + Unpin + 'static>(
    response: Response,
    pending: PendingGuard,
    held: H,
) -> Response {
    response.map(|body| {
        let ends = body.size_hint().exact().is_some_and(|length| length > 0);
        Body::new(HeldBody {
            body,
            _pending: ends.then_some(pending),
            _held: held,
        })
    })
}

struct HeldBody<H> {
    body: Body,
    _pending: Option<PendingGuard>,
    _held: H,
}

impl<H: Send + Unpin + 'static> hyper::body::Body for HeldBody<H> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

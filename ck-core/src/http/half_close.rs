//! Support for clients that close their sending side and wait for their answer.
//!
//! With such a half-close a program says that it has no further requests. TCP cannot tell it from a client that has
//! disconnected until something is sent to it. So the end of the client's data is withheld while the client is owed an
//! answer that ends by itself: one that is being computed, or one whose length is known. Answers without a known end
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

/// What one connection owes its client. Clones refer to the same connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Owed(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Requests that were received and not answered completely.
    answers: AtomicUsize,
    /// Request bodies that are not read to the end.
    bodies: AtomicUsize,
    /// Wakes the reader from which the client's end is withheld.
    reader: AtomicWaker,
}

impl Owed {
    /// A request was received: it is owed an answer until the debt is dropped.
    pub(super) fn answer(&self) -> Debt {
        self.0.answers.fetch_add(1, Ordering::AcqRel);
        Debt(self.clone(), |counts| &counts.answers)
    }

    /// A request has a body, which is being read until the debt is dropped.
    pub(super) fn body(&self) -> Debt {
        self.0.bodies.fetch_add(1, Ordering::AcqRel);
        Debt(self.clone(), |counts| &counts.bodies)
    }

    /// True when the client's end is to be withheld; the calling task is then woken when that may have changed.
    pub(super) fn keeps_back(&self, context: &Context<'_>) -> bool {
        // Registered before the counts are read, so that no change is missed.
        self.0.reader.register(context.waker());
        self.0.answers.load(Ordering::Acquire) > 0 && self.0.bodies.load(Ordering::Acquire) == 0
    }
}

/// An obligation that lasts until this is dropped.
#[derive(Debug)]
pub(super) struct Debt(Owed, fn(&Counts) -> &AtomicUsize);

impl Drop for Debt {
    fn drop(&mut self) {
        let counts = &*self.0.0;
        (self.1)(counts).fetch_sub(1, Ordering::AcqRel);
        counts.reader.wake();
    }
}

/// Wraps the answer: it is owed until it is sent completely if its length is known and not 0. `kept` is kept until then
/// in any case.
pub(super) fn until_sent<K: Send + Unpin + 'static>(response: Response, debt: Debt, kept: K) -> Response {
    response.map(|body| {
        let ends = body.size_hint().exact().is_some_and(|length| length > 0);
        Body::new(OwedBody {
            body,
            _debt: ends.then_some(debt),
            _kept: kept,
        })
    })
}

struct OwedBody<K> {
    body: Body,
    _debt: Option<Debt>,
    _kept: K,
}

impl<K: Send + Unpin + 'static> hyper::body::Body for OwedBody<K> {
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

//! Clients that close their sending side and wait for their answer.
//!
//! That is how a program says that it has asked all it wants to ask, and TCP tells it apart from one that is gone only
//! when something is sent to it. So the end of what a client sends is kept back while it is owed an answer that comes to
//! an end by itself: one that is being worked out, or one whose length is known. Answers without an end are for those who
//! are still there. Where a request's body is being read its end must be heard: nothing more will come of it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use hyper::body::{Body as _, Frame, SizeHint};

/// What one connection owes its client. Clones are the same connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Owed(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Requests that were heard and not answered to the end.
    answers: AtomicUsize,
    /// Bodies of requests that are not read to the end.
    bodies: AtomicUsize,
    /// Who waits to hear of the client's end.
    reader: AtomicWaker,
}

impl Owed {
    /// A request was heard: it is owed an answer until the debt is dropped.
    pub(super) fn answer(&self) -> Debt {
        self.0.answers.fetch_add(1, Ordering::AcqRel);
        Debt(self.clone(), |counts| &counts.answers)
    }

    /// A request has a body, which is being read until the debt is dropped.
    pub(super) fn body(&self) -> Debt {
        self.0.bodies.fetch_add(1, Ordering::AcqRel);
        Debt(self.clone(), |counts| &counts.bodies)
    }

    /// True where the client's end is to be kept back; then whoever asks is woken when that has changed.
    pub(super) fn keeps_back(&self, context: &Context<'_>) -> bool {
        // Before the look at the counts, so that no change falls between the two.
        self.0.reader.register(context.waker());
        self.0.answers.load(Ordering::Acquire) > 0 && self.0.bodies.load(Ordering::Acquire) == 0
    }
}

/// Something that is owed until this is dropped.
#[derive(Debug)]
pub(super) struct Debt(Owed, fn(&Counts) -> &AtomicUsize);

impl Drop for Debt {
    fn drop(&mut self) {
        let counts = &*self.0.0;
        (self.1)(counts).fetch_sub(1, Ordering::AcqRel);
        counts.reader.wake();
    }
}

/// The answer, which is owed until its end where it has one; `kept` is kept until its end in any case.
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

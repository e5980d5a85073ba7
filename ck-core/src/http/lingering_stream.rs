//! The stream of one connection: limits how long a write may stall, and closes in a way that lets the client receive
//! the last answer.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::HttpLimits;
use super::half_close::{PendingGuard, PendingResponses};
use crate::env;

/// The connection preface of HTTP/2, with which a client begins that takes the node for an HTTP/2 server.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Size of the buffer for data that is read and discarded.
const DISCARD_BUFFER_BYTES: usize = 16 * 1024;

/// A stream whose writes fail when the peer accepts no data for too long. Otherwise a client that asks for much and
/// reads nothing would hold its connection, and the answer in memory, forever.
///
/// The close lingers when a request's body was not read to the end. Closing a socket that still has data to read resets
/// the connection, and a client that was still sending sees the reset and not the answer. So the sending side is closed
/// first, and incoming data is discarded until the client closes too, within limits.
pub(super) struct LingeringStream<S> {
    stream: S,
    /// Nothing has been read yet.
    is_unread: bool,
    /// The client has closed its sending side.
    read_ended: bool,
    pending: PendingResponses,
    write_deadline: Duration,
    /// Timer that runs while a write is blocked.
    write_timer: Option<Pin<Box<env::runtime::Sleep>>>,
    body_unread: UnreadBodyFlag,
    linger_deadline: Duration,
    /// Bytes that may still be discarded while the close lingers.
    linger_bytes_left: usize,
    /// Timer that runs once the sending side is closed.
    linger_timer: Option<Pin<Box<env::runtime::Sleep>>>,
}

/// Whether a request body of this connection was dropped before its end.
#[derive(Debug, Clone, Default)]
pub(super) struct UnreadBodyFlag(Arc<AtomicBool>);

/// A request body that records in its connection when it is dropped before its end.
pub(super) struct TrackedBody<B: Body + Unpin> {
    body: B,
    unread: UnreadBodyFlag,
    /// Present while the body is being read.
    reading: Option<PendingGuard>,
}

impl UnreadBodyFlag {
    /// Wraps the body, so that dropping it before its end is recorded.
    pub(super) fn track<B: Body + Unpin>(&self, body: B, pending: &PendingResponses) -> TrackedBody<B> {
        TrackedBody {
            reading: (!body.is_end_stream()).then(|| pending.begin_request_body()),
            body,
            unread: self.clone(),
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for TrackedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.reading = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: Body + Unpin> Drop for TrackedBody<B> {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            self.unread.0.store(true, Ordering::Release);
        }
    }
}

impl<S> LingeringStream<S> {
    pub(super) fn new(
        stream: S,
        limits: &HttpLimits,
        body_unread: UnreadBodyFlag,
        pending: PendingResponses,
    ) -> Self {
        LingeringStream {
            stream,
            is_unread: true,
            read_ended: false,
            pending,
            write_deadline: limits.write_deadline,
            write_timer: None,
            body_unread,
            linger_deadline: limits.linger_deadline,
            linger_bytes_left: limits.max_linger_bytes,
            linger_timer: None,
        }
    }

    fn bound_write<T>(
        &mut self,
        context: &mut Context<'_>,
        poll: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.write_timer = None;
            return poll;
        }
        let deadline = self.write_deadline;
        let timer = self
            .write_timer
            .get_or_insert_with(|| Box::pin(env::sleep(deadline)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the peer reads nothing",
        )))
    }
}

impl<S: AsyncRead + Unpin> LingeringStream<S> {
    /// Discards incoming data until the client closes, or until the limits of lingering are reached.
    fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let deadline = self.linger_deadline;
        let timer = self
            .linger_timer
            .get_or_insert_with(|| Box::pin(env::sleep(deadline)));
        if timer.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut discarded = [0; DISCARD_BUFFER_BYTES];
        loop {
            let mut buffer = ReadBuf::new(&mut discarded);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
            let read = buffer.filled().len();
            if read == 0 || read >= self.linger_bytes_left {
                return Poll::Ready(Ok(()));
            }
            self.linger_bytes_left -= read;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LingeringStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let from = buffer.filled().len();
        if !self.read_ended {
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
            self.read_ended = buffer.filled().len() == from && buffer.remaining() > 0;
        }
        if self.read_ended && self.pending.withholds_end(context) {
            return Poll::Pending;
        }
        let read = buffer.filled_mut().get_mut(from..).unwrap_or_default();
        let is_http_2 = std::mem::replace(&mut self.is_unread, false) && read.starts_with(HTTP2_PREFACE);
        if let Some(first) = read.first_mut().filter(|_| is_http_2) {
            // hyper closes the connection silently when it reads the whole preface, and answers 400 when any part of it
            // differs.
            *first = b'_';
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LingeringStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bound_write(context, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        self.bound_write(context, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger_timer.is_none() {
            let poll = Pin::new(&mut self.stream).poll_shutdown(context);
            ready!(self.bound_write(context, poll))?;
            if !self.body_unread.0.load(Ordering::Acquire) {
                return Poll::Ready(Ok(()));
            }
        }
        self.poll_discard(context)
    }
}

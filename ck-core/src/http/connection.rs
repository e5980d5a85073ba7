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
use super::half_close::{Debt, Owed};
use crate::env;

/// The connection preface of HTTP/2, with which a client begins that takes the node for an HTTP/2 server.
const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Size of the buffer for data that is read and discarded.
const SINK_BYTES: usize = 16 * 1024;

/// A stream whose writes fail when the peer accepts no data for too long. Otherwise a client that asks for much and
/// reads nothing would hold its connection, and the answer in memory, forever.
///
/// The close lingers when a request's body was not read to the end. Closing a socket that still has data to read resets
/// the connection, and a client that was still sending sees the reset and not the answer. So the sending side is closed
/// first, and incoming data is discarded until the client closes too, within limits.
pub(super) struct Guarded<S> {
    stream: S,
    /// Nothing has been read yet.
    is_fresh: bool,
    /// The client has closed its sending side.
    has_ended: bool,
    owed: Owed,
    deadline: Duration,
    /// Timer that runs while a write is blocked.
    stalled: Option<Pin<Box<env::runtime::Sleep>>>,
    unread: Unread,
    /// Limits of lingering: time, and bytes that are left.
    linger: (Duration, usize),
    /// Timer that runs once the sending side is closed.
    lingers: Option<Pin<Box<env::runtime::Sleep>>>,
}

/// Whether a request body of this connection was dropped before its end.
#[derive(Debug, Clone, Default)]
pub(super) struct Unread(Arc<AtomicBool>);

/// A request body that records in its connection when it is dropped before its end.
pub(super) struct Watched<B: Body + Unpin> {
    body: B,
    unread: Unread,
    /// Present while the body is being read.
    reading: Option<Debt>,
}

impl Unread {
    /// Wraps the body, so that dropping it before its end is recorded.
    pub(super) fn watch<B: Body + Unpin>(&self, body: B, owed: &Owed) -> Watched<B> {
        Watched {
            reading: (!body.is_end_stream()).then(|| owed.body()),
            body,
            unread: self.clone(),
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Watched<B> {
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

impl<B: Body + Unpin> Drop for Watched<B> {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            self.unread.0.store(true, Ordering::Release);
        }
    }
}

impl<S> Guarded<S> {
    pub(super) fn new(stream: S, limits: &HttpLimits, unread: Unread, owed: Owed) -> Self {
        Guarded {
            stream,
            is_fresh: true,
            has_ended: false,
            owed,
            deadline: limits.write_deadline,
            stalled: None,
            unread,
            linger: (limits.linger_deadline, limits.max_linger_bytes),
            lingers: None,
        }
    }

    fn bounded<T>(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.stalled = None;
            return poll;
        }
        let deadline = self.deadline;
        let sleep = self.stalled.get_or_insert_with(|| Box::pin(env::sleep(deadline)));
        ready!(sleep.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the peer reads nothing",
        )))
    }
}

impl<S: AsyncRead + Unpin> Guarded<S> {
    /// Discards incoming data until the client closes, or until the limits of lingering are reached.
    fn throw_away(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let time = self.linger.0;
        let over = self.lingers.get_or_insert_with(|| Box::pin(env::sleep(time)));
        if over.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut sink = [0; SINK_BYTES];
        loop {
            let mut buffer = ReadBuf::new(&mut sink);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
            let read = buffer.filled().len();
            if read == 0 || read >= self.linger.1 {
                return Poll::Ready(Ok(()));
            }
            self.linger.1 -= read;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let from = buffer.filled().len();
        if !self.has_ended {
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
            self.has_ended = buffer.filled().len() == from && buffer.remaining() > 0;
        }
        if self.has_ended && self.owed.keeps_back(context) {
            return Poll::Pending;
        }
        let read = buffer.filled_mut().get_mut(from..).unwrap_or_default();
        let is_http_2 = std::mem::replace(&mut self.is_fresh, false) && read.starts_with(HTTP_2);
        if let Some(first) = read.first_mut().filter(|_| is_http_2) {
            // hyper closes the connection silently when it reads the whole preface, and answers 400 when any part of it
            // differs.
            *first = b'_';
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(context, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        self.bounded(context, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingers.is_none() {
            let poll = Pin::new(&mut self.stream).poll_shutdown(context);
            ready!(self.bounded(context, poll))?;
            if !self.unread.0.load(Ordering::Acquire) {
                return Poll::Ready(Ok(()));
            }
        }
        self.throw_away(context)
    }
}

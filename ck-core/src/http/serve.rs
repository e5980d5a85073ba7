//! The accept loop: connections are counted, bounded, given deadlines, and closed in an orderly way.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::HttpLimits;
use super::error_response::ErrorResponse;
use super::half_close::{PendingResponses, hold_until_sent};
use super::lingering_stream::{LingeringStream, UnreadBodyFlag};
use super::middleware::OverCapacity;
use crate::env;
use crate::error::ErrorCode;
use crate::net::{ConnectionIdentity, EvictionHandle, EvictionQueue, Opening, PEER_PATH, Security, Socket};

/// The maximum size of a request's head, in bytes: a key of 1 KiB, percent-encoded, and headers.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// The maximum number of headers in a request.
const MAX_HEADERS: usize = 64;
/// How long a connection in a place reserved for peers may take to send a request's head: peers send it at once.
const RESERVED_HEADER_DEADLINE: Duration = Duration::from_secs(1);
/// The pause after an accept that failed for want of file descriptors, before the next one.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Serves HTTP/1.1 on `listener` until `shutdown` completes. Then it accepts no more, lets the requests in progress
/// finish for at most [`HttpLimits::shutdown_grace`], and closes the remaining connections.
///
/// With `clients`, client connections are served on that runtime, and only connections that begin with `GET /peer`, or that
/// offer the protocol of peers in their TLS handshake, on this one. So no client request or handshake, and no number of them,
/// can keep members from communicating.
///
/// `security` says whether TLS is spoken. Each request has the [`ConnectionIdentity`] of its connection as an extension.
///
/// An upgraded connection belongs to the code that upgraded it: it no longer counts, and is not closed here.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: HttpLimits,
    security: Security,
    clients: Option<Handle>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let limits = Arc::new(limits);
    let open = Arc::new(AtomicUsize::new(0));
    let idle = EvictionQueue::new(limits.max_connections.saturating_add(limits.reserved_connections));
    let (stop, stopping) = watch::channel(false);
    let mut shutdown = pin!(shutdown);
    loop {
        // Shutdown is polled first: clients that keep connecting must not delay it.
        let accepted = match select(shutdown.as_mut(), pin!(listener.accept())).await {
            Either::Left(_) => break,
            Either::Right((accepted, _)) => accepted,
        };
        let Ok((stream, remote)) = accepted else {
            // The connection is closed already, or the system is out of file descriptors; then a loop without a pause
            // would only burn the processor.
            env::sleep(ACCEPT_RETRY_PAUSE).await;
            continue;
        };
        let count = OpenCount::add(&open);
        let mut over_capacity = count.number > limits.max_connections;
        if over_capacity {
            // If an idle connection is evicted there is room, and this connection is within capacity.
            let makes_room = idle.make_room();
            if !makes_room
                && count.number > limits.max_connections.saturating_add(limits.reserved_connections)
            {
                continue;
            }
            over_capacity = !makes_room;
        }
        let accepted = AcceptedConnection {
            remote,
            eviction: idle.enter(remote.ip()),
            count,
            over_capacity,
        };
        let (router, limits, mut stopping) = (router.clone(), limits.clone(), stopping.clone());
        let (security, clients) = (security.clone(), clients.clone());
        env::spawn(async move {
            let begun = tokio::select! {
                biased;
                () = accepted.eviction.evicted() => None,
                begun = accepted.begin(stream, &limits, &security, clients.is_some()) => begun,
                _ = stopping.wait_for(|stop| *stop) => None,
            };
            // The connection ended before its first request.
            let Some((opening, is_peer)) = begun else { return };
            let Some(clients) = clients.filter(|_| !is_peer) else {
                accepted.serve(opening, router, limits, stopping).await;
                return;
            };
            // A connection that cannot be moved to the other runtime is closed, as if it had not been accepted.
            let Ok(detached) = opening.detach() else { return };
            clients.spawn(
                async move {
                    if let Ok(opening) = detached.attach() {
                        accepted.serve(opening, router, limits, stopping).await;
                    }
                }
                .boxed(),
            );
        });
    }
    drop(listener);
    drop(stopping);
    let _ = stop.send(true);
    // Every connection holds a receiver; the channel closes with the last of them, at the latest when the grace period
    // has passed.
    stop.closed().await;
}

/// The first bytes of a peer's connection.
const PEER_REQUEST_PREFIX: &[u8] = b"GET /peer ";

/// An accepted connection, without its stream.
struct AcceptedConnection {
    remote: SocketAddr,
    eviction: EvictionHandle,
    count: OpenCount,
    over_capacity: bool,
}

impl AcceptedConnection {
    /// Reads as much of the connection as it takes to tell where it is served, and whether it is a peer's. `None` when the
    /// connection sends nothing in time, or what it must not.
    async fn begin(
        &self,
        stream: TcpStream,
        limits: &HttpLimits,
        security: &Security,
        has_clients: bool,
    ) -> Option<(Opening, bool)> {
        // Answers are written whole; Nagle's algorithm would only delay them. A failure to disable it does no harm.
        let _ = stream.set_nodelay(true);
        let beginning = async {
            let opening = security.open(Socket::new(stream)).await.ok()?;
            let is_peer = match &opening {
                Opening::Plain(socket) if has_clients => begins_as_peer(socket).await?,
                Opening::Plain(_) => false,
                Opening::Tls(opening) => opening.offers_peer_protocol(),
            };
            Some((opening, is_peer))
        };
        env::timeout(header_deadline(limits, self.over_capacity), beginning)
            .await
            .ok()?
    }

    async fn serve(
        self,
        opening: Opening,
        router: Router,
        limits: Arc<HttpLimits>,
        stopping: watch::Receiver<bool>,
    ) {
        let eviction = Arc::new(self.eviction);
        let served = ServedConnection {
            remote: self.remote,
            identity: ConnectionIdentity::default(),
            is_peer: false,
            over_capacity: self.over_capacity,
            limits,
            eviction: eviction.clone(),
        };
        tokio::select! {
            biased;
            () = eviction.evicted() => {}
            () = served.open(opening, router, stopping) => {}
        }
        drop(self.count);
    }
}

/// Peeks at the first bytes of a connection without TLS, without reading them. Peers send them in one piece. `None` when the
/// connection has broken.
async fn begins_as_peer(socket: &Socket) -> Option<bool> {
    let mut first = [0; PEER_REQUEST_PREFIX.len()];
    let count = socket.peek(&mut first).await.ok()?;
    Some(count == PEER_REQUEST_PREFIX.len() && first == *PEER_REQUEST_PREFIX)
}

/// Marks a connection as busy while an answer is pending on it: it is not evicted.
struct BusyGuard(Arc<EvictionHandle>);

impl BusyGuard {
    fn new(eviction: Arc<EvictionHandle>) -> Self {
        eviction.protect();
        BusyGuard(eviction)
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.mark_idle();
    }
}

/// Counts a connection as open for as long as this lives.
struct OpenCount {
    open: Arc<AtomicUsize>,
    number: usize,
}

impl OpenCount {
    fn add(open: &Arc<AtomicUsize>) -> Self {
        let number = open.fetch_add(1, Ordering::AcqRel) + 1;
        OpenCount {
            open: open.clone(),
            number,
        }
    }
}

impl Drop for OpenCount {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// How long a connection may take to send a request's head.
fn header_deadline(limits: &HttpLimits, over_capacity: bool) -> Duration {
    match over_capacity {
        true => limits.header_deadline.min(RESERVED_HEADER_DEADLINE),
        false => limits.header_deadline,
    }
}

/// What is known of a connection while it is served.
struct ServedConnection {
    remote: SocketAddr,
    identity: ConnectionIdentity,
    /// Only peers may upgrade it: no other request is answered.
    is_peer: bool,
    over_capacity: bool,
    limits: Arc<HttpLimits>,
    eviction: Arc<EvictionHandle>,
}

impl ServedConnection {
    /// Completes the handshake of TLS, where there is one, and serves the connection.
    async fn open(mut self, opening: Opening, router: Router, mut stopping: watch::Receiver<bool>) {
        let opening = match opening {
            Opening::Plain(socket) => return self.serve(socket, router, stopping).await,
            Opening::Tls(opening) => opening,
        };
        self.is_peer = opening.offers_peer_protocol();
        let limit = header_deadline(&self.limits, self.over_capacity);
        // Its state is large, and most connections that live long are over it.
        let finished = tokio::select! {
            biased;
            finished = env::timeout(limit, Box::pin(opening.finish())) => finished,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        // A failure is the client's doing, which has been sent an alert.
        if let Ok(Ok((stream, identity))) = finished {
            self.identity = identity;
            self.serve(stream, router, stopping).await;
        }
    }

    async fn serve<S>(self, stream: S, router: Router, mut stopping: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let ServedConnection {
            remote,
            identity,
            is_peer,
            over_capacity,
            limits,
            eviction,
        } = self;
        let (body_unread, pending) = (UnreadBodyFlag::default(), PendingResponses::default());
        let stream = LingeringStream::new(stream, &limits, body_unread.clone(), pending.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let response_guard = pending.begin_response();
            let busy = BusyGuard::new(eviction.clone());
            let mut request = request.map(|body| Body::new(body_unread.track(body, &pending)));
            request.extensions_mut().insert(ConnectInfo(remote));
            request.extensions_mut().insert(identity.clone());
            request.extensions_mut().insert(eviction.clone());
            // What a client asks for is answered by the runtime for clients, so a client must not say that it is a peer.
            let is_misplaced = is_peer && request.uri().path() != PEER_PATH;
            let responding = (!is_misplaced)
                .then(|| respond(TowerToHyperService::new(router.clone()), request, over_capacity));
            async move {
                let response = match responding {
                    Some(responding) => responding.await,
                    None => Ok(misplaced()),
                };
                response.map(|response| hold_until_sent(response, response_guard, busy))
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_deadline(&limits, over_capacity))
            .max_header_size(MAX_HEAD_BYTES)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        // An error that ends a connection early is the client's doing, and the client sees it.
        let is_stopping = match select(connection.as_mut(), pin!(stopping.wait_for(|stop| *stop))).await {
            Either::Left(_) => return,
            Either::Right((stop, _)) => stop.is_ok(),
        };
        if is_stopping {
            connection.as_mut().graceful_shutdown();
            let _ = env::timeout(limits.shutdown_grace, connection).await;
        }
    }
}

/// The answer to a request of a client over a connection that offered the protocol of peers.
fn misplaced() -> Response {
    let message = format!("a connection with the protocol of peers knows only {PEER_PATH}");
    let mut response = ErrorResponse::new(ErrorCode::NotFound, message).into_response();
    let close = header::HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

async fn respond(
    router: TowerToHyperService<Router>,
    mut request: Request<Body>,
    over_capacity: bool,
) -> Result<Response, Infallible> {
    if over_capacity {
        request.extensions_mut().insert(OverCapacity);
    }
    let mut response = router.call(request).await?;
    // A connection beyond the limit serves only one request, because room is scarce; an upgrade keeps its own header.
    if over_capacity && !response.headers().contains_key(header::CONNECTION) {
        let close = header::HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    Ok(response)
}

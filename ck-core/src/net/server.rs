//! The server for peers: takes connections from an HTTP server, or from a listener of its own.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::byte_budget::ByteBudget;
use super::frame_check::FrameCheck;
use super::incoming_connection::{ClosingReason, IncomingConnection, ServerStage};
use super::security::{CODE_LEN, ProvedKeys};
use super::{
    ConnectionIdentity, EvictionHandle, EvictionQueue, Handler, Lane, LocalIdentity, NetLimits, Opening,
    PEER_PATH, PeerConnection, PeerStream, Security, Socket, handshake,
};
use crate::env;
use crate::error::{Error, ErrorCode, Result};

/// Connections of a listener that may be in their handshake at once; a further one evicts another.
const MAX_HANDSHAKES: usize = 256;
/// How long connections may take to end after the server has closed them.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause after an accept that failed for want of file descriptors, which would fail again at once.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Serves peers. Clones are the same server.
///
/// It takes connections in two ways: [`PeerServer::upgrade`] inside an HTTP server's route for [`PEER_PATH`], and
/// [`PeerServer::listen`] for a port of its own.
#[derive(Clone)]
pub struct PeerServer {
    inner: Arc<PeerServerInner>,
}

struct PeerServerInner {
    cluster: String,
    handler: Handler,
    limits: NetLimits,
    security: Security,
    identity: Arc<LocalIdentity>,
    /// One permit for each connection.
    connections: Arc<Semaphore>,
    /// The unproven connections: no member has called over them yet.
    unproven: EvictionQueue,
    /// The connections of our own listener whose handshake is not complete.
    handshaking: EvictionQueue,
    budget: ByteBudget,
    stage: watch::Sender<ServerStage>,
}

impl fmt::Debug for PeerServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerServer")
            .field("cluster", &self.inner.cluster)
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

impl PeerServer {
    /// A server for the peers of one cluster. `cluster` is its name; peers of another are refused. `identity` is this node's.
    pub fn new(
        cluster: impl Into<String>,
        handler: Handler,
        limits: NetLimits,
        security: Security,
        identity: Arc<LocalIdentity>,
    ) -> Self {
        let connections = Arc::new(Semaphore::new(limits.max_connections as usize));
        PeerServer {
            inner: Arc::new(PeerServerInner {
                cluster: cluster.into(),
                handler,
                unproven: EvictionQueue::new(limits.max_unproven as usize),
                handshaking: EvictionQueue::new(MAX_HANDSHAKES),
                budget: ByteBudget::new(&limits),
                limits,
                security,
                identity,
                connections,
                stage: watch::Sender::new(ServerStage::Serving),
            }),
        }
    }

    /// Number of connections that are served.
    pub fn connections(&self) -> usize {
        (self.inner.limits.max_connections as usize)
            .saturating_sub(self.inner.connections.available_permits())
    }

    /// Answers `GET /peer` with 101 or with a refusal. After a 101 was sent, the connection is served in the background.
    ///
    /// `remote` is the caller's address. The HTTP server must serve with upgrades (as axum does)
    /// and should set TCP_NODELAY on the connections that it accepts. Where it speaks TLS, the request has the
    /// [`ConnectionIdentity`] among its extensions. A caller that proves nothing is answered late; meanwhile its connection may
    /// be evicted by the [`EvictionHandle`] among the extensions.
    pub async fn upgrade<B: Send>(
        &self,
        request: &mut Request<B>,
        remote: SocketAddr,
    ) -> Response<Full<Bytes>> {
        let inner = &self.inner;
        match self.accept(request, remote) {
            Ok(proof) => handshake::accept(&inner.cluster, &inner.identity, proof.as_deref()),
            Err(error) => {
                if error.code() == ErrorCode::Unauthenticated {
                    let eviction = request.extensions().get::<Arc<EvictionHandle>>().cloned();
                    let failed = inner.security.failed_proofs();
                    failed
                        .delay("peer", remote.ip(), error.message(), eviction.as_deref())
                        .await;
                }
                handshake::refuse(&error)
            }
        }
    }

    /// Gives this node's proof, where the caller asks for it.
    fn accept<B>(&self, request: &mut Request<B>, remote: SocketAddr) -> Result<Option<String>> {
        let inner = &self.inner;
        let hello = handshake::read_hello(request, &inner.cluster)?;
        // Without one, the connection has no TLS.
        let connection = request.extensions().get::<ConnectionIdentity>();
        let connection = connection.cloned().unwrap_or_default();
        inner.security.check_caller(&hello, &connection)?;
        let (security, identity) = (&inner.security, &inner.identity);
        let (proof, pending) =
            handshake::answer_proof(request, &hello, security, identity, &connection)?.unzip();
        if *inner.stage.borrow() != ServerStage::Serving {
            return Err(Error::new(ErrorCode::Busy, "this node is stopping"));
        }
        let permit = inner.connections.clone().try_acquire_owned().ok();
        if permit.is_none() && !inner.unproven.make_room() {
            let message = format!("{} peer connections are open", inner.limits.max_connections);
            return Err(Error::new(ErrorCode::Busy, message));
        }
        let upgrade = hyper::upgrade::on(request);
        let server = self.clone();
        env::spawn(async move {
            let inner = &server.inner;
            let handle = inner.unproven.enter(remote.ip());
            let handshake = async {
                // Without a permit, another connection was evicted for this one, and its permit becomes free.
                let permit = match permit {
                    Some(permit) => permit,
                    None => inner.connections.clone().acquire_owned().await.ok()?,
                };
                let upgraded = upgrade.await.ok()?;
                let mut stream: Box<dyn PeerStream> = Box::new(TokioIo::new(upgraded));
                let keys = match pending {
                    Some(pending) => {
                        let keys = pending.check(&read_code(&mut stream).await?);
                        if keys.is_none() {
                            let failed = inner.security.failed_proofs();
                            failed.note("peer", remote.ip(), "its code is wrong");
                        }
                        Some(keys?)
                    }
                    None => None,
                };
                Some((permit, stream, keys))
            };
            if let Ok(Some((permit, stream, keys))) =
                env::timeout(inner.limits.handshake_timeout, handshake).await
            {
                let connection =
                    PeerConnection::of(hello.principal(keys.as_ref().map(|keys| keys.id.clone())));
                let connection = Arc::new(connection.at(remote));
                server.serve(stream, hello.lane, connection, keys, handle).await;
                drop(permit);
            }
        });
        Ok(proof)
    }

    /// Serves a connection whose handshake is complete, until it ends, its key is revoked, or it is evicted while it is
    /// unproven.
    async fn serve(
        &self,
        stream: Box<dyn PeerStream>,
        lane: Lane,
        connection: Arc<PeerConnection>,
        keys: Option<ProvedKeys>,
        handle: EvictionHandle,
    ) {
        let inner = &self.inner;
        let key_id = keys.as_ref().map(|keys| keys.id.clone());
        let _counted = match (inner.security.keyring(), &key_id) {
            (Some(keyring), Some(id)) => keyring.count_connection(id),
            _ => None,
        };
        let evicted = async {
            tokio::select! {
                biased;
                () = connection.wait_proven() => {
                    handle.protect();
                    std::future::pending().await
                }
                () = handle.evicted() => {}
            }
        };
        let revoked = async {
            match (inner.security.keyring(), &key_id) {
                (Some(keyring), Some(id)) => keyring.wait_revoked(id).await,
                _ => std::future::pending().await,
            }
        };
        let closing = async {
            tokio::select! {
                biased;
                () = evicted => ClosingReason::Evicted,
                () = revoked => ClosingReason::Revoked,
            }
        };
        let (reading, writing) = match keys {
            Some(keys) => (keys.from_caller, keys.from_server),
            None => (FrameCheck::Checksum, FrameCheck::Checksum),
        };
        let incoming = IncomingConnection {
            stream,
            reading,
            writing,
            lane,
            connection: connection.clone(),
            handler: inner.handler.clone(),
        };
        incoming
            .serve(&inner.limits, &inner.budget, inner.stage.subscribe(), closing)
            .await;
    }

    /// Accepts peers on a listener in the background, until [`PeerServer::close`]. The listener serves no other path than
    /// [`PEER_PATH`].
    pub fn listen(&self, listener: TcpListener) {
        let server = self.clone();
        env::spawn(async move {
            let mut stage = server.inner.stage.subscribe();
            tokio::select! {
                biased;
                _ = stage.wait_for(|stage| *stage != ServerStage::Serving) => {}
                () = server.accept_all(listener) => {}
            }
        });
    }

    async fn accept_all(&self, listener: TcpListener) {
        loop {
            let Ok((stream, remote)) = listener.accept().await else {
                // The connection is closed already, or the process has no file descriptor left. Both are temporary.
                env::sleep(ACCEPT_RETRY_PAUSE).await;
                continue;
            };
            let server = self.clone();
            let handle = self.inner.handshaking.enter(remote.ip());
            env::spawn(async move {
                tokio::select! {
                    biased;
                    () = handle.evicted() => {}
                    () = server.serve_handshake(stream, remote) => {}
                }
            });
        }
    }

    /// Serves the HTTP part of a connection of our own listener: one request.
    async fn serve_handshake(&self, stream: TcpStream, remote: SocketAddr) {
        let limit = self.inner.limits.handshake_timeout;
        let serving = async {
            let opening = self.inner.security.open(Socket::between_peers(stream));
            let (stream, connection): (Box<dyn PeerStream>, _) = match opening.await.ok()? {
                Opening::Plain(stream) => (Box::new(stream), ConnectionIdentity::default()),
                Opening::Tls(opening) => {
                    let (stream, connection) = opening.finish().await.ok()?;
                    (Box::new(stream), connection)
                }
            };
            let service = service_fn(|mut request: Request<hyper::body::Incoming>| {
                request.extensions_mut().insert(connection.clone());
                async move {
                    let response = if request.uri().path() == PEER_PATH {
                        self.upgrade(&mut request, remote).await
                    } else {
                        handshake::refuse(&Error::new(
                            ErrorCode::NotFound,
                            format!("this port knows only {PEER_PATH}, for peers"),
                        ))
                    };
                    Ok::<_, Infallible>(response)
                }
            });
            hyper::server::conn::http1::Builder::new()
                .max_buf_size(handshake::MAX_HEAD_BYTES)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
                .await
                .ok()
        };
        // A failure ends the connection, and the caller sees that.
        let _ = env::timeout(limit, serving).await;
    }

    /// Takes no further connections and requests, waits up to `grace` for the answers to requests in flight, then
    /// closes every connection. Callers are notified, so that their next request uses a new connection.
    pub async fn close(&self, grace: Duration) {
        let all = self.inner.limits.max_connections;
        self.inner.stage.send_if_modified(|stage| {
            let serving = *stage == ServerStage::Serving;
            *stage = (*stage).max(ServerStage::Draining);
            serving
        });
        let _ = env::timeout(grace, self.inner.connections.acquire_many(all)).await;
        self.inner.stage.send_replace(ServerStage::Closed);
        let _ = env::timeout(CLOSE_TIMEOUT, self.inner.connections.acquire_many(all)).await;
    }
}

/// Reads the caller's code, which comes before its first frame; `None` where the connection ends before.
async fn read_code(stream: &mut Box<dyn PeerStream>) -> Option<[u8; CODE_LEN]> {
    let mut code = [0; CODE_LEN];
    stream.read_exact(&mut code).await.ok()?;
    Some(code)
}

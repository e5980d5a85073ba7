//! The answering end: connections taken from an HTTP server or from a listener of their own.

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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::budget::Budget;
use super::serve::{Stage, serve};
use super::{Crowd, Handler, NetLimits, PEER_PATH, PeerInfo, PeerStream, Place, Security, Socket, handshake};
use crate::env;
use crate::error::{Error, ErrorCode, Result};

/// Connections of a listener that may be in their handshake at once; one more takes the place of another.
const MAX_HANDSHAKES: usize = 256;
/// How long connections that were told to go may take to be gone.
const LAST_CALL: Duration = Duration::from_secs(1);
/// The pause after an accept that failed for want of file descriptors, which would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves peers. Clones share connections, counts and their end.
///
/// Two ways in: [`PeerServer::upgrade`] inside an HTTP server's route for [`PEER_PATH`], and
/// [`PeerServer::listen`] for a port of its own.
#[derive(Clone)]
pub struct PeerServer {
    shared: Arc<Shared>,
}

struct Shared {
    cluster: String,
    handler: Handler,
    limits: NetLimits,
    security: Arc<dyn Security>,
    /// One permit for each connection.
    connections: Arc<Semaphore>,
    /// Those over which no member has called yet.
    unproven: Crowd,
    /// Those whose handshake is under way on a listener of our own.
    greeted: Crowd,
    budget: Budget,
    stage: watch::Sender<Stage>,
}

impl fmt::Debug for PeerServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerServer")
            .field("cluster", &self.shared.cluster)
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

impl PeerServer {
    /// A server for the peers of one cluster. `cluster` is its name; peers of another are refused.
    pub fn new(
        cluster: impl Into<String>,
        handler: Handler,
        limits: NetLimits,
        security: Arc<dyn Security>,
    ) -> Self {
        let connections = Arc::new(Semaphore::new(limits.max_connections as usize));
        PeerServer {
            shared: Arc::new(Shared {
                cluster: cluster.into(),
                handler,
                unproven: Crowd::new(limits.max_unproven as usize),
                greeted: Crowd::new(MAX_HANDSHAKES),
                budget: Budget::new(&limits),
                limits,
                security,
                connections,
                stage: watch::Sender::new(Stage::Serving),
            }),
        }
    }

    /// How many connections are served at this moment.
    pub fn connections(&self) -> usize {
        (self.shared.limits.max_connections as usize)
            .saturating_sub(self.shared.connections.available_permits())
    }

    /// Answers `GET /peer`: the response to send, 101 or a refusal. When it was sent, the connection is
    /// served in the background.
    ///
    /// `remote` is the caller's address. The HTTP server must serve with upgrades (axum does)
    /// and should set TCP_NODELAY on the connections that it accepts.
    pub fn upgrade<B>(&self, request: &mut Request<B>, remote: SocketAddr) -> Response<Full<Bytes>> {
        match self.accept(request, remote) {
            Ok(()) => handshake::accept(&self.shared.cluster),
            Err(error) => handshake::refuse(&error),
        }
    }

    fn accept<B>(&self, request: &mut Request<B>, remote: SocketAddr) -> Result<()> {
        let shared = &self.shared;
        let hello = handshake::read_hello(request, &shared.cluster)?;
        if *shared.stage.borrow() != Stage::Serving {
            return Err(Error::new(ErrorCode::Busy, "this node is stopping"));
        }
        let permit = shared.connections.clone().try_acquire_owned().ok();
        if permit.is_none() && !shared.unproven.make_room() {
            let message = format!("{} peer connections are open", shared.limits.max_connections);
            return Err(Error::new(ErrorCode::Busy, message));
        }
        let upgrade = hyper::upgrade::on(request);
        let server = self.clone();
        env::spawn(async move {
            let shared = &server.shared;
            let place = shared.unproven.enter(remote.ip());
            let info = PeerInfo {
                remote: remote.to_string(),
                lane: hello.lane,
                connection: Arc::default(),
            };
            let greet = async {
                // Somebody was told to make room for this one.
                let permit = match permit {
                    Some(permit) => permit,
                    None => shared.connections.clone().acquire_owned().await.ok()?,
                };
                let upgraded = upgrade.await.ok()?;
                let stream: Box<dyn PeerStream> = Box::new(TokioIo::new(upgraded));
                let stream = shared.security.verify(stream, &hello).await.ok()?;
                Some((permit, stream))
            };
            if let Ok(Some((permit, stream))) = env::timeout(shared.limits.handshake_timeout, greet).await {
                server.serve(stream, info, place).await;
                drop(permit);
            }
        });
        Ok(())
    }

    /// Serves a connection that is past its handshake until it ends, or has to make room before a member has called.
    async fn serve(&self, stream: Box<dyn PeerStream>, info: PeerInfo, place: Place) {
        let shared = &self.shared;
        let connection = info.connection.clone();
        let evicted = async {
            tokio::select! {
                biased;
                () = connection.proved() => {
                    place.is_of_use();
                    std::future::pending().await
                }
                () = place.evicted() => {}
            }
        };
        serve(
            stream,
            info,
            shared.handler.clone(),
            &shared.limits,
            &shared.budget,
            shared.stage.subscribe(),
            evicted,
        )
        .await;
    }

    /// Accepts peers on a listener in the background, until [`PeerServer::close`]. Nothing but
    /// [`PEER_PATH`] is found there.
    pub fn listen(&self, listener: TcpListener) {
        let server = self.clone();
        env::spawn(async move {
            let mut stage = server.shared.stage.subscribe();
            tokio::select! {
                biased;
                _ = stage.wait_for(|stage| *stage != Stage::Serving) => {}
                () = server.accept_all(listener) => {}
            }
        });
    }

    async fn accept_all(&self, listener: TcpListener) {
        loop {
            let Ok((stream, remote)) = listener.accept().await else {
                // Of a connection that is gone already, or for want of descriptors: both pass.
                env::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let server = self.clone();
            let place = self.shared.greeted.enter(remote.ip());
            env::spawn(async move {
                tokio::select! {
                    biased;
                    () = place.evicted() => {}
                    () = server.greet(stream, remote) => {}
                }
            });
        }
    }

    /// The HTTP part of a connection from a listener of our own: one request.
    async fn greet(&self, stream: TcpStream, remote: SocketAddr) {
        let limit = self.shared.limits.handshake_timeout;
        let greeting = async {
            let stream = self
                .shared
                .security
                .incoming(Socket::between_peers(stream))
                .await
                .ok()?;
            let service = service_fn(|mut request: Request<hyper::body::Incoming>| {
                let response = if request.uri().path() == PEER_PATH {
                    self.upgrade(&mut request, remote)
                } else {
                    handshake::refuse(&Error::new(
                        ErrorCode::NotFound,
                        format!("this port knows only {PEER_PATH}, for peers"),
                    ))
                };
                std::future::ready(Ok::<_, Infallible>(response))
            });
            hyper::server::conn::http1::Builder::new()
                .max_buf_size(handshake::MAX_HEAD)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
                .await
                .ok()
        };
        // A failure is the caller's to see; here it only ends the connection.
        let _ = env::timeout(limit, greeting).await;
    }

    /// Takes no more connections and requests, waits up to `grace` for the answers to those under way, then
    /// closes every connection. Callers are told, so that their next request goes to a new connection.
    pub async fn close(&self, grace: Duration) {
        let all = self.shared.limits.max_connections;
        self.shared.stage.send_if_modified(|stage| {
            let serving = *stage == Stage::Serving;
            *stage = (*stage).max(Stage::Draining);
            serving
        });
        let _ = env::timeout(grace, self.shared.connections.acquire_many(all)).await;
        self.shared.stage.send_replace(Stage::Closed);
        let _ = env::timeout(LAST_CALL, self.shared.connections.acquire_many(all)).await;
    }
}

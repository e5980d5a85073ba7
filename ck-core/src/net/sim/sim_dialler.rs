//! Dialling over the simulated network: what [`TcpDialler`](crate::net::dial::TcpDialler) does over TCP.

use std::fmt;
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::stream::{FIRST_RETRANSMISSION_DELAY, SimStream};
use super::{Lane, SimNetworkInner};
use crate::env;
use crate::error::{Error, ErrorCode, Result};
use crate::net::byte_budget::ByteBudget;
use crate::net::dial::{AttemptProgress, race};
use crate::net::frame_check::FrameCheck;
use crate::net::incoming_connection::IncomingConnection;
use crate::net::outgoing_connection::ReadyStream;
use crate::net::pool_slot::{Dial, DialledStream, Introduction};
use crate::net::resolver_cache::{ResolvedRecords, ResolverCache};
use crate::net::security::{Offer, answer};
use crate::net::{Hello, LocalIdentity, NetLimits, PeerConnection, Principal};

/// How long a kernel waits for the answer to the first packet of a connection before it sends it again; the wait doubles
/// each time.
const SYN_RETRANSMISSION_DELAY: std::time::Duration = std::time::Duration::from_secs(1);

pub(super) struct SimDialler {
    pub(super) network: Arc<SimNetworkInner>,
    pub(super) local_addr: String,
    pub(super) resolver: Arc<ResolverCache<String>>,
    pub(super) limits: NetLimits,
    pub(super) identity: Arc<OnceLock<Arc<LocalIdentity>>>,
}

impl fmt::Debug for SimDialler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDialler")
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}

impl Dial for SimDialler {
    fn dial<'a>(&'a self, addr: &'a str, lane: Lane) -> BoxFuture<'a, Result<DialledStream>> {
        async move {
            let found = self.resolve(addr).await?;
            let hello = Hello::new("simulated", lane, self.identity());
            let attempt = |record, progress| self.attempt(record, &hello, progress);
            let (record, stream) = race(found.records.into(), &self.limits, attempt).await?;
            self.resolver.report_success(addr, &record);
            Ok(DialledStream {
                stream,
                raft_id: hello.raft_id,
                stale_record: found.stale.then_some(record),
            })
        }
        .boxed()
    }

    fn resolves_to<'a>(&'a self, addr: &'a str, record: &'a str) -> BoxFuture<'a, Option<bool>> {
        async move { self.resolver.resolves_to(addr, &record.to_owned()).await }.boxed()
    }

    fn limits(&self) -> &NetLimits {
        &self.limits
    }

    fn is_current(&self, introduction: &Introduction) -> bool {
        introduction.raft_id == self.identity().raft_id()
    }
}

/// The checks of the frames on a connection, for both ends.
struct Checks {
    here: (FrameCheck, FrameCheck),
    there: (FrameCheck, FrameCheck),
    /// Who the caller has proved to be.
    principal: Option<Principal>,
}

impl SimDialler {
    fn identity(&self) -> &LocalIdentity {
        self.identity.get_or_init(Arc::default)
    }

    /// Both ends prove themselves, where the network is secured: what `handshake` does over TCP. A program that is no node
    /// does not know the secret.
    fn prove(&self, hello: &Hello, addr: &str) -> Result<Checks> {
        let security = self.network.state.lock().security.clone();
        let Some(keyring) = security.keyring() else {
            return Ok(Checks {
                here: (FrameCheck::Checksum, FrameCheck::Checksum),
                there: (FrameCheck::Checksum, FrameCheck::Checksum),
                principal: hello.principal(None),
            });
        };
        let refused = || {
            Error::new(
                ErrorCode::Unauthenticated,
                format!("{addr}: the caller proves nothing"),
            )
        };
        if hello.node.is_empty() {
            return Err(refused());
        }
        let offer = Offer::new(keyring);
        let (answered, pending) = answer(keyring, hello, addr, &offer.header(), &[])?;
        let (code, here) = offer.check_answer(hello, addr, &answered, &[])?;
        let there = pending.check(&code).ok_or_else(refused)?;
        Ok(Checks {
            principal: hello.principal(Some(there.id)),
            here: (here.from_server, here.from_caller),
            there: (there.from_caller, there.from_server),
        })
    }

    /// The records of `addr`, which is an address itself if the network has no such name.
    async fn resolve(&self, addr: &str) -> Result<ResolvedRecords<String>> {
        let is_name = self.network.state.lock().names.contains_key(addr);
        if is_name {
            return self.resolver.resolve(addr).await;
        }
        Ok(ResolvedRecords {
            records: vec![addr.to_owned()],
            stale: false,
        })
    }

    async fn attempt(&self, addr: String, hello: &Hello, progress: AttemptProgress) -> Result<ReadyStream> {
        let lane = hello.lane;
        let unreachable = |why: &str| Error::new(ErrorCode::Unreachable, format!("{addr}: {why}"));
        let connecting = async {
            let mut pause = SYN_RETRANSMISSION_DELAY;
            while !self.packet_round_trip(&addr, lane).await {
                env::sleep(pause).await;
                pause *= 2;
            }
        };
        let limit = self.limits.connect_timeout;
        if env::timeout(limit, connecting).await.is_err() {
            return Err(unreachable("no connection"));
        }
        let Some(server) = self.network.state.lock().servers.get(&addr).cloned() else {
            self.network.state.lock().stats.refused += 1;
            return Err(unreachable("connection refused"));
        };
        progress.connected();
        // The upgrade: a request and its answer, over the connection.
        let upgrading = async {
            let mut pause = FIRST_RETRANSMISSION_DELAY;
            while !self.packet_round_trip(&addr, lane).await {
                env::sleep(pause).await;
                pause *= 2;
            }
            // The other process answers when it runs.
            server.wait_running().await;
        };
        if env::timeout(self.limits.handshake_timeout, upgrading)
            .await
            .is_err()
        {
            return Err(Error::new(
                ErrorCode::Busy,
                format!("{addr}: it accepts connections, but did not answer the handshake"),
            ));
        }
        let checks = self.prove(hello, &addr)?;
        let key_id = checks
            .principal
            .as_ref()
            .and_then(|principal| principal.key_id.clone());
        let (here, there) = self.network.open_flow(&self.local_addr, &addr, lane);
        server.serve_stream(lane, there, checks.there, checks.principal, self.limits.clone());
        let (reading, writing) = checks.here;
        Ok(ReadyStream {
            stream: Box::new(here),
            key_id,
            reading,
            writing,
        })
    }

    /// A packet without data to `addr`, and its answer; false when either is lost.
    async fn packet_round_trip(&self, addr: &str, lane: Lane) -> bool {
        let (network, local, addr) = (self.network.clone(), self.local_addr.clone(), addr.to_owned());
        let journey = async move {
            network.packet(&local, &addr, lane).await && network.packet(&addr, &local, lane).await
        };
        // The packets belong to the network, not to the process that sends them: they travel while it is paused.
        env::sim_process::outside(|| env::spawn(journey))
            .await
            .unwrap_or(false)
    }
}

impl super::SimServer {
    /// Waits until the process of the server runs.
    async fn wait_running(&self) {
        if let Some(sim_process) = &self.sim_process {
            sim_process.wrap(std::future::ready(())).await;
        }
    }

    /// Serves a connection in the process of the server.
    fn serve_stream(
        &self,
        lane: Lane,
        stream: SimStream,
        (reading, writing): (FrameCheck, FrameCheck),
        principal: Option<Principal>,
        limits: NetLimits,
    ) {
        let (handler, stage) = (self.handler.clone(), self.stage.subscribe());
        let serving = async move {
            let incoming = IncomingConnection {
                stream: Box::new(stream),
                reading,
                writing,
                lane,
                connection: Arc::new(PeerConnection::of(principal)),
                handler,
            };
            // Connections are not evicted here, and each has a budget of its own.
            let (budget, never_evicted) = (ByteBudget::new(&limits), std::future::pending());
            incoming.serve(&limits, &budget, stage, never_evicted).await;
        };
        match &self.sim_process {
            Some(sim_process) => drop(sim_process.enter(|| env::spawn(serving))),
            None => drop(env::spawn(serving)),
        }
    }
}

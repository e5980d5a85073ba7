//! Dialling over the simulated network: what [`TcpDialler`](crate::net::dial::TcpDialler) does over TCP.

use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::stream::{FIRST_RETRANSMISSION_DELAY, SimStream};
use super::{Lane, SimNetworkInner};
use crate::env;
use crate::error::{Error, ErrorCode, Result};
use crate::net::byte_budget::ByteBudget;
use crate::net::dial::{AttemptProgress, race};
use crate::net::incoming_connection::IncomingConnection;
use crate::net::pool_slot::{Dial, DialledStream};
use crate::net::resolver_cache::{ResolvedRecords, ResolverCache};
use crate::net::{NetLimits, PeerStream};

/// How long a kernel waits for the answer to the first packet of a connection before it sends it again; the wait doubles
/// each time.
const SYN_RETRANSMISSION_DELAY: std::time::Duration = std::time::Duration::from_secs(1);

pub(super) struct SimDialler {
    pub(super) network: Arc<SimNetworkInner>,
    pub(super) local_addr: String,
    pub(super) resolver: Arc<ResolverCache<String>>,
    pub(super) limits: NetLimits,
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
            let attempt = |record, progress| self.attempt(record, lane, progress);
            let (record, stream) = race(found.records.into(), &self.limits, attempt).await?;
            self.resolver.report_success(addr, &record);
            Ok(DialledStream {
                stream,
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
}

impl SimDialler {
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

    async fn attempt(
        &self,
        addr: String,
        lane: Lane,
        progress: AttemptProgress,
    ) -> Result<Box<dyn PeerStream>> {
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
        let (here, there) = self.network.open_flow(&self.local_addr, &addr, lane);
        server.serve_stream(lane, there, self.limits.clone());
        Ok(Box::new(here))
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
    fn serve_stream(&self, lane: Lane, stream: SimStream, limits: NetLimits) {
        let (handler, stage) = (self.handler.clone(), self.stage.subscribe());
        let serving = async move {
            let incoming = IncomingConnection {
                stream: Box::new(stream),
                lane,
                connection: Arc::default(),
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

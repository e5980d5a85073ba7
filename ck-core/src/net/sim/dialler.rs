//! Dialling over the simulated network: what [`Dialler`](crate::net::dial::Dialler) does over TCP.

use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::stream::{FIRST_RETRANSMISSION, SimStream};
use super::{Lane, Shared};
use crate::env;
use crate::error::{Error, ErrorCode, Result};
use crate::net::budget::Budget;
use crate::net::dial::{Progress, race};
use crate::net::link::{Dial, Dialled};
use crate::net::names::{Names, Records};
use crate::net::serve::serve;
use crate::net::{NetLimits, PeerInfo, PeerStream};

/// How long a kernel waits for an answer to the first packet of a connection; twice as long each time after.
const SYN_RETRANSMISSION: std::time::Duration = std::time::Duration::from_secs(1);

pub(super) struct SimDialler {
    pub(super) network: Arc<Shared>,
    pub(super) local_addr: String,
    pub(super) names: Arc<Names<String>>,
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
    fn dial<'a>(&'a self, addr: &'a str, lane: Lane) -> BoxFuture<'a, Result<Dialled>> {
        async move {
            let found = self.resolve(addr).await?;
            let attempt = |record, progress| self.attempt(record, lane, progress);
            let (record, stream) = race(found.records.into(), &self.limits, attempt).await?;
            self.names.worked(addr, &record);
            Ok(Dialled {
                stream,
                remembered: found.remembered.then_some(record),
            })
        }
        .boxed()
    }

    fn leads_to<'a>(&'a self, addr: &'a str, record: &'a str) -> BoxFuture<'a, Option<bool>> {
        async move { self.names.leads_to(addr, &record.to_owned()).await }.boxed()
    }

    fn limits(&self) -> &NetLimits {
        &self.limits
    }
}

impl SimDialler {
    /// What is no name is an address.
    async fn resolve(&self, addr: &str) -> Result<Records<String>> {
        let is_name = self.network.world.lock().names.contains_key(addr);
        if is_name {
            return self.names.resolve(addr).await;
        }
        Ok(Records {
            records: vec![addr.to_owned()],
            remembered: false,
        })
    }

    async fn attempt(&self, addr: String, lane: Lane, progress: Progress) -> Result<Box<dyn PeerStream>> {
        let unreachable = |why: &str| Error::new(ErrorCode::Unreachable, format!("{addr}: {why}"));
        let connecting = async {
            let mut pause = SYN_RETRANSMISSION;
            while !self.there_and_back(&addr, lane).await {
                env::sleep(pause).await;
                pause *= 2;
            }
        };
        let limit = self.limits.connect_timeout;
        if env::timeout(limit, connecting).await.is_err() {
            return Err(unreachable("no connection"));
        }
        let Some(server) = self.network.world.lock().servers.get(&addr).cloned() else {
            self.network.world.lock().stats.refused += 1;
            return Err(unreachable("nobody is there"));
        };
        progress.connected();
        // The upgrade: a request and its answer, on the connection that stands now.
        let upgrading = async {
            let mut pause = FIRST_RETRANSMISSION;
            while !self.there_and_back(&addr, lane).await {
                env::sleep(pause).await;
                pause *= 2;
            }
            // The other process takes it when it runs.
            server.awake().await;
        };
        if env::timeout(self.limits.handshake_timeout, upgrading)
            .await
            .is_err()
        {
            return Err(Error::new(
                ErrorCode::Busy,
                format!("{addr}: it takes connections, and did not answer the handshake"),
            ));
        }
        let (here, there) = self.network.open_flow(&self.local_addr, &addr, lane);
        server.take(self.local_addr.clone(), lane, there, self.limits.clone());
        Ok(Box::new(here))
    }

    /// A packet without data to `addr`, and its answer; false when either is lost.
    async fn there_and_back(&self, addr: &str, lane: Lane) -> bool {
        let (network, local, addr) = (self.network.clone(), self.local_addr.clone(), addr.to_owned());
        let journey = async move {
            network.packet(&local, &addr, lane).await && network.packet(&addr, &local, lane).await
        };
        // The network's doing, on its own clock.
        env::sim_process::outside(|| env::spawn(journey))
            .await
            .unwrap_or(false)
    }
}

impl super::Server {
    /// Waits until its process runs.
    async fn awake(&self) {
        if let Some(sim_process) = &self.sim_process {
            sim_process.wrap(std::future::ready(())).await;
        }
    }

    /// Serves a connection in the server's own process.
    fn take(&self, remote: String, lane: Lane, stream: SimStream, limits: NetLimits) {
        let (handler, stage) = (self.handler.clone(), self.stage.subscribe());
        let serving = async move {
            let info = PeerInfo {
                remote,
                lane,
                connection: Arc::default(),
            };
            // Nobody makes room for another here, and everybody may be a peer.
            let (budget, enough) = (Budget::new(&limits), std::future::pending());
            serve(Box::new(stream), info, handler, &limits, &budget, stage, enough).await;
        };
        match &self.sim_process {
            Some(sim_process) => drop(sim_process.enter(|| env::spawn(serving))),
            None => drop(env::spawn(serving)),
        }
    }
}

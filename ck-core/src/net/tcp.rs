//! The real transport: one pooled connection per address and lane.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::dial::{Dialler, SystemLookup};
use super::names::Names;
use super::pool::Pool;
use super::{Lane, NetLimits, Plaintext, Security, Transport};
use crate::error::Result;

/// Calls peers over TCP.
pub struct TcpTransport {
    dialler: Arc<Dialler>,
    pool: Pool,
}

impl fmt::Debug for TcpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpTransport")
            .field("cluster", &self.dialler.cluster)
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

impl TcpTransport {
    /// A transport for one cluster, by its name.
    pub fn new(cluster: impl Into<String>, limits: NetLimits, security: Arc<dyn Security>) -> Self {
        let dialler = Arc::new(Dialler {
            cluster: cluster.into(),
            names: Names::new(Arc::new(SystemLookup), limits.connect_timeout),
            limits,
            security,
        });
        TcpTransport {
            pool: Pool::new(dialler.clone()),
            dialler,
        }
    }

    /// A transport with the default bounds, without encryption or proof.
    pub fn plaintext(cluster: impl Into<String>) -> Self {
        TcpTransport::new(cluster, NetLimits::default(), Arc::new(Plaintext))
    }

    /// How many connections stand at this moment.
    pub fn connections(&self) -> usize {
        self.pool.connections()
    }
}

impl Transport for TcpTransport {
    fn resolve<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, Vec<String>> {
        async move {
            match self.dialler.resolve(addr).await {
                Ok(found) if found.records.len() > 1 => {
                    found.records.iter().map(ToString::to_string).collect()
                }
                // One record is dialled by its name, which may lead elsewhere tomorrow. No record is a failure
                // that the call reports.
                Ok(_) | Err(_) => vec![addr.to_owned()],
            }
        }
        .boxed()
    }

    fn reach<'a>(&'a self, addr: &'a str, lane: Lane, timeout: Duration) -> BoxFuture<'a, Result<()>> {
        self.pool.reach(addr, lane, timeout)
    }

    fn call(
        &self,
        addr: &str,
        lane: Lane,
        request: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Bytes>> {
        self.pool.call(addr, lane, request, timeout)
    }

    fn close(&self) {
        self.pool.close();
    }
}

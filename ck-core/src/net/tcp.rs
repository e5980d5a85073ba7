//! The real transport: one pooled connection per address and lane.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::connection_pool::ConnectionPool;
use super::dial::{SystemLookup, TcpDialler};
use super::resolver_cache::ResolverCache;
use super::{Lane, LocalIdentity, NetLimits, Security, Transport};
use crate::error::Result;

/// Calls peers over TCP.
pub struct TcpTransport {
    dialler: Arc<TcpDialler>,
    pool: ConnectionPool,
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
    pub fn new(cluster: impl Into<String>, limits: NetLimits, security: Security) -> Self {
        let dialler = Arc::new(TcpDialler {
            cluster: cluster.into(),
            resolver: ResolverCache::new(Arc::new(SystemLookup), limits.connect_timeout),
            limits,
            security,
            identity: OnceLock::new(),
        });
        TcpTransport {
            pool: ConnectionPool::new(dialler.clone()),
            dialler,
        }
    }

    /// A transport with the default limits, without encryption or proof of identity.
    pub fn plaintext(cluster: impl Into<String>) -> Self {
        TcpTransport::new(cluster, NetLimits::default(), Security::none())
    }

    /// Number of open connections.
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
                // A name with one record is dialled by its name, which may get another address later. A name without a
                // record is an error that the call reports.
                Ok(_) | Err(_) => vec![addr.to_owned()],
            }
        }
        .boxed()
    }

    fn connect<'a>(&'a self, addr: &'a str, lane: Lane, timeout: Duration) -> BoxFuture<'a, Result<()>> {
        self.pool.connect(addr, lane, timeout)
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

    fn identify(&self, identity: Arc<LocalIdentity>) {
        // A later one is ignored: the connections have been made under the first.
        drop(self.dialler.identity.set(identity));
    }

    fn close(&self) {
        self.pool.close();
    }
}

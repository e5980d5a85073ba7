//! Connections for programs that are no peers: a client of the REST API dials as peers do, and then speaks HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;

use super::dial::{SystemLookup, race, unreachable};
use super::resolver_cache::{Lookup, ResolverCache};
use super::{NetLimits, Socket};
use crate::env;
use crate::error::Result;

/// Dials addresses `host:port`. A name is looked up anew for each connection, its records are tried side by side, and the
/// last answer of a resolver that fails is used meanwhile.
#[derive(Debug)]
pub(crate) struct Connector {
    resolver: ResolverCache<SocketAddr>,
    limits: NetLimits,
}

impl Connector {
    /// Looking a name up, and then connecting, may take `timeout` each.
    pub(crate) fn new(timeout: Duration) -> Self {
        Connector::with_resolver(Arc::new(SystemLookup), timeout)
    }

    fn with_resolver(resolver: Arc<dyn Lookup<SocketAddr>>, timeout: Duration) -> Self {
        Connector {
            resolver: ResolverCache::new(resolver, timeout),
            limits: NetLimits {
                connect_timeout: timeout,
                ..NetLimits::default()
            },
        }
    }

    /// A connection to the first record of the address that takes one.
    ///
    /// # Errors
    /// `UNREACHABLE`: no such name, refused, or no connection in time.
    pub(crate) async fn connect(&self, addr: &str) -> Result<Socket> {
        let records = match addr.parse() {
            Ok(record) => vec![record],
            Err(_) => self.resolver.resolve(addr).await?.records,
        };
        let limit = self.limits.connect_timeout;
        let attempt = |record: SocketAddr, _| async move {
            match env::timeout(limit, TcpStream::connect(record)).await {
                Ok(Ok(stream)) => Ok(stream),
                Ok(Err(error)) => Err(unreachable(format!("{record}: {error}"))),
                Err(_) => Err(unreachable(format!("{record}: no connection within {limit:?}"))),
            }
        };
        let (record, stream) = race(records.into(), &self.limits, attempt).await?;
        self.resolver.report_success(addr, &record);
        // A request is written whole, so Nagle's algorithm would only delay it. A failure to disable it does no harm.
        let _ = stream.set_nodelay(true);
        Ok(Socket::new(stream))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::error::ErrorCode;

    /// A resolver that knows one name.
    #[derive(Debug)]
    struct OneName(Vec<SocketAddr>);

    impl Lookup<SocketAddr> for OneName {
        fn look_up(&self, _: String) -> BoxFuture<'static, Result<Vec<SocketAddr>>> {
            std::future::ready(Ok(self.0.clone())).boxed()
        }
    }

    fn connector(records: Vec<SocketAddr>) -> Connector {
        Connector::with_resolver(Arc::new(OneName(records)), Duration::from_secs(10))
    }

    /// An address of this machine at which nobody listens.
    async fn nobody() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap()
    }

    #[tokio::test]
    async fn a_name_with_several_records_is_reached_at_the_one_that_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let records = vec![nobody().await, nobody().await, listener.local_addr().unwrap()];
        let connector = connector(records);
        for _ in 0..2 {
            let socket = connector.connect("cluster.example:8080").await.unwrap();
            let (mut accepted, _) = listener.accept().await.unwrap();
            drop(socket);
            assert_eq!(
                accepted.read(&mut [0; 8]).await.unwrap(),
                0,
                "it is this connection"
            );
        }
    }

    #[tokio::test]
    async fn a_refusal_says_at_which_record() {
        let (first, second) = (nobody().await, nobody().await);
        for records in [vec![first, second], vec![]] {
            let is_empty = records.is_empty();
            let error = connector(records)
                .connect("cluster.example:8080")
                .await
                .unwrap_err();
            assert_eq!(error.code(), ErrorCode::Unreachable);
            let names_one = [first, second]
                .iter()
                .any(|record| error.message().contains(&record.to_string()));
            assert!(names_one || is_empty, "{error}");
        }
        let error = connector(vec![]).connect(&first.to_string()).await.unwrap_err();
        assert!(error.message().contains(&first.to_string()), "{error}");
    }
}

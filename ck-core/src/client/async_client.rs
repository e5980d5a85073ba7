//! The handle for programs that are asynchronous themselves.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use super::asks::Freshness;
use super::handle::Client;
use super::options::ClientOptions;
#[cfg(doc)]
use crate::error::ErrorCode;
use crate::error::Result;
use crate::logger::LOG_CLOSE_TIMEOUT;

/// A program that is no member follows a cluster: [`Client`] with every call that waits as an `async` method.
///
/// Await the calls on any executor: they run on ClusterKit's own runtime. Every method that is not here is that of
/// [`Client`], which this handle dereferences to: views, status, callbacks, the stream of changes; none of them waits.
///
/// *Cancellation.* A call begins when it is first polled. Dropping it after that ends the waiting, not the call, which goes
/// on to its end; it changes nothing but the view.
///
/// ```no_run
/// use std::time::Duration;
///
/// use clusterkit::{AsyncClient, ClientOptions};
///
/// # async fn example() -> clusterkit::Result<()> {
/// let client = AsyncClient::new(ClientOptions::new(["10.0.0.1:8080"]))?;
/// client.wait_ready(Duration::from_secs(10)).await?;
/// println!("ask {:?}", client.view().primary_node(b"user:123").map(|node| &node.ip));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AsyncClient {
    blocking: Client,
}

impl fmt::Debug for AsyncClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncClient").field(&self.blocking).finish()
    }
}

impl Deref for AsyncClient {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.blocking
    }
}

impl From<Client> for AsyncClient {
    fn from(blocking: Client) -> Self {
        AsyncClient { blocking }
    }
}

impl From<AsyncClient> for Client {
    fn from(client: AsyncClient) -> Self {
        client.blocking
    }
}

impl Client {
    /// The same client, for a caller that is asynchronous itself.
    pub fn into_async(self) -> AsyncClient {
        self.into()
    }
}

impl AsyncClient {
    /// Creates a client, which begins to look for a member at once. See [`Client::new`].
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn new(options: ClientOptions) -> Result<Self> {
        Client::new(options).map(Client::into_async)
    }

    /// The same client, for a caller whose threads may block.
    pub fn into_blocking(self) -> Client {
        self.into()
    }

    /// Runs a call on the runtime, from when this is first polled.
    async fn run<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.blocking.inner.runtime.run_for_clients(call).await
    }

    /// Waits for the first view; resolves to its revision. See [`Client::wait_ready`].
    ///
    /// # Errors
    /// [`ErrorCode::Timeout`], [`ErrorCode::Stopped`].
    pub async fn wait_ready(&self, timeout: Duration) -> Result<u64> {
        self.run(self.blocking.ready(timeout)).await
    }

    /// Waits for a view that is newer than `revision`; resolves to the revision of the newest. See
    /// [`Client::wait_for_change`], and [`Client::changes`] for a stream.
    ///
    /// # Errors
    /// [`ErrorCode::Timeout`], [`ErrorCode::Stopped`].
    pub async fn wait_for_change(&self, revision: u64, timeout: Duration) -> Result<u64> {
        self.run(self.blocking.change(revision, timeout)).await
    }

    /// Waits until the view has `revision`. See [`Client::wait_for_revision`].
    ///
    /// # Errors
    /// [`ErrorCode::Timeout`], [`ErrorCode::Stopped`].
    pub async fn wait_for_revision(&self, revision: u64, timeout: Duration) -> Result<()> {
        self.run(self.blocking.revision(revision, timeout)).await
    }

    /// Asks now; resolves to the revision. See [`Client::refresh`].
    ///
    /// # Errors
    /// As [`Client::refresh`], without [`ErrorCode::InHook`].
    pub async fn refresh(&self, timeout: Duration) -> Result<u64> {
        self.run(self.blocking.ask(Freshness::Asked, timeout)).await
    }

    /// Asks for everything that was acknowledged before; resolves to the revision. See [`Client::read_barrier`].
    ///
    /// # Errors
    /// As [`Client::refresh`], without [`ErrorCode::InHook`].
    pub async fn read_barrier(&self, timeout: Duration) -> Result<u64> {
        self.run(self.blocking.ask(Freshness::Linearizable, timeout))
            .await
    }

    /// Closes the client. See [`Client::close`].
    ///
    /// # Errors
    /// None at present.
    pub async fn close(&self) -> Result<()> {
        self.blocking.shared().close();
        let ended = self.run(self.blocking.task_end()).await;
        let shared = self.blocking.shared().clone();
        let closing = self.blocking.inner.runtime.run_blocking(move || {
            shared.changes.close_within(LOG_CLOSE_TIMEOUT);
            shared.logger.close_within(LOG_CLOSE_TIMEOUT);
        });
        drop(closing.await);
        ended
    }
}

//! Answers calls of other nodes.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{decode, encode};
use super::peer_client::Addresses;
use super::service::Service;
use crate::error::{Error, ErrorCode, Result};
use crate::net::PeerConnection;

/// Answers the calls of one service.
pub(crate) trait PeerService: Send + Sync + 'static {
    /// The type of every call.
    type Call: DeserializeOwned + Send;
    /// The type of every answer. It has a variant `Refused` with an [`Error`], which the dispatcher answers with where
    /// the service fails.
    type Answer: Serialize + Send;
    /// The service.
    const SERVICE: Service;
    /// What an error calls a call that cannot be decoded.
    const CALL: &'static str;
    /// The longest call in bytes. Checked before a call is decoded, because one byte may take a hundred in memory.
    const MAX_BYTES: usize = usize::MAX;

    /// The id of the cluster that the caller names; `None` for a call that a node of any cluster may make.
    fn cluster_of(call: &Self::Call) -> Option<&str>;

    /// Answers a call that came over this connection.
    fn answer<'a>(
        &'a self,
        call: Self::Call,
        connection: &'a Arc<PeerConnection>,
    ) -> BoxFuture<'a, Result<Self::Answer>>;
}

/// A service with its types erased: from an encoded call to an encoded answer.
trait Endpoint: Send + Sync {
    fn answer<'a>(&'a self, call: &'a [u8], connection: &'a Arc<PeerConnection>) -> BoxFuture<'a, Bytes>;
}

struct TypedEndpoint<S> {
    service: Arc<S>,
    addresses: Arc<dyn Addresses>,
}

impl<S: PeerService> Endpoint for TypedEndpoint<S> {
    fn answer<'a>(&'a self, call: &'a [u8], connection: &'a Arc<PeerConnection>) -> BoxFuture<'a, Bytes> {
        async move {
            match self.try_answer(call, connection).await {
                // An answer that cannot be encoded is a defect. The peer receives an empty answer and retries.
                Ok(answer) => encode(&answer).unwrap_or_default(),
                Err(error) => refusal(error),
            }
        }
        .boxed()
    }
}

impl<S: PeerService> TypedEndpoint<S> {
    async fn try_answer(&self, call: &[u8], connection: &Arc<PeerConnection>) -> Result<S::Answer> {
        if call.len() > S::MAX_BYTES {
            let message = format!(
                "{} of {} bytes; at most {} are taken",
                S::CALL,
                call.len(),
                S::MAX_BYTES
            );
            return Err(Error::new(ErrorCode::TooLarge, message));
        }
        let call: S::Call = decode(call, S::CALL)?;
        if let Some(named) = S::cluster_of(&call) {
            let own = self.addresses.cluster_id();
            if named != own {
                return Err(Error::new(
                    ErrorCode::WrongCluster,
                    format!("this node is of cluster {own:?}, the call of {named:?}"),
                ));
            }
        }
        self.service.answer(call, connection).await
    }
}

/// Hands each call of a peer to the service that it addresses.
pub(crate) struct Dispatcher {
    addresses: Arc<dyn Addresses>,
    endpoints: [OnceLock<Arc<dyn Endpoint>>; Service::ALL.len()],
}

impl Dispatcher {
    /// A dispatcher that refuses every call, until services are added. A call that names another cluster than
    /// `addresses` is refused.
    pub(crate) fn new(addresses: Arc<dyn Addresses>) -> Self {
        Dispatcher {
            addresses,
            endpoints: Default::default(),
        }
    }

    /// Has `service` answer its calls from now on. A service is added once; later ones are ignored.
    pub(crate) fn add<S: PeerService>(&self, service: Arc<S>) {
        let addresses = self.addresses.clone();
        self.endpoints[S::SERVICE as usize].get_or_init(|| Arc::new(TypedEndpoint { service, addresses }));
    }

    /// Gives the encoded answer to an encoded call. Empty for a service that this build does not know.
    pub(crate) async fn dispatch(&self, request: &[u8], connection: &Arc<PeerConnection>) -> Bytes {
        let Some((service, call)) = Service::open(request) else {
            return Bytes::new();
        };
        match self.endpoints[service as usize].get() {
            Some(endpoint) => endpoint.answer(call, connection).await,
            None => refusal(Error::new(
                ErrorCode::Unreachable,
                "this node has not joined a cluster yet",
            )),
        }
    }
}

/// The answer of a service that refuses a call, which is encoded alike in the answers of all services.
fn refusal(error: Error) -> Bytes {
    #[derive(Serialize)]
    enum Answer {
        Refused(Error),
    }
    encode(&Answer::Refused(error)).unwrap_or_default()
}

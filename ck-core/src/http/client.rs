//! A small HTTP client for programs that talk to a node: the command line, and tests.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, body::Incoming, header};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use crate::env;
use crate::error::{Error, ErrorCode, Result};
use crate::net::Socket;

/// Maximum number of idle connections that are kept for later requests.
const MAX_IDLE_CONNECTIONS: usize = 4;
/// The default limit on the size of an answer: many times the `/cluster` of the largest cluster without its data.
const DEFAULT_MAX_RESPONSE_BYTES: usize = 256 * 1024 * 1024;

/// A client of one node. Cheap to create; connections are opened when needed, kept, and reused.
///
/// Every call has a deadline. A call whose connection breaks is only repeated when no byte of it can have reached the
/// node, so that nothing is done twice.
pub struct Client {
    addr: String,
    timeout: Duration,
    max_response_bytes: usize,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("addr", &self.addr)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A complete answer, whatever its status.
#[derive(Debug, Clone)]
pub struct ClientResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl ClientResponse {
    /// The body as JSON.
    ///
    /// # Errors
    /// [`ErrorCode::Internal`] when it is not the expected JSON: the node is another program, or another version.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Error::internal(format!(
                "the answer (status {}) is not as expected: {error}",
                self.status
            ))
        })
    }

    /// The revision in the ETag.
    pub fn etag(&self) -> Option<u64> {
        let tag = self.headers.get(header::ETAG)?.to_str().ok()?;
        tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
    }

    /// The answer if its status is 2xx or 3xx, otherwise the error that it carries.
    ///
    /// # Errors
    /// The node's own error. [`ErrorCode::Internal`] with the status when the body is not an error of ClusterKit.
    pub fn into_ok(self) -> Result<Self> {
        #[derive(Deserialize)]
        struct ErrorBody {
            error: CodeAndMessage,
        }
        // Not [`Error`] itself: a newer node may send a code that this build does not know.
        #[derive(Deserialize)]
        struct CodeAndMessage {
            code: String,
            message: String,
        }
        if self.status.is_success() || self.status.is_redirection() {
            return Ok(self);
        }
        Err(match serde_json::from_slice::<ErrorBody>(&self.body) {
            Ok(ErrorBody { error }) => match ErrorCode::from_name(&error.code) {
                Some(code) => Error::new(code, error.message),
                None => Error::internal(format!("{}: {}", error.code, error.message)),
            },
            Err(_) => {
                let text = String::from_utf8_lossy(&self.body);
                let shown: String = text.chars().take(200).collect();
                Error::internal(format!("status {}: {shown:?}", self.status))
            }
        })
    }
}

impl Client {
    /// A client of the node at `addr`, a `host:port`. Requests time out after 10 s.
    pub fn new(addr: impl Into<String>) -> Self {
        Client {
            addr: addr.into(),
            timeout: Duration::from_secs(10),
            max_response_bytes: DEFAULT_MAX_RESPONSE_BYTES,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// The same client with another limit on the time that a request may take, connecting included. Long polls need a
    /// limit that exceeds their wait.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The node's address.
    pub fn addr(&self) -> &str {
        &self.addr
    }

    /// GET, and the answer as JSON.
    ///
    /// # Errors
    /// The node's own error, or as [`Client::request`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let answer = self.request(Method::GET, path, &[], Bytes::new()).await?;
        answer.into_ok()?.json()
    }

    /// POST of a JSON body, and the answer as JSON.
    ///
    /// # Errors
    /// The node's own error, or as [`Client::request`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.send_json(Method::POST, path, body).await
    }

    /// PUT of a JSON body, and the answer as JSON. For `/data/KEY`, whose body is raw, use [`Client::request`].
    ///
    /// # Errors
    /// The node's own error, or as [`Client::request`].
    pub async fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.send_json(Method::PUT, path, body).await
    }

    /// DELETE, and the answer as JSON.
    ///
    /// # Errors
    /// The node's own error, or as [`Client::request`].
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let answer = self.request(Method::DELETE, path, &[], Bytes::new()).await?;
        answer.into_ok()?.json()
    }

    async fn send_json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        let bytes = serde_json::to_vec(body).map_err(|error| {
            Error::new(ErrorCode::InvalidArgument, format!("encode the request: {error}"))
        })?;
        let headers = [("content-type", "application/json")];
        let answer = self.request(method, path, &headers, bytes.into()).await?;
        answer.into_ok()?.json()
    }

    /// Any request, and the answer whatever its status. `path` includes the query; encode its parts with
    /// [`encode_component`].
    ///
    /// # Errors
    /// [`ErrorCode::Unreachable`] when no connection can be made: nothing has happened at the node.
    /// [`ErrorCode::Timeout`] when the answer does not come in time or the connection breaks: the node may have
    /// executed the request. [`ErrorCode::InvalidArgument`] when path, headers or address cannot be sent.
    /// [`ErrorCode::TooLarge`] when the answer exceeds 256 MiB.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<ClientResponse> {
        let mut builder = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.addr);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let request = builder.body(Full::new(body)).map_err(|error| {
            Error::new(
                ErrorCode::InvalidArgument,
                format!("{}{path}: {error}", self.addr),
            )
        })?;
        match env::timeout(self.timeout, Box::pin(self.round_trip(request))).await {
            Ok(outcome) => outcome.map_err(|error| error.context(&self.addr)),
            Err(_) => Err(Error::new(
                ErrorCode::Timeout,
                format!("{}: no answer within {:?}", self.addr, self.timeout),
            )),
        }
    }

    async fn round_trip(&self, mut request: Request<Full<Bytes>>) -> Result<ClientResponse> {
        loop {
            let kept = self.idle.lock().pop();
            let reused = kept.is_some();
            let mut sender = match kept {
                Some(sender) => sender,
                None => self.connect().await?,
            };
            let sent = match sender.ready().await {
                Ok(()) => sender.try_send_request(request).await,
                Err(_) if reused => continue,
                Err(error) => return Err(connection_lost(&error)),
            };
            match sent {
                Ok(response) => {
                    let answer = self.read(response).await?;
                    let mut idle = self.idle.lock();
                    if idle.len() < MAX_IDLE_CONNECTIONS && !sender.is_closed() {
                        idle.push(sender);
                    }
                    return Ok(answer);
                }
                // hyper gives the request back when nothing of it was sent, because the node had closed an idle
                // connection.
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) if reused => request = unsent,
                    _ => return Err(connection_lost(&failed.into_error())),
                },
            }
        }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>> {
        let unreachable = |error: &dyn std::fmt::Display| {
            Error::new(ErrorCode::Unreachable, format!("cannot connect: {error}"))
        };
        let stream = TcpStream::connect(&self.addr)
            .await
            .map_err(|error| unreachable(&error))?;
        let _ = stream.set_nodelay(true);
        let (sender, connection) = http1::handshake(TokioIo::new(Socket::new(stream)))
            .await
            .map_err(|error| unreachable(&error))?;
        // The task ends when the sender is dropped or the node closes; the request gets the error.
        env::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }

    async fn read(&self, response: Response<Incoming>) -> Result<ClientResponse> {
        let (head, body) = response.into_parts();
        let body = Limited::new(body, self.max_response_bytes)
            .collect()
            .await
            .map_err(|error| {
                if error.is::<http_body_util::LengthLimitError>() {
                    Error::new(
                        ErrorCode::TooLarge,
                        format!("the answer exceeds {} bytes", self.max_response_bytes),
                    )
                } else {
                    Error::new(ErrorCode::Timeout, format!("the answer broke off: {error}"))
                }
            })?
            .to_bytes();
        Ok(ClientResponse {
            status: head.status,
            headers: head.headers,
            body,
        })
    }
}

fn connection_lost(error: &hyper::Error) -> Error {
    Error::new(
        ErrorCode::Timeout,
        format!("the connection broke before the answer came: {error}"),
    )
}

/// The characters to percent-encode in a path segment and in a query value: all but the unreserved ones of RFC 3986.
const PERCENT_ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Percent-encodes a text for use as a path segment or a query value, so that it arrives unchanged.
pub fn encode_component(text: &str) -> String {
    utf8_percent_encode(text, PERCENT_ENCODED).to_string()
}

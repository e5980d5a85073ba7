//! One HTTP/1.1 connection to a node: one request after the other, each with deadlines and a bound on its answer.
//!
//! The other end may be anything. So every wait has an end: for the head of an answer, and for its body, which has to come
//! at a rate and not only some day; and nothing is kept of an answer that is longer than allowed.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, ETAG, HOST, HeaderName, HeaderValue, IF_NONE_MATCH, USER_AGENT,
};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::net::PeerStream;
use crate::options::Secret;

/// The longest head of an answer that is read, and how much is read at a time.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// The longest body of an answer other than 200 that is read, for the error in it.
const MAX_ERROR_BYTES: usize = 16 << 10;
/// How much is kept of what another end says in an error.
const MAX_MESSAGE_CHARS: usize = 400;
/// A body has a second more for each so many bytes of it: the rule that frames between peers have, too.
const BYTES_PER_SECOND: u64 = 64 << 10;

const USER_AGENT_VALUE: &str = concat!("clusterkit-client/", env!("CARGO_PKG_VERSION"));
const KNOWN_LEADER_HEADER: HeaderName = HeaderName::from_static("x-clusterkit-known-leader");

/// What is asked for, and what the answer may take.
#[derive(Debug, Clone)]
pub(super) struct HttpRequest<'a> {
    /// The path with its parameters.
    pub(super) target: &'a str,
    /// The tag of the answer that is known already.
    pub(super) known_tag: Option<&'a HeaderValue>,
    /// How long the node was asked to wait before it answers.
    pub(super) wait: Duration,
    /// How long the head may take beyond that, and then the body, without the time that its length gives it.
    pub(super) timeout: Duration,
    /// The longest body that is read.
    pub(super) max_body_bytes: usize,
}

/// An answer of 200 or 304.
#[derive(Debug)]
pub(super) struct HttpAnswer {
    /// The body; `None` for 304.
    pub(super) body: Option<Vec<u8>>,
    /// The tag by which the answer can be recognised later.
    pub(super) tag: Option<HeaderValue>,
    /// False where the node says that it knows of no leader.
    pub(super) is_leader_known: bool,
    /// True when the node closes the connection after this.
    pub(super) closes: bool,
    /// When its head had come.
    pub(super) began: Instant,
}

type Driver = http1::Connection<TokioIo<Box<dyn PeerStream>>, Empty<Bytes>>;

/// A connection. Dropping it closes it, and gives up the request in progress.
pub(super) struct HttpConnection {
    sender: SendRequest<Empty<Bytes>>,
    /// Reads and writes the socket, whenever a request is polled; `None` once the connection has ended. It is no task of
    /// its own, so that nothing is left of a connection that is dropped.
    driver: Option<Pin<Box<Driver>>>,
    host: HeaderValue,
    /// The header with the client's token.
    authorization: Option<HeaderValue>,
}

impl HttpConnection {
    /// Begins to speak HTTP on a connection to `addr`. Each request shows `token`.
    pub(super) async fn new(stream: Box<dyn PeerStream>, addr: &str, token: Option<&Secret>) -> Result<Self> {
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(MAX_HEAD_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        let authorization = token.map(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.reveal())).map_err(|_| {
                Error::new(
                    ErrorCode::InvalidOption,
                    "option token: the value, which is not shown, is no text of a header",
                )
            })?;
            value.set_sensitive(true);
            Ok::<_, Error>(value)
        });
        Ok(HttpConnection {
            authorization: authorization.transpose()?,
            sender,
            driver: Some(Box::pin(driver)),
            host: HeaderValue::try_from(addr)
                .map_err(|error| Error::new(ErrorCode::InvalidOption, error.to_string()))?,
        })
    }

    /// Sends a GET request and reads its answer. After an error the connection is of no more use.
    ///
    /// # Errors
    /// `TIMEOUT`: no answer in time, or it comes too slowly. `UNREACHABLE`: the connection has broken, or what answers is no
    /// node. `TOO_LARGE`. The code that the node itself answered with, for any status but 200 and 304.
    pub(super) async fn get(&mut self, request: &HttpRequest<'_>) -> Result<HttpAnswer> {
        let limit = request.wait.saturating_add(request.timeout);
        let head = env::timeout(limit, self.head_of(request)).await;
        let response = head.unwrap_or_else(|_| Err(timed_out(format!("no answer within {limit:?}"))))?;
        let status = response.status();
        let headers = response.headers();
        let is_close = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"close");
        let mut answer = HttpAnswer {
            body: None,
            tag: headers.get(ETAG).cloned(),
            is_leader_known: headers
                .get(KNOWN_LEADER_HEADER)
                .is_none_or(|value| value != "false"),
            closes: headers.get_all(CONNECTION).iter().any(is_close),
            began: Instant::now(),
        };
        match status {
            StatusCode::OK => {
                answer.body = Some(self.body_of(response, request).await?);
                Ok(answer)
            }
            StatusCode::NOT_MODIFIED if request.known_tag.is_some() => {
                let is_known = answer.tag.is_none() || answer.tag.as_ref() == request.known_tag;
                match is_known {
                    true => Ok(answer),
                    false => Err(no_node(
                        "it answered 304 for another version than was asked about",
                    )),
                }
            }
            _ => Err(self.error_of(response, request).await),
        }
    }

    async fn head_of(&mut self, request: &HttpRequest<'_>) -> Result<Response<Incoming>> {
        let mut asked = Request::get(request.target)
            .header(HOST, &self.host)
            .header(USER_AGENT, USER_AGENT_VALUE)
            .header(ACCEPT, "application/json");
        if let Some(tag) = request.known_tag {
            asked = asked.header(IF_NONE_MATCH, tag);
        }
        if let Some(authorization) = &self.authorization {
            asked = asked.header(AUTHORIZATION, authorization);
        }
        let asked = asked.body(Empty::new()).map_err(|error| broken(&error))?;
        let HttpConnection { sender, driver, .. } = self;
        let answered = drive(driver, async {
            sender.ready().await?;
            sender.send_request(asked).await
        });
        answered.await.map_err(|error| match error.is_parse() {
            true => no_node(format!("what it answers is not HTTP: {}", with_causes(&error))),
            false => broken(&error),
        })
    }

    async fn body_of(&mut self, response: Response<Incoming>, request: &HttpRequest<'_>) -> Result<Vec<u8>> {
        let mut body = response.into_body();
        let too_large = |bytes: u64| {
            let message = format!(
                "the answer has {bytes} bytes or more, and at most {} are read",
                request.max_body_bytes
            );
            Error::new(ErrorCode::TooLarge, message)
        };
        // What the other end says of the length is believed only where that ends the reading.
        let announced = body.size_hint().lower();
        if announced > request.max_body_bytes as u64 {
            return Err(too_large(announced));
        }
        let start = Instant::now();
        let mut read = Vec::new();
        loop {
            let allowed = request.timeout + Duration::from_secs(read.len() as u64 / BYTES_PER_SECOND);
            let left = (start + allowed).since(Instant::now());
            let frame = match env::timeout(left, drive(&mut self.driver, body.frame())).await {
                Ok(Some(frame)) => frame.map_err(|error| broken(&error))?,
                Ok(None) => return Ok(read),
                Err(_) => {
                    return Err(timed_out(format!(
                        "only {} bytes of the answer came within {allowed:?}",
                        read.len()
                    )));
                }
            };
            let Ok(data) = frame.into_data() else { continue };
            let length = read.len() + data.len();
            if length > request.max_body_bytes {
                return Err(too_large(length as u64));
            }
            read.extend_from_slice(&data);
        }
    }

    /// The error that an answer stands for.
    async fn error_of(&mut self, response: Response<Incoming>, request: &HttpRequest<'_>) -> Error {
        let status = response.status();
        if status.is_redirection() {
            return no_node(format!(
                "it answered {status}; redirects are not followed, so give the address of a member"
            ));
        }
        let limited = HttpRequest {
            max_body_bytes: MAX_ERROR_BYTES,
            ..request.clone()
        };
        let body = self.body_of(response, &limited).await.unwrap_or_default();
        let said: Option<ErrorBody> = serde_json::from_slice(&body).ok();
        match said {
            Some(ErrorBody { error }) => {
                let message: String = error.message().chars().take(MAX_MESSAGE_CHARS).collect();
                Error::new(
                    error.code(),
                    format!("it answered {}: {message}", status.as_u16()),
                )
            }
            None => no_node(format!("it answered {status}")),
        }
    }
}

/// The JSON shape of every error of a node.
#[derive(serde::Deserialize)]
struct ErrorBody {
    error: Error,
}

/// Completes `work`, which needs the connection to be driven meanwhile.
async fn drive<T>(driver: &mut Option<Pin<Box<Driver>>>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(done);
        }
        if let Some(running) = driver
            && running.as_mut().poll(context).is_ready()
        {
            // Dropped, so that whoever waits for it hears of the end.
            *driver = None;
        }
        // The driver may just have read what the work waits for; then the work has been woken, or has ended with it.
        if driver.is_none() {
            return work.as_mut().poll(context);
        }
        Poll::Pending
    })
    .await
}

fn timed_out(message: String) -> Error {
    Error::new(ErrorCode::Timeout, message)
}

/// The error for what answers, and is no node.
pub(super) fn no_node(message: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorCode::Unreachable,
        format!("it is no ClusterKit node: {message}"),
    )
}

fn broken(error: &(dyn std::error::Error + 'static)) -> Error {
    // A node says only after the TLS handshake that it does not accept this client's certificate.
    if let Some(refusal) = crate::net::tls_refusal(error) {
        return refusal;
    }
    Error::new(
        ErrorCode::Unreachable,
        format!("the connection broke: {}", with_causes(error)),
    )
}

/// An error's text with those of its causes, which hyper leaves out.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

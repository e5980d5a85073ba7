//! The handshake: an HTTP/1.1 request that upgrades a connection to one that carries frames.
//!
//! ```text
//! GET /peer HTTP/1.1                      HTTP/1.1 101 Switching Protocols
//! connection: upgrade                     connection: upgrade
//! upgrade: clusterkit/1                   upgrade: clusterkit/1
//! clusterkit-cluster: orders              clusterkit-cluster: orders
//! clusterkit-lane: control
//! ```
//!
//! Both ends compare the cluster's name, so that a wrong seed address does not join two clusters. A refusal is an
//! ordinary HTTP answer with the error as JSON.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use super::{Lane, PeerStream};
use crate::env;
use crate::error::{Error, ErrorCode, Result};

/// The path on which peers upgrade their connection.
pub const PEER_PATH: &str = "/peer";

const PROTOCOL: &str = "clusterkit/1";
const CLUSTER_HEADER: HeaderName = HeaderName::from_static("clusterkit-cluster");
const LANE_HEADER: HeaderName = HeaderName::from_static("clusterkit-lane");
/// The characters of a cluster's name that are percent-encoded in the header.
const PERCENT_ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b':');
/// The longest head of a request or answer, and the longest body of a refusal, that is read.
pub(super) const MAX_HEAD_BYTES: usize = 16 << 10;

/// What the dialling end says of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The name of the cluster that both ends belong to.
    pub cluster: String,
    /// The lane.
    pub lane: Lane,
}

/// The JSON shape of every HTTP error.
#[derive(Serialize, Deserialize)]
struct RefusalBody {
    error: Error,
}

fn encode_name(name: &str) -> HeaderValue {
    // Percent-encoded text is always a valid header value. The peer would refuse the empty one.
    HeaderValue::from_str(&utf8_percent_encode(name, PERCENT_ENCODED).to_string())
        .unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn header_text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn check_cluster(headers: &HeaderMap, own: &str) -> Result<()> {
    let Some(value) = header_text(headers, &CLUSTER_HEADER) else {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("the header {CLUSTER_HEADER} is missing"),
        ));
    };
    let name = percent_decode_str(value).decode_utf8_lossy();
    if name != own {
        return Err(Error::new(
            ErrorCode::WrongCluster,
            format!("the cluster here is {own:?}, the other end's is {name:?}"),
        ));
    }
    Ok(())
}

/// Reads and checks the request to upgrade.
pub(super) fn read_hello<B>(request: &Request<B>, own_cluster: &str) -> Result<Hello> {
    let headers = request.headers();
    let protocol = header_text(headers, &UPGRADE);
    if request.method() != Method::GET || protocol.is_none() {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("{PEER_PATH} is for peers: GET with the header \"upgrade: {PROTOCOL}\""),
        ));
    }
    if protocol != Some(PROTOCOL) {
        return Err(Error::new(
            ErrorCode::Version,
            format!(
                "this node speaks {PROTOCOL}, not {}",
                protocol.unwrap_or_default()
            ),
        ));
    }
    check_cluster(headers, own_cluster)?;
    let lane = header_text(headers, &LANE_HEADER).unwrap_or_default();
    let lane = Lane::from_name(lane)
        .ok_or_else(|| Error::new(ErrorCode::Version, format!("this node knows no lane {lane:?}")))?;
    Ok(Hello {
        cluster: own_cluster.to_owned(),
        lane,
    })
}

/// The answer that accepts the upgrade.
pub(super) fn accept(cluster: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
    headers.insert(CLUSTER_HEADER, encode_name(cluster));
    response
}

/// The answer that refuses the upgrade.
pub(super) fn refuse(error: &Error) -> Response<Full<Bytes>> {
    let status = match error.code() {
        ErrorCode::InvalidArgument => StatusCode::BAD_REQUEST,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::WrongCluster => StatusCode::CONFLICT,
        ErrorCode::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorCode::Version => StatusCode::UPGRADE_REQUIRED,
        ErrorCode::Busy => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let refusal = RefusalBody { error: error.clone() };
    let mut response = Response::new(Full::from(serde_json::to_vec(&refusal).unwrap_or_default()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // A 426 must name the protocol to upgrade to. A client with a wrong request has no further use for the connection.
    headers.insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The dialling end: requests the upgrade and returns the upgraded stream.
pub(super) async fn upgrade(stream: Box<dyn PeerStream>, addr: &str, hello: &Hello) -> Result<Upgraded> {
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| handshake_failed(&error))?;
    env::spawn(async move {
        // Its errors are returned by send_request, or by the upgraded stream.
        let _ = connection.with_upgrades().await;
    });
    let request = Request::get(PEER_PATH)
        .header(HOST, addr)
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, PROTOCOL)
        .header(CLUSTER_HEADER, encode_name(&hello.cluster))
        .header(LANE_HEADER, hello.lane.name())
        .body(Empty::<Bytes>::new())
        .map_err(|error| handshake_failed(&error))?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| handshake_failed(&error))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(read_refusal(response).await);
    }
    check_cluster(response.headers(), &hello.cluster)?;
    hyper::upgrade::on(response)
        .await
        .map_err(|error| handshake_failed(&error))
}

fn handshake_failed(error: &dyn std::error::Error) -> Error {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        message = format!("{message}: {error}");
        source = error.source();
    }
    Error::new(
        ErrorCode::Unreachable,
        format!("the peer handshake failed: {message}"),
    )
}

/// The error in the answer of a peer that refused. Only the codes that a refusal can have are accepted from a peer.
async fn read_refusal(response: Response<hyper::body::Incoming>) -> Error {
    let status = response.status();
    if let Ok(body) = Limited::new(response.into_body(), MAX_HEAD_BYTES).collect().await
        && let Ok(RefusalBody { error }) = serde_json::from_slice::<RefusalBody>(&body.to_bytes())
        && matches!(
            error.code(),
            ErrorCode::WrongCluster | ErrorCode::Unauthenticated | ErrorCode::Version | ErrorCode::Busy
        )
    {
        return error.context("refused by the peer");
    }
    Error::new(
        ErrorCode::Unreachable,
        format!("it is not a ClusterKit peer: GET {PEER_PATH} was answered with {status}"),
    )
}

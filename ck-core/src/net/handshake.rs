//! The handshake: an HTTP/1.1 request that upgrades a connection to one that carries frames.
//!
//! ```text
//! GET /peer HTTP/1.1                      HTTP/1.1 101 Switching Protocols
//! connection: upgrade                     connection: upgrade
//! upgrade: clusterkit/1                   upgrade: clusterkit/1
//! clusterkit-cluster: orders              clusterkit-cluster: orders
//! clusterkit-node: node-1                 clusterkit-node: node-2
//! clusterkit-raft-id: 1                   clusterkit-proof: ...
//! clusterkit-lane: control
//! clusterkit-proof: ...
//! ```
//!
//! Both ends compare the cluster's name, so that a wrong seed address does not join two clusters. Where the cluster has a
//! secret, both prove that they know it (`security`). A refusal is an ordinary HTTP answer with the error as JSON.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use super::security::{Offer, PendingProof, ProvedKeys, tls_refusal};
use super::{ConnectionIdentity, KeyId, Lane, LocalIdentity, PeerStream, Principal, Security};
use crate::env;
use crate::error::{Error, ErrorCode, Result};
use crate::options::is_identifier;

/// The path on which peers upgrade their connection.
pub const PEER_PATH: &str = "/peer";

/// The longest id of a node, in bytes.
const MAX_NODE_ID_LEN: usize = 255;
const PROTOCOL: &str = "clusterkit/1";
const CLUSTER_HEADER: HeaderName = HeaderName::from_static("clusterkit-cluster");
const LANE_HEADER: HeaderName = HeaderName::from_static("clusterkit-lane");
const NODE_HEADER: HeaderName = HeaderName::from_static("clusterkit-node");
const RAFT_ID_HEADER: HeaderName = HeaderName::from_static("clusterkit-raft-id");
const PROOF_HEADER: HeaderName = HeaderName::from_static("clusterkit-proof");
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
    /// The id of the node that dials; empty for a program that is none.
    pub node: String,
    /// Its Raft id; 0 where it has none.
    pub raft_id: u64,
}

impl Hello {
    /// What the node with this identity says.
    pub fn new(cluster: impl Into<String>, lane: Lane, identity: &LocalIdentity) -> Self {
        Hello {
            cluster: cluster.into(),
            lane,
            node: identity.node().map(|node| node.to_string()).unwrap_or_default(),
            raft_id: identity.raft_id(),
        }
    }

    /// Who that is, with the key by which it was proved; `None` for a program that is no node.
    pub(super) fn principal(&self, key_id: Option<KeyId>) -> Option<Principal> {
        (!self.node.is_empty()).then(|| Principal {
            node: self.node.as_str().into(),
            raft_id: self.raft_id,
            key_id,
        })
    }
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
    let node = header_text(headers, &NODE_HEADER).unwrap_or_default();
    // A program that is no node says none.
    if !node.is_empty() && !is_identifier(node, MAX_NODE_ID_LEN) {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("{NODE_HEADER} is no id of a node"),
        ));
    }
    let raft_id = match header_text(headers, &RAFT_ID_HEADER) {
        Some(text) => text.parse().map_err(|_| {
            Error::new(
                ErrorCode::InvalidArgument,
                format!("{RAFT_ID_HEADER} is no number"),
            )
        })?,
        None => 0,
    };
    Ok(Hello {
        cluster: own_cluster.to_owned(),
        lane,
        node: node.to_owned(),
        raft_id,
    })
}

/// Answers the proof of the caller in the request to upgrade: gives this node's own, and what the caller has to send. `None`
/// without a proof, where none is required.
///
/// # Errors
/// [`ErrorCode::Unauthenticated`]: there is no proof, or one under unknown keys.
pub(super) fn answer_proof<B>(
    request: &Request<B>,
    hello: &Hello,
    security: &Security,
    identity: &LocalIdentity,
    connection: &ConnectionIdentity,
) -> Result<Option<(String, PendingProof)>> {
    let offered = header_text(request.headers(), &PROOF_HEADER);
    match (security.keyring(), offered) {
        (Some(keyring), Some(offered)) => {
            if hello.node.is_empty() {
                return Err(Error::new(
                    ErrorCode::Unauthenticated,
                    format!("a proof without the header {NODE_HEADER}"),
                ));
            }
            let server = identity.node().map(AsRef::as_ref).unwrap_or_default();
            super::security::answer(keyring, hello, server, offered, connection.binding()).map(Some)
        }
        (Some(_), None) if !security.accepts_without_secret(&hello.cluster, &hello.node, connection) => {
            Err(Error::new(
                ErrorCode::Unauthenticated,
                "this cluster has a secret, and the caller gives no proof of it: set cluster_secret",
            ))
        }
        _ => Ok(None),
    }
}

/// The answer that accepts the upgrade, with this node's proof where there is one.
pub(super) fn accept(cluster: &str, identity: &LocalIdentity, proof: Option<&str>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
    headers.insert(CLUSTER_HEADER, encode_name(cluster));
    // Both are of characters that a header may have.
    if let Some(node) = identity.node().and_then(|node| HeaderValue::from_str(node).ok()) {
        headers.insert(NODE_HEADER, node);
    }
    if let Some(proof) = proof.and_then(|proof| HeaderValue::from_str(proof).ok()) {
        headers.insert(PROOF_HEADER, proof);
    }
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

/// What the dialling end has after the upgrade.
pub(super) struct UpgradedStream {
    pub(super) stream: Upgraded,
    /// The code that is sent first, and the keys of the frames, where both ends have proved themselves.
    pub(super) proof: Option<([u8; super::security::CODE_LEN], ProvedKeys)>,
}

/// The dialling end: requests the upgrade, and checks the proof of the other end. `connection` is what TLS says of that.
pub(super) async fn upgrade(
    stream: Box<dyn PeerStream>,
    addr: &str,
    hello: &Hello,
    security: &Security,
    connection: &ConnectionIdentity,
) -> Result<UpgradedStream> {
    let (mut sender, driver) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| handshake_failed(&error))?;
    env::spawn(async move {
        // Its errors are returned by send_request, or by the upgraded stream.
        let _ = driver.with_upgrades().await;
    });
    let mut request = Request::get(PEER_PATH)
        .header(HOST, addr)
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, PROTOCOL)
        .header(CLUSTER_HEADER, encode_name(&hello.cluster))
        .header(LANE_HEADER, hello.lane.name());
    if !hello.node.is_empty() {
        request = request
            .header(NODE_HEADER, &hello.node)
            .header(RAFT_ID_HEADER, hello.raft_id);
    }
    let offer = security.keyring().map(Offer::new);
    if let Some(offer) = &offer {
        request = request.header(PROOF_HEADER, offer.header());
    }
    let request = request
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
    let answered = header_text(response.headers(), &PROOF_HEADER);
    let server = header_text(response.headers(), &NODE_HEADER).unwrap_or_default();
    security.check_server(&hello.cluster, server, connection)?;
    let binding = connection.binding();
    let proof = match (offer, answered) {
        (Some(offer), Some(answered)) => Some(offer.check_answer(hello, server, answered, binding)?),
        (Some(_), None) if !security.accepts_without_secret(&hello.cluster, server, connection) => {
            return Err(Error::new(
                ErrorCode::Unauthenticated,
                "the peer proves nothing: it has no cluster_secret, or something between the two removes what they send",
            ));
        }
        _ => None,
    };
    let stream = hyper::upgrade::on(response)
        .await
        .map_err(|error| handshake_failed(&error))?;
    Ok(UpgradedStream { stream, proof })
}

fn handshake_failed(error: &(dyn std::error::Error + 'static)) -> Error {
    // The other end says only after the TLS handshake that it does not accept this end's certificate.
    if let Some(refusal) = tls_refusal(error) {
        return refusal;
    }
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

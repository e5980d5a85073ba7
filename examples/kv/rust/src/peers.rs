//! Calls to the other members: JSON over HTTP at their service `kv`, on connections that are kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::request::Builder;
use axum::http::{Method, Request, StatusCode, header};
use bytes::Bytes;
use clusterkit::model::{Node, NodeId};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use parking_lot::Mutex;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc};

use crate::store::{CopyState, Page, Row, Version};

/// How long one call may take.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// How many calls to one member are under way at most: as many connections are open.
const MAX_CALLS: usize = 256;
/// So many keys of a partition are remembered for a copy that misses them.
const MAX_MISSED_KEYS: usize = 10_000;
/// How many rows are asked for and sent at a time.
pub(crate) const PAGE_ROWS: usize = 500;
/// The header of a request that one member has passed on to another.
pub(crate) const FORWARDED: &str = "kv-forwarded";
/// The largest body: a value of 1 MiB may be six times as long in JSON.
pub(crate) const MAX_BODY: usize = 16 << 20;

/// `POST /kv/replicate`: rows of a partition, from its primary.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Replicate {
    pub(crate) partition: u32,
    pub(crate) epoch: u64,
    pub(crate) from: String,
    pub(crate) rows: Vec<Row>,
}

/// `POST /kv/fence`: a new primary asks for what a copy has, and that it takes nothing from earlier ones any more. With
/// `pending` the copy is none that counts, and is whole no longer, until it has finished with this primary.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Fence {
    pub(crate) partition: u32,
    pub(crate) epoch: u64,
    #[serde(default)]
    pub(crate) pending: bool,
}

/// `POST /kv/finish`: a node that has copied asks the primary to compare.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Finish {
    pub(crate) partition: u32,
    pub(crate) node: String,
}

/// `POST /kv/check`: what the primary has while nothing is written.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Check {
    pub(crate) partition: u32,
    pub(crate) epoch: u64,
    pub(crate) count: u64,
    pub(crate) digest: String,
}

/// The answer to all of these, with 200 or, where it was refused, 409.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CopyAnswer {
    pub(crate) whole: bool,
    pub(crate) fence: u64,
    pub(crate) count: u64,
    pub(crate) digest: String,
}

impl From<CopyState> for CopyAnswer {
    fn from(state: CopyState) -> Self {
        CopyAnswer {
            whole: state.whole,
            fence: state.fence,
            count: state.count,
            digest: digest_text(state.digest),
        }
    }
}

/// A digest as it is sent: 16 hex digits.
pub(crate) fn digest_text(digest: u64) -> String {
    format!("{digest:016x}")
}

/// The answer to `GET /kv/migrate`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PageAnswer {
    pub(crate) partition_id: String,
    pub(crate) keys: BTreeMap<String, String>,
    pub(crate) versions: BTreeMap<String, Version>,
    pub(crate) deleted: BTreeMap<String, Version>,
    pub(crate) count: u64,
    pub(crate) digest: String,
    /// The last key, if another page follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
    /// The epoch of the answering node, if it is the primary and serves: then nothing of an earlier epoch is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) epoch: Option<u64>,
}

impl PageAnswer {
    pub(crate) fn new(partition_id: String, page: Page, epoch: Option<u64>) -> Self {
        let (mut keys, mut versions, mut deleted) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for Row { key, value, version } in page.rows {
            match value {
                Some(value) => {
                    versions.insert(key.clone(), version);
                    keys.insert(key, value);
                }
                None => {
                    deleted.insert(key, version);
                }
            }
        }
        PageAnswer {
            partition_id,
            keys,
            versions,
            deleted,
            count: page.state.count,
            digest: digest_text(page.state.digest),
            next: page.next,
            epoch,
        }
    }

    /// The page's rows; an error if it is none that follows `after`.
    pub(crate) fn into_page(mut self, after: &str) -> Result<Page, String> {
        let mut rows = Vec::new();
        for (key, value) in self.keys {
            let version = self
                .versions
                .remove(&key)
                .ok_or("a key of the page has no version")?;
            rows.push(Row {
                key,
                value: Some(value),
                version,
            });
        }
        let deleted = self.deleted.into_iter();
        rows.extend(deleted.map(|(key, version)| Row {
            key,
            value: None,
            version,
        }));
        let outside = |key: &str| key <= after || self.next.as_deref().is_some_and(|next| key > next);
        if rows.iter().any(|row| outside(&row.key)) || self.next.as_deref().is_some_and(|next| next <= after)
        {
            return Err("the page's keys are not those that were asked for".to_owned());
        }
        let (next, state) = (self.next, CopyState::default());
        Ok(Page { rows, next, state })
    }
}

/// Why a call has no answer that counts.
#[derive(Debug)]
pub(crate) enum CallError {
    /// No connection: the call was not made.
    Unreachable,
    /// It may have been made.
    Lost(String),
    /// 409: the copy has seen a later primary, or is not what the caller has.
    Conflict(CopyAnswer),
    /// Any other status.
    Refused(String),
}

impl From<CallError> for String {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unreachable => "it cannot be reached".to_owned(),
            CallError::Lost(why) => format!("no answer: {why}"),
            CallError::Conflict(copy) => format!("it refuses, with {copy:?}"),
            CallError::Refused(why) => why,
        }
    }
}

/// A row that waits for a replica, in the mode `async`.
#[derive(Debug)]
pub(crate) struct QueuedRow {
    pub(crate) partition: u32,
    pub(crate) row: Row,
    pub(crate) since: Instant,
}

/// What failed calls did not bring to a copy.
#[derive(Debug, Default)]
pub(crate) struct Missed {
    /// Keys by partition; `None` where there are too many to name, and all rows are to be brought.
    keys: BTreeMap<u32, Option<BTreeSet<String>>>,
    is_repaired: bool,
}

impl Missed {
    /// Notes keys. Returns true when nobody is bringing what is missed.
    pub(crate) fn add(&mut self, partition: u32, keys: Option<BTreeSet<String>>) -> bool {
        let known = self
            .keys
            .entry(partition)
            .or_insert_with(|| Some(BTreeSet::new()));
        *known = match (known.take(), keys) {
            (Some(mut known), Some(mut keys)) => {
                known.append(&mut keys);
                Some(known).filter(|known| known.len() <= MAX_MISSED_KEYS)
            }
            _ => None,
        };
        !std::mem::replace(&mut self.is_repaired, true)
    }

    /// Takes the keys of one partition, for who brings them; `None` when nothing is missed, and then he is done.
    pub(crate) fn take(&mut self) -> Option<(u32, Option<BTreeSet<String>>)> {
        let first = self.keys.pop_first();
        self.is_repaired = first.is_some();
        first
    }
}

/// Another member, at one address.
pub(crate) struct Peer {
    pub(crate) id: NodeId,
    addr: String,
    token: Option<Arc<str>>,
    client: Client<HttpConnector, Full<Bytes>>,
    calls: Semaphore,
    pub(crate) missed: Mutex<Missed>,
    /// The queue of the mode `async`, and what it knows of itself.
    pub(crate) queue: mpsc::Sender<QueuedRow>,
    pub(crate) lag: Mutex<Lag>,
}

/// How far a replica is behind, in the mode `async`.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Lag {
    /// Rows that are not there yet, those on their way included.
    pub(crate) queued: usize,
    /// Since when the oldest of them waits.
    pub(crate) since: Option<Instant>,
    /// Calls that have failed.
    pub(crate) failed: u64,
}

impl Peer {
    fn new(id: NodeId, addr: String, token: Option<Arc<str>>, queue: mpsc::Sender<QueuedRow>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CALL_TIMEOUT));
        Peer {
            id,
            addr,
            token,
            client: Client::builder(TokioExecutor::new()).build(connector),
            calls: Semaphore::new(MAX_CALLS),
            missed: Mutex::default(),
            queue,
            lag: Mutex::default(),
        }
    }

    /// Makes a call between members, and reads its JSON.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CallError> {
        self.call_for(CALL_TIMEOUT, path, body).await
    }

    /// Makes a call that may take so long.
    pub(crate) async fn call_for<T: DeserializeOwned>(
        &self,
        timeout: Duration,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CallError> {
        let body = serde_json::to_vec(body).map_err(|error| CallError::Refused(error.to_string()))?;
        self.json(Request::post(self.uri(path)), body.into(), timeout)
            .await
    }

    /// Gets a page of a partition, and the epoch of the peer if it is the primary.
    pub(crate) async fn page(&self, partition: u32, after: &str) -> Result<(Page, Option<u64>), String> {
        let cursor = utf8_percent_encode(after, NON_ALPHANUMERIC);
        let path = format!("/kv/migrate?partition=partition-{partition}&after={cursor}&limit={PAGE_ROWS}");
        let answer: PageAnswer = self
            .json(Request::get(self.uri(&path)), Bytes::new(), PAGE_TIMEOUT)
            .await?;
        let epoch = answer.epoch;
        Ok((answer.into_page(after)?, epoch))
    }

    /// Passes a client's request on. The header keeps it from being passed on again.
    pub(crate) async fn forward(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let request = Request::builder()
            .method(method)
            .uri(self.uri(path))
            .header(FORWARDED, "1");
        self.send(request, body, timeout).await
    }

    /// How far it is behind, for `/kv/stats`.
    pub(crate) fn lag_json(&self) -> serde_json::Value {
        let lag = *self.lag.lock();
        let behind = lag.since.map_or(Duration::ZERO, |since| since.elapsed());
        let behind_ms = u64::try_from(behind.as_millis()).unwrap_or(u64::MAX);
        serde_json::json!({ "node": &*self.id, "queued": lag.queued, "behind_ms": behind_ms, "failed": lag.failed })
    }

    fn uri(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    async fn json<T: DeserializeOwned>(
        &self,
        mut request: Builder,
        body: Bytes,
        timeout: Duration,
    ) -> Result<T, CallError> {
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let (status, body) = self.send(request, body, timeout).await?;
        let unreadable = |error: serde_json::Error| CallError::Lost(error.to_string());
        match status {
            StatusCode::OK => serde_json::from_slice(&body).map_err(unreadable),
            StatusCode::CONFLICT => Err(CallError::Conflict(
                serde_json::from_slice(&body).map_err(unreadable)?,
            )),
            status => {
                let text = String::from_utf8_lossy(&body);
                Err(CallError::Refused(format!("{}: {status} {text}", self.id)))
            }
        }
    }

    async fn send(
        &self,
        request: Builder,
        body: Bytes,
        timeout: Duration,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let lost = |error: &dyn std::fmt::Display| CallError::Lost(error.to_string());
        let request = request.body(Full::new(body)).map_err(|error| lost(&error))?;
        let calling = async {
            // Never closed.
            let _permit = self.calls.acquire().await;
            let response = self
                .client
                .request(request)
                .await
                .map_err(|error| match error.is_connect() {
                    true => CallError::Unreachable,
                    false => lost(&error),
                })?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
            Ok((status, body.map_err(|error| lost(&error))?.to_bytes()))
        };
        tokio::time::timeout(timeout, calling)
            .await
            .map_err(|error| lost(&error))?
    }
}

/// The members that were called.
pub(crate) struct Peers {
    token: Option<Arc<str>>,
    queue_rows: usize,
    peers: Mutex<HashMap<NodeId, Arc<Peer>>>,
}

impl Peers {
    /// Peers that are shown this token, and whose queues have this length.
    pub(crate) fn new(token: Option<Arc<str>>, queue_rows: usize) -> Self {
        Peers {
            token,
            queue_rows,
            peers: Mutex::default(),
        }
    }

    /// The peer of a member; `made` gets a new one, with what its queue's sender reads from.
    pub(crate) fn get(
        &self,
        node: &Node,
        made: impl FnOnce(&Arc<Peer>, mpsc::Receiver<QueuedRow>),
    ) -> Option<Arc<Peer>> {
        let addr = address(node)?;
        let mut peers = self.peers.lock();
        if let Some(peer) = peers.get(&node.id).filter(|peer| peer.addr == addr) {
            return Some(peer.clone());
        }
        let (queue, receiver) = mpsc::channel(self.queue_rows);
        let peer = Arc::new(Peer::new(node.id.clone(), addr, self.token.clone(), queue));
        made(&peer, receiver);
        peers.insert(node.id.clone(), peer.clone());
        Some(peer)
    }

    /// Closes the connections to a member, except those of calls under way.
    pub(crate) fn close(&self, id: &str) {
        self.peers.lock().remove(id);
    }

    pub(crate) fn all(&self) -> Vec<Arc<Peer>> {
        self.peers.lock().values().cloned().collect()
    }
}

/// Where a member's service `kv` is: `:9080` is a port of the member's own host.
fn address(node: &Node) -> Option<String> {
    let service = node.services.get("kv")?;
    if !service.starts_with(':') {
        return Some(service.clone());
    }
    let (host, _) = node.ip.rsplit_once(':')?;
    Some(format!("{host}{service}"))
}

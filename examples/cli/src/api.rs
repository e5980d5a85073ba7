//! The HTTP API as typed calls. Every path and every shape that the commands rely on is named here and nowhere else.

use std::time::Duration;

use clusterkit::ErrorCode;
use clusterkit::Expect;
use clusterkit::model::{Cluster, HealthStatus, LeaderInfo, Node, NodeId, PartitionRecord, RebalanceStatus};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::args::Global;
use crate::client::{ANSWER_GRACE, Client, Request, Response, escape};
use crate::credentials::Credentials;
use crate::error::{CliError, Result};
use crate::hash::HashConfig;

/// `GET /cluster`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ClusterAnswer {
    /// Nodes, partitions and data.
    pub(crate) cluster: Cluster,
    /// How keys map to partitions.
    pub(crate) hash_config: HashConfig,
    /// The revision that the answer shows.
    pub(crate) revision: u64,
    /// The node knew of no leader: what it says was so when it last heard of one.
    #[serde(default)]
    pub(crate) stale: bool,
    /// For how many milliseconds it had not heard of one; `None` where it never has since it started.
    #[serde(skip)]
    pub(crate) last_contact: Option<u64>,
}

impl ClusterAnswer {
    /// How old a stale answer is, for people: `as of 34s ago`.
    pub(crate) fn as_of(&self) -> String {
        match self.last_contact {
            Some(millis) => format!("as of {} ago", whole_seconds(millis)),
            None => "as of before the node started".to_owned(),
        }
    }

    /// What ends a summary of a stale answer; empty for one of the present.
    pub(crate) fn age_note(&self) -> String {
        if self.stale {
            format!(", {}: no leader is known", self.as_of())
        } else {
            String::new()
        }
    }

    /// The member of this name.
    pub(crate) fn node(&self, id: &str) -> Option<&Node> {
        self.cluster
            .nodes
            .iter()
            .map(|node| &**node)
            .find(|node| &*node.id == id)
    }
}

/// `GET /health/detailed`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HealthAnswer {
    /// How the node is.
    #[serde(flatten)]
    pub(crate) health: HealthStatus,
    /// What protects it; `None` where it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) security: Option<NodeSecurity>,
}

/// What a node says of its protection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NodeSecurity {
    /// `secret`, `tls`, `secret+tls`, `rollout`, `insecure` or `open`.
    pub(crate) mode: String,
    /// The keys that it accepts.
    #[serde(default)]
    pub(crate) keys: Vec<NodeKey>,
    /// The id of the key that it uses.
    #[serde(default)]
    pub(crate) key_in_use: Option<String>,
    /// How many requests and peers it has refused because they proved nothing.
    #[serde(default)]
    pub(crate) failed_proofs: u64,
}

/// A key of the cluster's secret on one node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NodeKey {
    /// Its id.
    pub(crate) key_id: String,
    /// The connections of peers under it that the node serves.
    pub(crate) connections: usize,
    /// The requests with a token of it since the node took the key.
    pub(crate) requests: u64,
}

/// `GET /partitions/key`, as far as it is compared with this program's own answer.
#[derive(Debug, Deserialize)]
pub(crate) struct KeyAnswer {
    /// The partition's record.
    pub(crate) partition: PartitionRecord,
}

/// `GET /nodes`, one page.
#[derive(Debug, Deserialize)]
struct NodesPage {
    nodes: Vec<Node>,
    has_more: bool,
    #[serde(default)]
    next_offset: Option<usize>,
}

/// `GET /data`, one page.
#[derive(Debug, Deserialize)]
struct KeysPage {
    keys: Vec<String>,
    has_more: bool,
}

/// A value of the replicated store.
#[derive(Debug)]
pub(crate) struct DataValue {
    /// The bytes.
    pub(crate) value: Vec<u8>,
    /// The revision that wrote it.
    pub(crate) revision: u64,
}

/// `PUT /data/KEY` and `DELETE /data/KEY`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Written {
    /// The key.
    pub(crate) key: String,
    /// The revision of the write.
    pub(crate) revision: u64,
    /// For a deletion: whether there was something to delete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deleted: Option<bool>,
}

/// `POST /rebalance`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Rebalance {
    /// True when nothing was set in motion.
    pub(crate) dry_run: bool,
    /// The revision of the plan.
    pub(crate) revision: u64,
    /// How many partitions change a holder or their primary.
    pub(crate) partitions_to_move: usize,
    /// What changes, by partition number.
    pub(crate) moves: Vec<Moved>,
}

/// One partition in a plan.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Moved {
    /// `partition-5`.
    pub(crate) partition_id: String,
    /// The primary now, empty when there is none.
    pub(crate) old_primary: NodeId,
    /// The primary afterwards.
    pub(crate) new_primary: NodeId,
    /// The nodes that get a copy.
    pub(crate) gain: Vec<NodeId>,
    /// The nodes whose copy goes.
    pub(crate) lose: Vec<NodeId>,
}

/// Calls to one node.
#[derive(Debug)]
pub(crate) struct Api {
    client: Client,
}

impl Api {
    /// Calls to the node that the command line names. Nothing is dialled yet.
    pub(crate) fn of(global: &Global) -> Result<Self> {
        Api::showing(&global.credentials, global)
    }

    /// Calls to another node of its cluster, in the same way and with the same that is shown to it.
    pub(crate) fn at(addr: &str, timeout: Duration, global: &Global) -> Result<Self> {
        let client = Client::new(addr, timeout, global.tls.client()?, &global.credentials)?;
        Ok(Api { client })
    }

    /// Calls to the node that the command line names, to which something else is shown.
    pub(crate) fn showing(credentials: &Credentials, global: &Global) -> Result<Self> {
        let client = Client::new(&global.addr, global.timeout, global.tls.client()?, credentials)?;
        Ok(Api { client })
    }

    /// Calls to a node to which nothing has to be shown.
    pub(crate) fn open(addr: &str, timeout: Duration) -> Result<Self> {
        let client = Client::new(addr, timeout, None, &Credentials::default())?;
        Ok(Api { client })
    }

    /// Where it calls.
    pub(crate) fn addr(&self) -> &str {
        self.client.addr()
    }

    /// The whole cluster.
    pub(crate) fn cluster(&mut self) -> Result<ClusterAnswer> {
        let response = self.send(get("/cluster"))?;
        let answer: ClusterAnswer = decode(&response)?;
        Ok(ClusterAnswer {
            last_contact: response.last_contact,
            ..answer
        })
    }

    /// How many members the asked node has heard of lately.
    pub(crate) fn heard(&mut self) -> Result<Option<usize>> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            heard: Option<usize>,
        }
        Ok(self.get::<Page>("/nodes?limit=1")?.heard)
    }

    /// The whole cluster as soon as it has moved past `revision`; `None` when it has not within `wait`.
    pub(crate) fn cluster_after(&mut self, revision: u64, wait: Duration) -> Result<Option<ClusterAnswer>> {
        let path = format!("/cluster?wait={revision}&timeout={}", wait.as_millis());
        let response = self.client.request_within(wait + ANSWER_GRACE, get(&path))?;
        let answer: ClusterAnswer = decode(&success(response, false)?)?;
        Ok((answer.revision > revision).then_some(answer))
    }

    /// Every member, page by page.
    pub(crate) fn nodes(&mut self) -> Result<Vec<Node>> {
        let mut nodes: Vec<Node> = Vec::new();
        loop {
            let page: NodesPage = self.get(&format!("/nodes?limit=1000&offset={}", nodes.len()))?;
            let came = page.nodes.len();
            nodes.extend(page.nodes);
            // A page that brings nothing ends it too: a node that answers nonsense must not keep us here.
            if !page.has_more || came == 0 || page.next_offset.is_some_and(|next| next < nodes.len()) {
                return Ok(nodes);
            }
        }
    }

    /// The leader.
    pub(crate) fn leader(&mut self) -> Result<LeaderInfo> {
        self.get("/consensus/leader")
    }

    /// How the asked node is.
    pub(crate) fn health(&mut self) -> Result<HealthAnswer> {
        self.get("/health/detailed")
    }

    /// Whether the asked node says yes, by its status, and the rest of its answer.
    pub(crate) fn probe(&mut self, path: &str) -> Result<(bool, Value)> {
        let response = self.client.request(get(path))?;
        let is_well = (200..300).contains(&response.status);
        Ok((is_well, decode(&response)?))
    }

    /// The partition of a key, as the node sees it once it has applied `revision`.
    pub(crate) fn key(&mut self, key: &str, revision: u64) -> Result<KeyAnswer> {
        self.get_waiting(&format!(
            "/partitions/key?key={}&revision={revision}",
            escape(key)
        ))
    }

    /// Asks the cluster to spread partitions anew, or only what that would do.
    pub(crate) fn rebalance(&mut self, dry_run: bool) -> Result<Rebalance> {
        let path = if dry_run {
            "/rebalance?dry_run=true"
        } else {
            "/rebalance"
        };
        decode(&self.send(Request {
            method: "POST",
            path,
            body: Some(b""),
            waits: true,
            ..Request::default()
        })?)
    }

    /// What moves, and what moves wait for.
    pub(crate) fn rebalance_status(&mut self) -> Result<RebalanceStatus> {
        self.get_waiting("/rebalance")
    }

    /// Something that an administrator orders and that needs no body.
    pub(crate) fn order(&mut self, method: &'static str, path: &str) -> Result<Value> {
        decode(&self.send(Request {
            method,
            path,
            body: (method == "POST").then_some(b"".as_slice()),
            waits: true,
            ..Request::default()
        })?)
    }

    /// Removes a member.
    pub(crate) fn remove(&mut self, id: &str, force: bool) -> Result<Value> {
        let force = if force { "?force=true" } else { "" };
        decode(&self.send(Request {
            method: "DELETE",
            path: &format!("/nodes/{}{force}", escape(id)),
            waits: true,
            ..Request::default()
        })?)
    }

    /// A value of the replicated store, as the asked node has it once it has applied `revision`.
    pub(crate) fn data_get(&mut self, key: &str, revision: u64) -> Result<DataValue> {
        let response = self.send(Request {
            waits: true,
            ..get(&format!("{}?revision={revision}", data_path(key)))
        })?;
        let revision = response
            .etag
            .ok_or_else(|| CliError::bad_answer("a value without an ETag"))?;
        Ok(DataValue {
            value: response.body,
            revision,
        })
    }

    /// Writes a value.
    pub(crate) fn data_set(&mut self, key: &str, value: &[u8], expect: Expect) -> Result<Written> {
        let tag;
        let header = match expect {
            Expect::Any => None,
            Expect::Absent => Some(("If-None-Match", "*")),
            Expect::Revision(revision) => {
                tag = format!("\"{revision}\"");
                Some(("If-Match", tag.as_str()))
            }
        };
        decode(&self.send(Request {
            method: "PUT",
            path: &data_path(key),
            header,
            body: Some(value),
            // Writing the same value twice leaves that value. With a condition the second would fail.
            repeatable: expect == Expect::Any,
            waits: true,
        })?)
    }

    /// Deletes a value.
    pub(crate) fn data_delete(&mut self, key: &str) -> Result<Written> {
        decode(&self.send(Request {
            method: "DELETE",
            path: &data_path(key),
            waits: true,
            ..Request::default()
        })?)
    }

    /// Every key that begins with `prefix`, page by page.
    pub(crate) fn data_list(&mut self, prefix: &str) -> Result<Vec<String>> {
        let mut keys: Vec<String> = Vec::new();
        loop {
            let after = keys
                .last()
                .map(|key| format!("&after={}", escape(key)))
                .unwrap_or_default();
            let page: KeysPage = self.get(&format!("/data?limit=1000&prefix={}{after}", escape(prefix)))?;
            let came = page.keys.len();
            keys.extend(page.keys);
            if !page.has_more || came == 0 {
                return Ok(keys);
            }
        }
    }

    fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T> {
        decode(&self.send(get(path))?)
    }

    /// The same where the node waits, for a revision or for the leader's word.
    fn get_waiting<T: DeserializeOwned>(&mut self, path: &str) -> Result<T> {
        decode(&self.send(Request {
            waits: true,
            ..get(path)
        })?)
    }

    fn send(&mut self, request: Request<'_>) -> Result<Response> {
        let changes = request.changes();
        success(self.client.request(request)?, changes)
    }
}

/// A time for people: `34s`.
pub(crate) fn whole_seconds(millis: u64) -> String {
    clusterkit::format_duration(Duration::from_secs(millis / 1000))
}

fn get(path: &str) -> Request<'_> {
    Request {
        method: "GET",
        path,
        repeatable: true,
        ..Request::default()
    }
}

fn data_path(key: &str) -> String {
    format!("/data/{}", escape(key))
}

fn decode<T: DeserializeOwned>(response: &Response) -> Result<T> {
    serde_json::from_slice(&response.body).map_err(CliError::bad_answer)
}

/// The answer when its status says success, else the error that it holds; to a request that `changes` something two of
/// them say that nobody knows whether it did.
fn success(response: Response, changes: bool) -> Result<Response> {
    #[derive(Deserialize)]
    struct Envelope {
        error: Body,
    }
    #[derive(Deserialize)]
    struct Body {
        code: String,
        message: String,
    }
    if (200..300).contains(&response.status) {
        return Ok(response);
    }
    let error = match serde_json::from_slice::<Envelope>(&response.body) {
        Ok(Envelope { error })
            if error.code == ErrorCode::Timeout.name()
                || (changes && error.code == ErrorCode::Internal.name()) =>
        {
            CliError::Unknown(error.message)
        }
        Ok(Envelope { error }) => CliError::Failed {
            code: error.code,
            message: error.message,
        },
        Err(_) => CliError::bad_answer(format!(
            "HTTP status {} without an error message",
            response.status
        )),
    };
    Err(error)
}

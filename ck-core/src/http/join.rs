//! `POST /join`: how a node describes itself, and the answer that it gets.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::env::Instant;
use crate::error::{Error, ErrorCode, Result};
use crate::model::{ClusterConfig, NodeId};
use crate::net::CallRate;
use crate::options::Options;
use crate::state::NodeSpec;

/// The joins that a node takes from one address in a second, and at once. A node that joins asks a few times a second at most,
/// and each is dialled back: thousands behind one address get in one after the other.
const JOINS_PER_SECOND: u32 = 32;
const JOINS_AT_ONCE: u32 = 256;

/// How often one address asks to join.
#[derive(Debug)]
pub(crate) struct JoinRate(CallRate);

impl Default for JoinRate {
    fn default() -> Self {
        JoinRate(CallRate::new(JOINS_PER_SECOND, JOINS_AT_ONCE))
    }
}

impl JoinRate {
    /// Counts a join.
    ///
    /// # Errors
    /// [`ErrorCode::Busy`] where this address asks too often.
    pub(crate) fn check(&self, address: IpAddr) -> Result<()> {
        if self.0.admit(address, Instant::now()) {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::Busy,
            format!(
                "this node takes {JOINS_PER_SECOND} joins a second from one address, and more were asked for; try again later"
            ),
        ))
    }
}

/// The body of `POST /join`. Unknown fields are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The node that joins.
    pub node: JoinNode,
    /// The address that peers dial; [`JoinNode::ip`] when it is missing or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub raft_addr: String,
    /// What the node expects of the cluster.
    #[serde(flatten)]
    pub terms: JoinTerms,
}

/// A node as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct JoinNode {
    /// Its id: 1 to 255 of `A-Za-z0-9._:-`.
    pub id: String,
    /// The advertised `host:port` of its HTTP API.
    pub ip: String,
    /// A display name; the id when it is missing or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The application's endpoints.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<String, String>,
    /// The failure zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Its share of the partitions; 100 when it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Free-form labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// A random number that identifies the process, so that a repeated join is recognised as one.
    #[serde(default)]
    pub process: u64,
    /// Its Raft id, if it rejoins with its log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raft_id: Option<u64>,
}

/// What a joining node expects of the cluster. The join is refused when the cluster differs. Missing values are not
/// compared.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct JoinTerms {
    /// The cluster's id, known to a node that rejoins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// The cluster's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// Number of partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_count: Option<u32>,
    /// Number of copies of each partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_factor: Option<u32>,
}

/// The `data` of the answer to `POST /join`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinReply {
    /// The node that joined.
    pub node_id: NodeId,
    /// The cluster's id.
    pub cluster_id: String,
    /// Number of members, this one included.
    pub node_count: usize,
    /// Its Raft id.
    pub raft_id: u64,
    /// Its incarnation.
    pub incarnation: u64,
    /// The revision of its join.
    pub revision: u64,
    /// The settings that are the same in the whole cluster.
    pub config: ClusterConfig,
}

impl JoinRequest {
    /// The node in the form that the state machine takes. Each field is held to the bounds of the option from which a
    /// node of this build sets it.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`]: the message names the field, its value and what would be right.
    pub fn spec(&self) -> Result<NodeSpec> {
        let node = &self.node;
        check("node.id", "node_id", &node.id)?;
        let port = address("node.ip", &node.ip)?;
        let peer_addr = if self.raft_addr.is_empty() {
            &node.ip
        } else {
            &self.raft_addr
        };
        address("raft_addr", peer_addr)?;
        let name = if node.name.is_empty() {
            &node.id
        } else {
            &node.name
        };
        check("node.name", "node_name", name)?;
        if let Some(zone) = &node.zone {
            check("node.zone", "zone", zone)?;
        }
        let weight = node.weight.unwrap_or(100);
        check("node.weight", "weight", &weight.to_string())?;
        let mut options = Options::default();
        for (group, entries) in [("services", &node.services), ("labels", &node.labels)] {
            for (key, value) in entries {
                let option = format!("{group}.{key}");
                set(&mut options, &format!("node.{option}"), &option, value)?;
            }
        }
        Ok(NodeSpec {
            id: node.id.as_str().into(),
            name: name.clone(),
            ip: node.ip.clone(),
            port,
            peer_addr: peer_addr.clone(),
            services: node.services.clone(),
            zone: node.zone.clone().filter(|zone| !zone.is_empty()),
            weight,
            labels: node.labels.clone(),
            process: node.process,
            raft_id: node.raft_id,
        })
    }
}

/// Checks a field against the bounds of the option with the same meaning.
fn check(field: &str, option: &str, value: &str) -> Result<()> {
    set(&mut Options::default(), field, option, value)
}

fn set(options: &mut Options, field: &str, option: &str, value: &str) -> Result<()> {
    options.set(option, value).map_err(|error| {
        let message = error.message();
        let problem = message
            .strip_prefix(&format!("option {option}: "))
            .unwrap_or(message);
        Error::new(ErrorCode::InvalidArgument, format!("{field}: {problem}"))
    })
}

/// Checks an address that other nodes can dial; returns its port.
fn address(field: &str, value: &str) -> Result<u16> {
    // The option takes a list, which may be empty; here it is exactly one address.
    let port = value.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    match port {
        Some(port) if !value.contains(',') => check(field, "join_addrs", value).map(|()| port),
        _ => {
            let shown: String = value.chars().take(80).collect();
            let message = format!("{field}: {shown:?} has to be \"host:port\", such as \"10.0.0.5:8080\"");
            Err(Error::new(ErrorCode::InvalidArgument, message))
        }
    }
}

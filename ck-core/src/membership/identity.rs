//! This node's identity, kept in its data directory.
//!
//! The identity, the log and the snapshot belong together, and each of them names its owner. A directory of which a
//! part is missing, or comes from another node, is refused: a node without its log has forgotten its votes and what it
//! acknowledged, and if it took part in Raft it could lose committed entries or elect a second leader. Such a node can
//! return only as a new node, with an empty directory.
//!
//! No task and no lock: `node::data_dir` loads and stores the file in the blocking pool, under the lock of the
//! directory.
//!
//! Start with `IdentityFile::load`, which also looks for the log and the snapshot that belong to the identity.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::env::disk::Disk;
use crate::error::{Error, ErrorCode, Result};
use crate::model::RaftId;
use crate::model::{ClusterConfig, NodeId};
use crate::raft::{LOG_DIR, WHAT_TO_DO, has_log, has_snapshot, too_long_is_damage};

/// The longest identity file that is read.
const MAX_BYTES: u64 = 64 * 1024;
/// Version 1 had neither a checksum nor the fields `founded` and `has_log`.
const VERSION: u16 = 2;
/// A node's place in a cluster, which ties its log to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    version: u16,
    pub(crate) cluster_id: String,
    pub(crate) cluster_name: String,
    pub(crate) node_id: NodeId,
    pub(crate) raft_id: RaftId,
    /// Set on the node that founds the cluster: the configuration to found it with, in case founding is interrupted.
    #[serde(default)]
    pub(crate) founding: Option<ClusterConfig>,
    /// Founding is finished: the cluster exists, and is never founded again.
    #[serde(default)]
    pub(crate) founded: bool,
    /// The log has been created, durably. From then on a directory without a log has lost it.
    #[serde(default)]
    pub(crate) has_log: bool,
    /// The node has run with a secret or certificates that everybody has to prove. It does not run without any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) secured: bool,
}

impl Identity {
    pub(crate) fn new(cluster_id: String, cluster_name: String, node_id: NodeId, raft_id: RaftId) -> Self {
        Identity {
            version: VERSION,
            cluster_id,
            cluster_name,
            node_id,
            raft_id,
            founding: None,
            founded: false,
            has_log: false,
            secured: false,
        }
    }
}

impl Identity {
    /// This identity after the node has created its log.
    pub(crate) fn with_log(&self) -> Identity {
        Identity {
            has_log: true,
            ..self.clone()
        }
    }

    /// This identity after the node has run with what everybody has to prove.
    pub(crate) fn with_security(&self) -> Identity {
        Identity {
            secured: true,
            ..self.clone()
        }
    }

    /// This identity after the node has founded its cluster.
    pub(crate) fn with_cluster(&self) -> Identity {
        Identity {
            founded: true,
            ..self.with_log()
        }
    }
}

/// The field that holds the checksum.
const CHECKSUM: &str = "checksum";

/// CRC-32C of the file's fields without the checksum itself. It does not depend on white space, and covers the fields
/// of any version.
fn sum(fields: &serde_json::Map<String, serde_json::Value>) -> Result<String> {
    let mut fields = fields.clone();
    fields.remove(CHECKSUM);
    let bytes = serde_json::to_vec(&fields)
        .map_err(|error| Error::internal(format!("encode the identity: {error}")))?;
    Ok(format!("{:08x}", crc32c::crc32c(&bytes)))
}

/// The file with a correct checksum for its fields; `None` where it has no fields.
#[cfg(any(test, feature = "fuzz"))]
pub(super) fn repair(file: &[u8]) -> Option<Vec<u8>> {
    let mut fields: serde_json::Map<_, _> = serde_json::from_slice(file).ok()?;
    let right = sum(&fields).ok()?;
    fields.insert(CHECKSUM.to_owned(), right.into());
    serde_json::to_vec(&fields).ok()
}

/// `identity.json` in the data directory.
pub(crate) struct IdentityFile {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    path: PathBuf,
}

impl IdentityFile {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path) -> Self {
        IdentityFile {
            disk,
            dir: dir.to_owned(),
            path: dir.join("identity.json"),
        }
    }

    /// The stored identity; `None` in a fresh directory. Also checks that the log that belongs to it is there.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupt`] when it cannot be read, or when identity and log are not both there;
    /// [`ErrorCode::Version`] when it is newer than this build.
    pub(crate) fn load(&self) -> Result<Option<Identity>> {
        let identity = self.read()?;
        let has_log = has_log(&*self.disk, &self.dir)?;
        let has_snapshot = has_snapshot(&*self.disk, &self.dir)?;
        match &identity {
            None if has_log || has_snapshot => {
                let found = if has_log { "wal.log" } else { "snapshot" };
                Err(self.corrupt(&format!(
                    "missing, beside a {found} that belongs to a node of some cluster; {WHAT_TO_DO}"
                )))
            }
            Some(identity) if identity.has_log && !has_log => Err(self.lost_log(identity)),
            _ => Ok(identity),
        }
    }

    /// The error of a node whose log is missing or empty although it was created before.
    pub(crate) fn lost_log(&self, identity: &Identity) -> Error {
        Error::new(
            ErrorCode::Corrupt,
            format!(
                "{}: the log of this node is missing; without it the node has forgotten what it voted for and acknowledged \
                 as Raft id {} of cluster {:?}; {WHAT_TO_DO}",
                self.dir.join(LOG_DIR).display(),
                identity.raft_id,
                identity.cluster_id
            ),
        )
    }

    fn read(&self) -> Result<Option<Identity>> {
        let Some(bytes) = self
            .disk
            .read(&self.path, MAX_BYTES)
            .map_err(too_long_is_damage)?
        else {
            return Ok(None);
        };
        let damaged = |error| self.corrupt(&format!("not an identity: {error}; {WHAT_TO_DO}"));
        let fields: serde_json::Map<_, _> = serde_json::from_slice(&bytes).map_err(damaged)?;
        let version = fields
            .get("version")
            .and_then(serde_json::Value::as_u64)
            .unwrap_or(0);
        if version > u64::from(VERSION) {
            let message = format!(
                "{}: version {version}; this build knows {VERSION}",
                self.path.display(),
            );
            return Err(Error::new(ErrorCode::Version, message));
        }
        let (stored, right) = (fields.get(CHECKSUM).cloned(), sum(&fields)?);
        if version != 1 && stored.as_ref().and_then(serde_json::Value::as_str) != Some(&right) {
            return Err(self.corrupt(&format!(
                "damaged: what it says has the checksum {right:?}, and not {}; {WHAT_TO_DO}",
                stored.unwrap_or_default()
            )));
        }
        let mut identity: Identity =
            serde_json::from_value(serde_json::Value::Object(fields)).map_err(damaged)?;
        if version == 1 {
            // Version 1 does not say whether a log was created: a missing one is taken for lost.
            identity.has_log = true;
        }
        Ok(Some(identity))
    }

    fn corrupt(&self, what: &str) -> Error {
        Error::new(ErrorCode::Corrupt, format!("{}: {what}", self.path.display()))
    }

    /// Stores the identity durably, before anything relies on it.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn store(&self, identity: &Identity) -> Result<()> {
        let encode = |error| Error::internal(format!("encode the identity: {error}"));
        let identity = Identity {
            version: VERSION,
            ..identity.clone()
        };
        let mut fields = match serde_json::to_value(&identity).map_err(encode)? {
            serde_json::Value::Object(fields) => fields,
            other => return Err(Error::internal(format!("an identity that is {other}"))),
        };
        let right = sum(&fields)?;
        fields.insert(CHECKSUM.to_owned(), right.into());
        let bytes = serde_json::to_vec_pretty(&fields).map_err(encode)?;
        self.disk.replace(&self.path, &bytes)
    }

    /// Checks that the directory belongs to this node and this cluster.
    ///
    /// # Errors
    /// [`ErrorCode::WrongCluster`] with both values.
    pub(crate) fn check(&self, identity: &Identity, node_id: &str, cluster_name: &str) -> Result<()> {
        let differ = |what: &str, stored: &str, asked: &str| {
            let dir = self.path.parent().unwrap_or(&self.path).display();
            Error::new(
                ErrorCode::WrongCluster,
                format!("data_dir {dir} belongs to {what} {stored:?}, but {asked:?} was asked for"),
            )
        };
        if &*identity.node_id != node_id {
            return Err(differ("node", &identity.node_id, node_id));
        }
        if identity.cluster_name != cluster_name {
            return Err(differ("cluster", &identity.cluster_name, cluster_name));
        }
        Ok(())
    }
}

#[cfg(test)]
impl Identity {
    /// The identity of a node that has begun to found a cluster.
    pub(super) fn of_founder() -> Self {
        let mut identity = Identity::new("c0ffee".into(), "name".into(), "node-1".into(), 7);
        identity.founding = Some(ClusterConfig {
            cluster_name: "name".into(),
            partition_count: 64,
            replication_factor: 3,
            lease_ttl_ms: 1500,
            failure_timeout_ms: 2000,
            election_timeout_ms: 300,
        });
        identity
    }
}

#[cfg(test)]
mod tests;

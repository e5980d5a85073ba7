//! Who this node is, kept in its data directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::consensus::RaftId;
use crate::env::disk::Disk;
use crate::error::{Error, ErrorCode, Result};
use crate::model::{ClusterConfig, NodeId};

/// The longest identity file that is read.
const MAX_BYTES: u64 = 64 * 1024;
const VERSION: u16 = 1;

/// A node's place in a cluster: what ties its log to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    version: u16,
    pub(crate) cluster_id: String,
    pub(crate) cluster_name: String,
    pub(crate) node_id: NodeId,
    pub(crate) raft_id: RaftId,
    /// Set on the node that founded the cluster: what it was to be, should the founding be cut short.
    #[serde(default)]
    pub(crate) founding: Option<ClusterConfig>,
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
        }
    }
}

/// `identity.json` in the data directory.
pub(crate) struct IdentityFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl IdentityFile {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path) -> Self {
        IdentityFile {
            disk,
            path: dir.join("identity.json"),
        }
    }

    /// The stored identity; `None` in a fresh directory.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupt`] when it cannot be read, [`ErrorCode::Version`] when it is newer than this build.
    pub(crate) fn load(&self) -> Result<Option<Identity>> {
        let Some(bytes) = self.disk.read(&self.path, MAX_BYTES)? else {
            return Ok(None);
        };
        let identity: Identity = serde_json::from_slice(&bytes).map_err(|error| {
            Error::new(
                ErrorCode::Corrupt,
                format!("{}: not an identity: {error}", self.path.display()),
            )
        })?;
        if identity.version > VERSION {
            let message = format!(
                "{}: version {}; this build knows {VERSION}",
                self.path.display(),
                identity.version
            );
            return Err(Error::new(ErrorCode::Version, message));
        }
        Ok(Some(identity))
    }

    /// Stores it durably, before anything relies on it.
    pub(crate) fn store(&self, identity: &Identity) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(identity)
            .map_err(|error| Error::internal(format!("encode the identity: {error}")))?;
        self.disk.replace(&self.path, &bytes)
    }

    /// Checks that the directory is this node's and this cluster's.
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

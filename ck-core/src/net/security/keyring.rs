//! The keys that a node uses and accepts.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::keys::CountedConnection;
use super::{ClusterKeys, KeyId, KeyUse};
use crate::error::{Error, ErrorCode, Result};
use crate::options::{check_keyring, keys_of};

/// The keys of the cluster's secret, or of two secrets during a change: the first is used, both are accepted. Clones are the
/// same keyring.
#[derive(Clone)]
pub struct Keyring {
    cluster: Arc<str>,
    keys: watch::Sender<Arc<[Arc<ClusterKeys>]>>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl Keyring {
    /// The keyring of a cluster with the secrets in `text`: one, or two separated by a comma or the end of a line.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] with what is wrong, without the text.
    pub fn new(cluster: &str, text: &str) -> Result<Self> {
        let keys = keys(cluster, text)?;
        Ok(Keyring {
            cluster: cluster.into(),
            keys: watch::Sender::new(keys),
        })
    }

    /// Takes these secrets instead. Returns whether that changed anything. Connections under a key that is gone end.
    ///
    /// # Errors
    /// As [`Keyring::new`]; then the keyring stays as it is.
    pub fn replace(&self, text: &str) -> Result<bool> {
        let keys = keys(&self.cluster, text)?;
        Ok(self.keys.send_if_modified(|present| {
            let ids = |keys: &[Arc<ClusterKeys>]| keys.iter().map(|key| key.id().clone()).collect::<Vec<_>>();
            if ids(present) == ids(&keys) {
                return false;
            }
            // A key that stays is the same one, with its counts.
            let kept = keys.iter().map(|key| {
                let same = present.iter().find(|present| present.id() == key.id());
                same.unwrap_or(key).clone()
            });
            *present = kept.collect();
            true
        }))
    }

    /// The keys: the one that is used first.
    pub(super) fn keys(&self) -> Arc<[Arc<ClusterKeys>]> {
        self.keys.borrow().clone()
    }

    /// The ids of the keys: the one that is used first.
    pub fn ids(&self) -> Vec<KeyId> {
        self.keys().iter().map(|key| key.id().clone()).collect()
    }

    /// How much each key is used.
    pub fn uses(&self) -> Vec<KeyUse> {
        self.keys().iter().map(|key| key.present_use()).collect()
    }

    /// Counts a connection under the key with this id, which this node serves.
    pub(in crate::net) fn count_connection(&self, id: &KeyId) -> Option<CountedConnection> {
        let keys = self.keys();
        let key = keys.iter().find(|key| key.id() == id)?;
        Some(CountedConnection::new(key.clone()))
    }

    /// True while the key with this id is in the keyring.
    pub(in crate::net) fn has(&self, id: &KeyId) -> bool {
        self.keys.borrow().iter().any(|key| key.id() == id)
    }

    /// Returns once the key with this id is not in the keyring any more.
    pub(in crate::net) async fn wait_revoked(&self, id: &KeyId) {
        let mut keys = self.keys.subscribe();
        let is_gone = |keys: &Arc<[Arc<ClusterKeys>]>| keys.iter().all(|key| key.id() != id);
        // The keyring holds the sender, so the channel is open.
        drop(keys.wait_for(is_gone).await);
    }
}

fn keys(cluster: &str, text: &str) -> Result<Arc<[Arc<ClusterKeys>]>> {
    check_keyring(text).map_err(|problem| {
        let message = format!("the cluster's secret, which is not shown, {problem}");
        Error::new(ErrorCode::InvalidOption, message)
    })?;
    Ok(keys_of(text)
        .map(|secret| Arc::new(ClusterKeys::new(cluster, secret)))
        .collect())
}

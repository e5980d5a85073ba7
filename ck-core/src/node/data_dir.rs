//! The data directory of a node.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::env;
use crate::env::disk::{Disk, DiskLock, MemDisk, RealDisk};
use crate::error::{Error, Result};
use crate::membership::{Identity, IdentityFile, PromiseFile};
use crate::model::NodeId;
use crate::options::Options;

/// How many bytes a disk must accept before a node starts on it: at least what the log needs to take part.
const PROBE_BYTES: usize = 256 * 1024;

/// A data directory, and the lock that keeps a second process out of it.
pub(crate) struct DataDir {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) path: PathBuf,
    lock: Mutex<Option<DiskLock>>,
}

/// What a node remembers of itself from an earlier process.
pub(super) struct Remembered {
    /// Its identity, if it belongs to a cluster.
    pub(super) identity: Option<Identity>,
    /// The founder that it has promised to, if it belongs to no cluster.
    pub(super) promised: Option<NodeId>,
}

impl DataDir {
    /// The directory of `data_dir`. With an empty one the disk is in memory, and the path is only a name.
    pub(super) fn new(data_dir: &str, disk: Arc<dyn Disk>) -> Self {
        let path = match data_dir {
            "" => "/memory".into(),
            data_dir => PathBuf::from(data_dir),
        };
        DataDir {
            disk,
            path,
            lock: Mutex::default(),
        }
    }

    /// Locks the directory, checks that it can be written, and reads what an earlier process of the node has left.
    pub(super) async fn open(&self) -> Result<Remembered> {
        let disk = self.disk.clone();
        let path = self.path.clone();
        let opening = env::blocking(move || {
            disk.create_dir_all(&path)?;
            let lock = disk.lock(&path.join("LOCK"))?;
            let identity = IdentityFile::new(disk.clone(), &path).load()?;
            probe(&*disk, &path)?;
            let promised = match &identity {
                None => PromiseFile::new(disk, &path).load()?,
                Some(_) => None,
            };
            Ok::<_, Error>((lock, Remembered { identity, promised }))
        });
        let (lock, remembered) = opening.await??;
        *self.lock.lock() = Some(lock);
        Ok(remembered)
    }

    /// True where every user of the machine may write in the directory: such a user may replace its files, and so
    /// impersonate the node.
    pub(super) async fn is_world_writable(&self) -> Result<bool> {
        let (disk, path) = (self.disk.clone(), self.path.clone());
        env::blocking(move || disk.is_world_writable(&path)).await?
    }

    /// The file of the node's identity.
    pub(super) fn identity_file(&self) -> IdentityFile {
        IdentityFile::new(self.disk.clone(), &self.path)
    }

    /// Stores the node's identity durably.
    pub(super) async fn store_identity(&self, identity: Identity) -> Result<()> {
        let file = self.identity_file();
        env::blocking(move || file.store(&identity)).await?
    }

    /// Stores durably which founder the node has promised to.
    pub(super) async fn store_promise(&self, founder: NodeId) -> Result<()> {
        let file = PromiseFile::new(self.disk.clone(), &self.path);
        env::blocking(move || file.store(&founder)).await?
    }

    /// Gives the directory free for another process.
    pub(super) fn unlock(&self) {
        self.lock.lock().take();
    }
}

/// The disk for these options: in memory where `data_dir` is empty.
pub(crate) fn disk_for(options: &Options) -> Arc<dyn Disk> {
    if options.data_dir.is_empty() {
        Arc::new(MemDisk::new())
    } else {
        Arc::new(RealDisk)
    }
}

/// Writes, fsyncs and removes a file, so that a disk that accepts no writes is found before other nodes rely on this
/// one: a node that was admitted and then fails has its copies made twice.
fn probe(disk: &dyn Disk, dir: &Path) -> Result<()> {
    let path = dir.join("start-probe");
    let written = disk.create(&path).and_then(|file| {
        file.write_all_at(&[0; PROBE_BYTES], 0)?;
        file.sync_data()
    });
    let removed = disk.remove(&path);
    written
        .and(removed)
        .map_err(|error| error.context("this node cannot write its data"))
}

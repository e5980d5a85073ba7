//! A disk in memory, for nodes without a data directory and for simulations, where it can fail and crash.
//!
//! It separates what a program sees from what a power loss would leave. Every unsynced write keeps the bytes that it
//! replaced, so that a crash can undo it, whole or in part. The unsynced changes of a folder are a list, of which a crash
//! keeps a prefix (file systems journal names in order). The outcome of a crash depends only on the history and the seed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::{DirSync, Disk, DiskFile, DiskLock, parent};
use crate::{Error, ErrorCode, Result};

mod content;
mod dir;
mod hang;
use dir::{Dir, DirChange, Inode};
use hang::Hang;

/// The faults from now on. Counts are of operations on the whole disk; 0 is the next one.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// This write fails and writes nothing; later ones succeed.
    pub fail_write: Option<u64>,
    /// This file sync fails. As on Linux, the data that it should have made durable stays visible but is never written,
    /// although later syncs succeed. Only writing the data again makes it durable.
    pub fail_sync: Option<u64>,
    /// So many bytes can still be written; the write that crosses the bound is cut short, later ones fail.
    pub capacity: Option<u64>,
    /// No file descriptor is free: nothing can be created, opened or locked, and no folder synced.
    pub no_files: bool,
    /// Nothing can be written any more, as on a file system that was remounted read-only.
    pub read_only: bool,
    /// Every write of more than one byte takes only half.
    pub short_writes: bool,
    /// After so many changing operations (write, sync, create, rename, remove, resize) everything fails,
    /// as for a process that was killed. A write that is hit happens, and can be torn by the crash.
    pub halt_after: Option<u64>,
}

/// A disk in memory. Clones share the content. The module's documentation describes a crash.
#[derive(Clone, Default)]
pub struct MemDisk {
    shared: Arc<Mutex<MemDiskState>>,
    hang: Hang,
}

#[derive(Default)]
struct MemDiskState {
    dirs: BTreeMap<PathBuf, Dir>,
    locks: BTreeSet<PathBuf>,
    /// Grows with each crash; handles of an earlier generation fail.
    generation: u64,
    faults: Faults,
    operations: u64,
}

enum OperationKind {
    Write,
    Sync,
    Other,
}

/// The outcome of an operation that the faults do not refuse.
struct AdmittedOperation {
    length: usize,
    failed: bool,
    halted: bool,
}

impl MemDiskState {
    /// Counts a changing operation and applies the faults to it.
    fn admit(&mut self, kind: &OperationKind, length: usize) -> io::Result<AdmittedOperation> {
        self.operations += 1;
        let mut admitted = AdmittedOperation {
            length,
            failed: false,
            halted: false,
        };
        match self.faults.halt_after.as_mut() {
            Some(0) => return Err(io::Error::other("halted")),
            Some(left) => {
                *left -= 1;
                admitted.halted = *left == 0;
            }
            None => {}
        }
        if self.faults.read_only && !matches!(kind, OperationKind::Sync) {
            return Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem));
        }
        match kind {
            OperationKind::Write => {
                if due(&mut self.faults.fail_write) {
                    return Err(io::Error::other("injected write failure"));
                }
                if self.faults.short_writes {
                    admitted.length = length.div_ceil(2);
                }
                if let Some(left) = self.faults.capacity.as_mut() {
                    let fits = usize::try_from(*left).unwrap_or(usize::MAX);
                    if fits == 0 && length > 0 {
                        return Err(io::Error::from(io::ErrorKind::StorageFull));
                    }
                    admitted.length = admitted.length.min(fits);
                    *left -= admitted.length as u64;
                }
            }
            OperationKind::Sync => admitted.failed = due(&mut self.faults.fail_sync),
            OperationKind::Other => {}
        }
        if admitted.halted && matches!(kind, OperationKind::Other) {
            return Err(io::Error::other("halted"));
        }
        Ok(admitted)
    }

    fn sync_dir(&mut self, path: &Path) -> Result<()> {
        self.admit(&OperationKind::Other, 0)
            .map_err(failed("sync folder", path))?;
        let dir = self.dir(path).map_err(failed("sync folder", path))?;
        dir.sync();
        Ok(())
    }

    /// Takes a file descriptor for an operation on `path`.
    fn take_file(&mut self, what: &str, path: &Path) -> Result<()> {
        if self.faults.no_files {
            self.operations += 1;
            let message = format!("{what} {}: no file descriptor is free", path.display());
            return Err(Error::new(ErrorCode::Busy, message));
        }
        Ok(())
    }

    fn dir(&mut self, path: &Path) -> io::Result<&mut Dir> {
        self.dirs
            .get_mut(path)
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

fn due(countdown: &mut Option<u64>) -> bool {
    match countdown {
        Some(0) => {
            *countdown = None;
            true
        }
        Some(left) => {
            *left -= 1;
            false
        }
        None => false,
    }
}

fn failed(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |error| Error::io(format!("{what} {}", path.display()), &error)
}

fn name(path: &Path) -> io::Result<OsString> {
    Ok(path
        .file_name()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?
        .to_owned())
}

impl MemDisk {
    /// An empty disk without faults.
    pub fn new() -> Self {
        MemDisk::default()
    }

    /// Replaces the faults.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.lock().faults = faults;
    }

    /// Lets the disk hang: syncs do not return until it is set to false. In a simulation, where nothing may block, this has an
    /// effect only on code that awaits [`Disk::wait_responsive`] first, as the log does.
    pub fn hang(&self, hangs: bool) {
        self.hang.set(hangs);
    }

    /// Number of changing operations so far.
    pub fn operations(&self) -> u64 {
        self.shared.lock().operations
    }

    /// A power loss: synced changes stay; the seed decides which unsynced ones are lost, kept or torn. Locks are released,
    /// faults end, and existing handles fail from now on.
    pub fn crash(&self, seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut state = self.shared.lock();
        state.generation += 1;
        state.locks.clear();
        state.faults = Faults::default();
        self.hang.set(false);
        for dir in state.dirs.values_mut() {
            dir.crash(&mut rng);
        }
    }

    /// The process that used the disk ends, and the machine does not: no change is lost, locks are released, faults end,
    /// and existing handles fail from now on.
    pub fn end_process(&self) {
        let mut state = self.shared.lock();
        state.generation += 1;
        state.locks.clear();
        state.faults = Faults::default();
        self.hang.set(false);
    }

    fn handle(&self, state: &MemDiskState, path: &Path, inode: Inode) -> Arc<dyn DiskFile> {
        let generation = state.generation;
        Arc::new(MemFile {
            disk: self.clone(),
            path: path.to_owned(),
            inode,
            generation,
        })
    }
}

impl Disk for MemDisk {
    fn wait_responsive(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.hang.wait_responsive())
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>> {
        let mut state = self.shared.lock();
        state.take_file("create", path)?;
        let inode = Inode::default();
        let create = |state: &mut MemDiskState| {
            state.admit(&OperationKind::Other, 0)?;
            state
                .dir(parent(path))?
                .change(DirChange::Link(name(path)?, inode.clone()));
            Ok(())
        };
        create(&mut state).map_err(failed("create", path))?;
        Ok(self.handle(&state, path, inode))
    }

    fn open(&self, path: &Path) -> Result<Option<Arc<dyn DiskFile>>> {
        let mut state = self.shared.lock();
        state.take_file("open", path)?;
        let name = name(path).map_err(failed("open", path))?;
        let found = state
            .dir(parent(path))
            .ok()
            .and_then(|dir| dir.names.get(&name).cloned());
        Ok(found.map(|inode| self.handle(&state, path, inode)))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let mut state = self.shared.lock();
        let rename = |state: &mut MemDiskState| {
            state.admit(&OperationKind::Other, 0)?;
            let (old, new) = (name(from)?, name(to)?);
            if parent(from) != parent(to) {
                return Err(io::Error::from(io::ErrorKind::CrossesDevices));
            }
            let dir = state.dir(parent(from))?;
            if !dir.names.contains_key(&old) {
                return Err(io::Error::from(io::ErrorKind::NotFound));
            }
            dir.change(DirChange::Rename(old, new));
            Ok(())
        };
        rename(&mut state).map_err(failed("rename", from))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let mut state = self.shared.lock();
        let remove = |state: &mut MemDiskState| {
            state.admit(&OperationKind::Other, 0)?;
            let name = name(path)?;
            match state.dir(parent(path)) {
                Ok(dir) if dir.names.contains_key(&name) => dir.change(DirChange::Unlink(name)),
                _ => {}
            }
            Ok(())
        };
        remove(&mut state).map_err(failed("remove", path))
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        let mut state = self.shared.lock();
        let names = &state.dir(dir).map_err(failed("list", dir))?.names;
        Ok(names
            .keys()
            .filter_map(|name| name.to_str().map(str::to_owned))
            .collect())
    }

    fn create_dir_all(&self, dir: &Path) -> Result<()> {
        let mut state = self.shared.lock();
        state
            .admit(&OperationKind::Other, 0)
            .map_err(failed("create folder", dir))?;
        let mut at = dir;
        loop {
            state.dirs.entry(at.to_owned()).or_default();
            let up = parent(at);
            if up == at || up == Path::new(".") {
                state.dirs.entry(up.to_owned()).or_default();
                return Ok(());
            }
            at = up;
        }
    }

    fn check_dir(&self, dir: &Path) -> Result<()> {
        let mut state = self.shared.lock();
        if state.faults.read_only {
            let error = io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
            return Err(failed("write in", dir)(error));
        }
        state.dir(dir).map(drop).map_err(failed("write in", dir))
    }

    fn is_world_writable(&self, _: &Path) -> Result<bool> {
        Ok(false)
    }

    fn dir_sync(&self, dir: &Path) -> Result<DirSync> {
        let mut state = self.shared.lock();
        state.take_file("open folder", dir)?;
        let generation = state.generation;
        let (disk, dir) = (self.clone(), dir.to_owned());
        Ok(Box::new(move || {
            let mut state = disk.shared.lock();
            if state.generation != generation {
                let error = io::Error::other("the disk has crashed since the folder was opened");
                return Err(failed("sync folder", &dir)(error));
            }
            state.sync_dir(&dir)
        }))
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        let mut state = self.shared.lock();
        state.take_file("sync folder", dir)?;
        state.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> Result<DiskLock> {
        let mut state = self.shared.lock();
        state.take_file("open", path)?;
        if !state.locks.insert(path.to_owned()) {
            let message = format!("{} is in use", parent(path).display());
            return Err(Error::new(ErrorCode::DataDirInUse, message));
        }
        let (disk, generation) = (self.clone(), state.generation);
        let folder = parent(path).to_owned();
        let check = Arc::new(move || disk.check_dir(&folder));
        let (disk, path) = (self.clone(), path.to_owned());
        let release = move || {
            let mut state = disk.shared.lock();
            // A crash has released it already, and another process may hold it now.
            if state.generation == generation {
                state.locks.remove(&path);
            }
        };
        Ok(DiskLock::new(release, check))
    }
}

struct MemFile {
    disk: MemDisk,
    path: PathBuf,
    inode: Inode,
    generation: u64,
}

impl MemFile {
    fn state(&self) -> io::Result<MutexGuard<'_, MemDiskState>> {
        let state = self.disk.shared.lock();
        if state.generation != self.generation {
            return Err(io::Error::other("the disk has crashed since the file was opened"));
        }
        Ok(state)
    }

    fn admit(&self, kind: &OperationKind, length: usize) -> io::Result<AdmittedOperation> {
        self.state()?.admit(kind, length)
    }

    fn write(&self, data: &[u8], offset: u64) -> io::Result<usize> {
        let admitted = self.admit(&OperationKind::Write, data.len())?;
        let data = data.get(..admitted.length).unwrap_or_default();
        self.inode.lock().write(data, offset);
        if admitted.halted {
            Err(io::Error::other("halted"))
        } else {
            Ok(data.len())
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.hang.block();
        let admitted = self.admit(&OperationKind::Sync, 0)?;
        if admitted.halted {
            return Err(io::Error::other("halted"));
        }
        if admitted.failed {
            self.inode.lock().sync_failed();
            return Err(io::Error::other("injected sync failure"));
        }
        self.inode.lock().sync();
        Ok(())
    }
}

impl DiskFile for MemFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn size(&self) -> Result<u64> {
        Ok(self.inode.lock().size())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        drop(self.state().map_err(failed("read", &self.path))?);
        Ok(self.inode.lock().read(buffer, offset))
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<usize> {
        self.write(data, offset).map_err(failed("write", &self.path))
    }

    fn set_len(&self, length: u64) -> Result<()> {
        self.admit(&OperationKind::Other, 0)
            .map_err(failed("resize", &self.path))?;
        self.inode.lock().resize(length);
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        self.sync().map_err(failed("sync", &self.path))
    }
}

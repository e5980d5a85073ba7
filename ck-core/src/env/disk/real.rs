//! The machine's file system.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Access, AtFlags, CWD, FlockOperation};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::shortage::{is_shortage, retry_on_shortage};
use super::{DirSync, Disk, DiskFile, DiskLock, LockCheck, parent};
use crate::{Error, ErrorCode, Result};

/// The machine's file system, by blocking system calls.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

struct RealFile {
    file: File,
    path: PathBuf,
}

fn failed(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |error| {
        let what = format!("{what} {}", path.display());
        match is_shortage(&error) {
            true => Error::new(ErrorCode::Busy, format!("{what}: {error}")),
            false => Error::io(what, &error),
        }
    }
}

/// The error of a sync, also for a shortage: after a failed sync the kernel may consider the data written.
fn sync_failed(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |error| Error::io(format!("{what} {}", path.display()), &error)
}

/// Refuses a write beyond the limit on the length of files (`ulimit -f`). The system would send SIGXFSZ, which ends the
/// process unless the thread blocks it; a library must not cause that.
fn check_size_limit(end: u64) -> io::Result<()> {
    match getrlimit(Resource::Fsize).current {
        Some(limit) if end > limit => Err(Errno::FBIG.into()),
        _ => Ok(()),
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>> {
        let file = options()
            .create(true)
            .truncate(true)
            .open(path)
            .map_err(failed("create", path))?;
        Ok(Arc::new(RealFile {
            file,
            path: path.to_owned(),
        }))
    }

    fn open(&self, path: &Path) -> Result<Option<Arc<dyn DiskFile>>> {
        match options().open(path) {
            Ok(file) => Ok(Some(Arc::new(RealFile {
                file,
                path: path.to_owned(),
            }))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("open", path)(error)),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        fs::rename(from, to).map_err(failed("rename", from))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path)(error)),
            _ => Ok(()),
        }
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir).map_err(failed("list", dir))? {
            let entry = entry.map_err(failed("list", dir))?;
            let is_dir = entry.file_type().map_err(failed("list", dir))?.is_dir();
            // Names that are not UTF-8 are not ours.
            if let (false, Ok(name)) = (is_dir, entry.file_name().into_string()) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create_dir_all(&self, dir: &Path) -> Result<()> {
        let mut missing = Vec::new();
        let mut at = dir;
        while !at.as_os_str().is_empty() && !at.is_dir() {
            if at.exists() {
                let message = format!("{} is a file, and a folder is needed there", at.display());
                return Err(Error::new(ErrorCode::Io, message));
            }
            missing.push(at);
            at = parent(at);
        }
        for dir in missing.into_iter().rev() {
            match DirBuilder::new().mode(0o700).create(dir) {
                // Another process has created it meanwhile.
                Err(error) if error.kind() == ErrorKind::AlreadyExists && dir.is_dir() => {}
                Err(error) => return Err(failed("create folder", dir)(error)),
                Ok(()) => {}
            }
            self.sync_dir(parent(dir))?;
        }
        Ok(())
    }

    fn check_dir(&self, dir: &Path) -> Result<()> {
        writable(dir, Access::WRITE_OK | Access::EXEC_OK).map_err(failed("write in", dir))
    }

    fn is_world_writable(&self, dir: &Path) -> Result<bool> {
        let metadata = fs::metadata(dir).map_err(failed("stat", dir))?;
        Ok(metadata.mode() & 0o002 != 0)
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        self.dir_sync(dir)?()
    }

    fn dir_sync(&self, dir: &Path) -> Result<DirSync> {
        let file = File::open(dir).map_err(failed("open folder", dir))?;
        let dir = dir.to_owned();
        Ok(Box::new(move || {
            file.sync_all().map_err(sync_failed("sync folder", &dir))
        }))
    }

    fn lock(&self, path: &Path) -> Result<DiskLock> {
        let file = options()
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed("open", path))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut holder = [0; 20];
                let n = file.read_at(&mut holder, 0).unwrap_or(0);
                let holder = std::str::from_utf8(holder.get(..n).unwrap_or_default()).unwrap_or_default();
                let dir = parent(path).display();
                let message = format!("{dir} is in use by process {}", holder.trim());
                return Err(Error::new(ErrorCode::DataDirInUse, message));
            }
            Err(error) => return Err(failed("lock", path)(error.into())),
        }
        // The number serves only for the message above. The lock is the kernel's, and ends with this process.
        let holder = format!("{:<20}", std::process::id());
        file.write_all_at(holder.as_bytes(), 0)
            .map_err(failed("write", path))?;
        let held = file.metadata().map_err(failed("stat", path))?;
        let check = lock_check(path.to_owned(), (held.dev(), held.ino()));
        Ok(DiskLock::new(move || drop(file), check))
    }
}

/// While the lock is held, no other file gets its inode number, so a file with that number at the path is the same file.
fn lock_check(path: PathBuf, held: (u64, u64)) -> LockCheck {
    Arc::new(move || {
        let found = fs::metadata(&path).map_err(failed("find", &path))?;
        if (found.dev(), found.ino()) != held {
            let message = format!(
                "{}: this is not the file that this process has locked: the folder was replaced",
                path.display()
            );
            return Err(Error::new(ErrorCode::Io, message));
        }
        writable(&path, Access::WRITE_OK).map_err(failed("write", &path))
    })
}

/// Checks with the effective user id, which the plain `access` does not use.
fn writable(path: &Path, access: Access) -> io::Result<()> {
    Ok(rustix::fs::accessat(CWD, path, access, AtFlags::EACCESS)?)
}

impl DiskFile for RealFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn size(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(failed("stat", &self.path))?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        retry_on_shortage(|| {
            retry_interrupted(|| self.file.read_at(buffer, offset)).map_err(failed("read", &self.path))
        })
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<usize> {
        // Of a write across the limit the system writes the part that fits.
        check_size_limit(offset.saturating_add(data.len().min(1) as u64))
            .map_err(failed("write", &self.path))?;
        retry_on_shortage(|| {
            retry_interrupted(|| self.file.write_at(data, offset)).map_err(failed("write", &self.path))
        })
    }

    fn set_len(&self, length: u64) -> Result<()> {
        let longer = length > self.size()?;
        let limited = if longer { check_size_limit(length) } else { Ok(()) };
        limited.map_err(failed("resize", &self.path))?;
        retry_on_shortage(|| self.file.set_len(length).map_err(failed("resize", &self.path)))
    }

    fn sync_data(&self) -> Result<()> {
        self.file.sync_data().map_err(sync_failed("sync", &self.path))
    }
}

fn retry_interrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

//! The disk seam: the few file operations that ClusterKit needs, with their durability spelled out.
//!
//! The rules that callers rely on, and by which [`MemDisk`] decides what a crash keeps:
//! - what was written to a file survives a power loss only after [`DiskFile::sync_data`] returned `Ok`;
//! - a name (create, rename, remove) survives only after [`Disk::sync_dir`] of its folder returned `Ok`;
//! - after a failed sync nothing is known about the file, and a later sync that succeeds proves nothing.

#[cfg(any(test, feature = "sim"))]
pub mod damage;
mod mem;
mod real;
mod shortage;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use mem::{Faults, MemDisk};
pub use real::RealDisk;
pub use shortage::retry_on_shortage;

use futures_util::future::BoxFuture;

use crate::{Error, ErrorCode, Result};

/// A file system, or something that behaves like one. Used as `Arc<dyn Disk>`.
///
/// Errors carry the path and what was being done. A shortage that passes, of file descriptors or of memory, is
/// [`ErrorCode::Busy`]: nothing was done, and the same call may succeed later ([`retry_on_shortage`]). Files are created with mode 0600, folders with 0700.
pub trait Disk: Send + Sync + 'static {
    /// Creates a file, or empties the one that is there, and opens it for reading and writing.
    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>>;

    /// Opens an existing file for reading and writing; `None` when there is none.
    fn open(&self, path: &Path) -> Result<Option<Arc<dyn DiskFile>>>;

    /// Renames a file within its folder, replacing what had the new name. Durable after `sync_dir`.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;

    /// Removes a file; one that is not there is no error. Handles that are open go on working.
    fn remove(&self, path: &Path) -> Result<()>;

    /// The names of the files in a folder, sorted.
    fn list(&self, dir: &Path) -> Result<Vec<String>>;

    /// Creates a folder and its missing ancestors, durably; one that exists is no error.
    fn create_dir_all(&self, dir: &Path) -> Result<()>;

    /// Checks, without writing, whether names can be created and removed in a folder: it exists, and neither it nor its file
    /// system is read-only.
    fn check_dir(&self, dir: &Path) -> Result<()>;

    /// True when every user of the machine may create and remove names in a folder.
    fn is_world_writable(&self, dir: &Path) -> Result<bool>;

    /// Makes the names in a folder durable.
    fn sync_dir(&self, dir: &Path) -> Result<()>;

    /// Opens a folder, so that its names can be made durable later without a further file descriptor.
    fn dir_sync(&self, dir: &Path) -> Result<DirSync>;

    /// Takes an exclusive lock on a lock file, which is created when missing, for as long as the
    /// returned value lives. A lock that is held already, in this process or another, is
    /// [`ErrorCode::DataDirInUse`].
    fn lock(&self, path: &Path) -> Result<DiskLock>;

    /// Returns when the disk does not hang. A call to a real disk that hangs blocks its caller. In a simulation nothing may
    /// block, so code that may have to wait for the disk awaits this first.
    fn wait_responsive(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// The whole content of a file; `None` when there is none. A file longer than `max_bytes` is
    /// [`ErrorCode::TooLarge`], and nothing is allocated for it. Waits for shortages to pass.
    fn read(&self, path: &Path, max_bytes: u64) -> Result<Option<Vec<u8>>> {
        let Some(file) = retry_on_shortage(|| self.open(path))? else {
            return Ok(None);
        };
        let size = file.size()?;
        let length = match usize::try_from(size) {
            Ok(length) if size <= max_bytes => length,
            _ => {
                let message = format!(
                    "{}: {size} bytes, at most {max_bytes} are allowed",
                    path.display()
                );
                return Err(Error::new(ErrorCode::TooLarge, message));
            }
        };
        let mut data = vec![0; length];
        file.read_exact_at(&mut data, 0)?;
        Ok(Some(data))
    }

    /// Replaces the content of a file atomically: a reader, also after a power loss, finds the whole old content or the
    /// whole new one. Durable on return. Uses `<path>.tmp` temporarily. Waits for shortages to pass.
    fn replace(&self, path: &Path, data: &[u8]) -> Result<()> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        let file = retry_on_shortage(|| self.create(&temporary))?;
        file.write_all_at(data, 0)?;
        file.sync_data()?;
        self.rename(&temporary, path)?;
        retry_on_shortage(|| self.sync_dir(parent(path)))
    }
}

/// An open file. Handles may be used from several threads; positions are always explicit.
pub trait DiskFile: Send + Sync {
    /// The path under which the file was opened.
    fn path(&self) -> &Path;

    /// The length in bytes.
    fn size(&self) -> Result<u64>;

    /// Reads at a position; fewer bytes than asked for, or none at the end of the file, are no error.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize>;

    /// Writes at a position and says how many bytes were taken, which may be fewer than given.
    fn write_at(&self, data: &[u8], offset: u64) -> Result<usize>;

    /// Cuts the file or extends it by zeros, which take no space until they are written.
    fn set_len(&self, length: u64) -> Result<()>;

    /// Makes content and length durable.
    fn sync_data(&self) -> Result<()>;

    /// Fills the buffer from a position; a file that ends before is [`ErrorCode::Corrupt`].
    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, offset)? {
                0 => {
                    let message = format!("{}: the file ends at offset {offset}", self.path().display());
                    return Err(Error::new(ErrorCode::Corrupt, message));
                }
                n => {
                    buffer = buffer.get_mut(n..).unwrap_or_default();
                    offset += n as u64;
                }
            }
        }
        Ok(())
    }

    /// Writes all bytes at a position. After an error any part of them may have been written.
    fn write_all_at(&self, mut data: &[u8], mut offset: u64) -> Result<()> {
        while !data.is_empty() {
            match self.write_at(data, offset)? {
                0 => {
                    let error = std::io::Error::from(std::io::ErrorKind::WriteZero);
                    return Err(Error::io(format!("write {}", self.path().display()), &error));
                }
                n => {
                    data = data.get(n..).unwrap_or_default();
                    offset += n as u64;
                }
            }
        }
        Ok(())
    }
}

/// Makes the names in a folder durable. See [`Disk::dir_sync`].
pub type DirSync = Box<dyn Fn() -> Result<()> + Send + Sync>;

/// An exclusive lock, released when dropped. See [`Disk::lock`].
pub struct DiskLock {
    release: Option<Box<dyn FnOnce() + Send + Sync>>,
    check: LockCheck,
}

/// Checks, without writing, whether a lock file is still the one that was locked and may be written. An error says that the
/// folder was removed, replaced, unmounted, or turned read-only. The check needs no file descriptor.
pub type LockCheck = Arc<dyn Fn() -> Result<()> + Send + Sync>;

impl DiskLock {
    /// A lock that is released by one call of `release`, and checked by `check`.
    pub fn new(release: impl FnOnce() + Send + Sync + 'static, check: LockCheck) -> Self {
        DiskLock {
            release: Some(Box::new(release)),
            check,
        }
    }

    /// The check whether the lock file still is the one that was locked.
    pub fn check(&self) -> LockCheck {
        self.check.clone()
    }
}

impl Drop for DiskLock {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            release();
        }
    }
}

impl fmt::Debug for DiskLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskLock")
            .field("held", &self.release.is_some())
            .finish()
    }
}

/// The folder of a path; the current one for a bare name.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

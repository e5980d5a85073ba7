//! Files that options name: read whole, so that it does not matter how they are replaced: written in place, renamed over, or
//! by a link that points elsewhere.

use std::fmt::Display;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use crate::error::{Error, ErrorCode, Result};

/// How often a file is read again that may have been replaced.
pub(crate) const OPTION_FILE_READ_INTERVAL: Duration = Duration::from_secs(2);

/// True for a file that every user of this machine may read.
///
/// # Errors
/// Those of the file system.
pub(crate) fn is_world_readable(path: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;

    Ok(std::fs::metadata(path)?.permissions().mode() & 0o004 != 0)
}

/// Reads a file of at most `max` bytes. May hang, where the file is on a network.
///
/// # Errors
/// [`ErrorCode::InvalidOption`], with the option and the path, and nothing of what is in the file.
pub(crate) fn read_option_file(option: &str, path: &Path, max: u64) -> Result<Vec<u8>> {
    let failed = |why: &dyn Display| {
        let message = format!("option {option}: cannot read {}: {why}", path.display());
        Error::new(ErrorCode::InvalidOption, message)
    };
    let file = std::fs::File::open(path).map_err(|error| failed(&error))?;
    let mut bytes = Vec::new();
    file.take(max + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(&error))?;
    if bytes.len() as u64 > max {
        return Err(failed(&format!("it is longer than {max} bytes")));
    }
    Ok(bytes)
}

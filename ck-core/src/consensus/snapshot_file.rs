//! The snapshot on the disk: one file, checked as a whole.
//!
//! Layout, little-endian: magic `CKSNAP01`; the lengths of head and state (u32, u64); the CRC-32C of head and
//! state; head; state.

use std::path::Path;

use bytes::Bytes;

use crate::env::disk::Disk;
use crate::error::{Error, ErrorCode, Result};

const MAGIC: &[u8; 8] = b"CKSNAP01";
const HEADER: usize = 8 + 4 + 8 + 4;
/// The longest snapshot file that is read: the store's bound, doubled for keys and everything else.
pub(crate) const MAX_BYTES: u64 = 1 << 30;

/// Replaces the snapshot, durably: whoever looks finds the old one or the new one, whole.
pub(crate) fn write(disk: &dyn Disk, path: &Path, head: &[u8], state: &[u8]) -> Result<()> {
    let head_length = u32::try_from(head.len())
        .map_err(|_| Error::new(ErrorCode::TooLarge, "the head of the snapshot is too long"))?;
    let crc = crc32c::crc32c_append(crc32c::crc32c(head), state);
    let mut file = Vec::with_capacity(HEADER + head.len() + state.len());
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&head_length.to_le_bytes());
    file.extend_from_slice(&(state.len() as u64).to_le_bytes());
    file.extend_from_slice(&crc.to_le_bytes());
    file.extend_from_slice(head);
    file.extend_from_slice(state);
    disk.replace(path, &file)
}

/// The stored snapshot as head and state; `None` when there is none.
pub(crate) fn read(disk: &dyn Disk, path: &Path) -> Result<Option<(Bytes, Bytes)>> {
    let Some(file) = disk.read(path, MAX_BYTES)? else {
        return Ok(None);
    };
    let file = Bytes::from(file);
    let damaged = |what: &str| {
        Error::new(
            ErrorCode::Corrupt,
            format!("{}: the snapshot is damaged: {what}", path.display()),
        )
    };
    let (magic, head_length, state_length, crc) = header(&file).ok_or_else(|| damaged("it is too short"))?;
    if magic != MAGIC {
        return Err(damaged("it does not begin as a snapshot does"));
    }
    let body = file.slice(HEADER..);
    let fits = head_length.checked_add(state_length) == Some(body.len() as u64);
    let Some(head_length) = usize::try_from(head_length).ok().filter(|_| fits) else {
        return Err(damaged("the lengths at offset 8 do not agree with the file's"));
    };
    if crc32c::crc32c(&body) != crc {
        return Err(damaged("the checksum at offset 20 does not match"));
    }
    let mut head = body;
    let state = head.split_off(head_length);
    Ok(Some((head, state)))
}

fn header(file: &[u8]) -> Option<(&[u8; 8], u64, u64, u32)> {
    let magic = file.first_chunk::<8>()?;
    let head = u32::from_le_bytes(*file.get(8..)?.first_chunk::<4>()?);
    let state = u64::from_le_bytes(*file.get(12..)?.first_chunk::<8>()?);
    let crc = u32::from_le_bytes(*file.get(20..)?.first_chunk::<4>()?);
    Some((magic, u64::from(head), state, crc))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::disk::MemDisk;

    #[test]
    fn every_cut_and_every_flipped_byte_is_noticed() {
        let disk = MemDisk::new();
        let path = Path::new("/d/snapshot");
        disk.create_dir_all(Path::new("/d")).unwrap();
        assert!(read(&disk, path).unwrap().is_none());
        write(&disk, path, b"head", b"the state").unwrap();
        let (head, state) = read(&disk, path).unwrap().unwrap();
        assert_eq!((&head[..], &state[..]), (&b"head"[..], &b"the state"[..]));

        let whole = disk.read(path, MAX_BYTES).unwrap().unwrap();
        for at in 0..whole.len() {
            disk.replace(path, &whole[..at]).unwrap();
            assert_eq!(
                read(&disk, path).unwrap_err().code(),
                ErrorCode::Corrupt,
                "cut at {at}"
            );
            let mut flipped = whole.clone();
            flipped[at] ^= 0x41;
            disk.replace(path, &flipped).unwrap();
            assert_eq!(
                read(&disk, path).unwrap_err().code(),
                ErrorCode::Corrupt,
                "flipped at {at}"
            );
        }
    }
}

//! The snapshot on the disk: one file with one checksum.
//!
//! Layout, little-endian: magic `CKSNAP02`; the lengths of head and state (u32, u64); the CRC-32C of everything after
//! it; the owner (the cluster's id padded to 32 bytes, the Raft id as u64); head; state. `CKSNAP01` names no owner.

use std::path::Path;

use bytes::Bytes;

use super::wal::{Owner, WHAT_TO_DO, too_long_is_damage};
use crate::env::disk::Disk;
use crate::error::{Error, ErrorCode, Result};

const MAGIC: &[u8; 8] = b"CKSNAP02";
const MAGIC_1: &[u8; 8] = b"CKSNAP01";
const HEADER: usize = 8 + 4 + 8 + 4;
/// The longest snapshot file that is read: the limit of the custom data, doubled for keys and everything else.
pub(crate) const MAX_BYTES: u64 = 1 << 30;

/// Replaces the snapshot durably and atomically: a reader finds either the old or the new one, complete.
pub(crate) fn write(disk: &dyn Disk, path: &Path, owner: Owner, head: &[u8], state: &[u8]) -> Result<()> {
    let head_length = u32::try_from(head.len())
        .map_err(|_| Error::new(ErrorCode::TooLarge, "the head of the snapshot is too long"))?;
    let mut named = Vec::with_capacity(Owner::LENGTH);
    owner.put(&mut named);
    let parts = [&named[..], head, state];
    let crc = parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part));
    let mut file = Vec::with_capacity(HEADER + named.len() + head.len() + state.len());
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&head_length.to_le_bytes());
    file.extend_from_slice(&(state.len() as u64).to_le_bytes());
    file.extend_from_slice(&crc.to_le_bytes());
    for part in parts {
        file.extend_from_slice(part);
    }
    disk.replace(path, &file)
}

/// Reads the stored snapshot as head and state; `None` if there is none.
///
/// # Errors
/// [`ErrorCode::Corrupt`] when it is damaged or belongs to another owner.
pub(crate) fn read(disk: &dyn Disk, path: &Path, expected: Owner) -> Result<Option<(Bytes, Bytes)>> {
    let Some(file) = disk.read(path, MAX_BYTES).map_err(too_long_is_damage)? else {
        return Ok(None);
    };
    let file = Bytes::from(file);
    let damaged = |what: &str| {
        Error::new(
            ErrorCode::Corrupt,
            format!(
                "{}: the snapshot is damaged: {what}; {WHAT_TO_DO}",
                path.display()
            ),
        )
    };
    let (magic, head_length, state_length, crc) = header(&file).ok_or_else(|| damaged("it is too short"))?;
    let is_owned = magic == MAGIC;
    if !is_owned && magic != MAGIC_1 {
        return Err(damaged("it does not begin as a snapshot does"));
    }
    let mut body = file.slice(HEADER..);
    if crc32c::crc32c(&body) != crc {
        return Err(damaged("the checksum at offset 20 does not match"));
    }
    if is_owned {
        let owner = Owner::parse(&body).ok_or_else(|| damaged("it ends inside the name of its owner"))?;
        if owner != expected {
            let path = path.display();
            return Err(Error::new(
                ErrorCode::Corrupt,
                format!(
                    "{path}: this is the snapshot of {owner}, and {expected} was to open it; {WHAT_TO_DO}"
                ),
            ));
        }
        body = body.slice(Owner::LENGTH..);
    }
    let fits = head_length.checked_add(state_length) == Some(body.len() as u64);
    let Some(head_length) = usize::try_from(head_length).ok().filter(|_| fits) else {
        return Err(damaged("the lengths at offset 8 do not agree with the file's"));
    };
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

/// Corrects the checksum and the length of the state, whatever the other bytes are.
#[cfg(any(test, feature = "fuzz"))]
pub(in crate::raft) fn repair(file: &mut [u8]) {
    let Some((MAGIC | MAGIC_1, head_length, ..)) = header(file) else {
        return;
    };
    let is_owned = file.starts_with(MAGIC);
    let Some((header, body)) = file.split_first_chunk_mut::<HEADER>() else {
        return;
    };
    let owner = if is_owned { Owner::LENGTH } else { 0 };
    let state = (body.len() as u64).saturating_sub(head_length + owner as u64);
    header[12..20].copy_from_slice(&state.to_le_bytes());
    header[20..].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::disk::MemDisk;

    fn owner(raft_id: u64) -> Owner {
        Owner::new("cluster", raft_id).unwrap()
    }

    #[test]
    fn a_snapshot_is_read_by_its_owner_only() {
        let disk = MemDisk::new();
        let path = Path::new("/d/snapshot");
        disk.create_dir_all(Path::new("/d")).unwrap();
        write(&disk, path, owner(1), b"head", b"the state").unwrap();
        let error = read(&disk, path, owner(2)).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Corrupt);
        for part in ["/d/snapshot", "Raft id 1 of cluster \"cluster\"", "Raft id 2"] {
            assert!(error.message().contains(part), "{error}");
        }
    }

    #[test]
    fn a_snapshot_from_before_owners_were_named_is_read() {
        let disk = MemDisk::new();
        let path = Path::new("/d/snapshot");
        disk.create_dir_all(Path::new("/d")).unwrap();
        let mut file = MAGIC_1.to_vec();
        file.extend_from_slice(&4u32.to_le_bytes());
        file.extend_from_slice(&5u64.to_le_bytes());
        file.extend_from_slice(&crc32c::crc32c(b"headstate").to_le_bytes());
        file.extend_from_slice(b"headstate");
        disk.replace(path, &file).unwrap();
        let (head, state) = read(&disk, path, owner(1)).unwrap().unwrap();
        assert_eq!((&head[..], &state[..]), (&b"head"[..], &b"state"[..]));
    }

    #[test]
    fn every_cut_and_every_flipped_byte_is_noticed() {
        let disk = MemDisk::new();
        let path = Path::new("/d/snapshot");
        disk.create_dir_all(Path::new("/d")).unwrap();
        assert!(read(&disk, path, owner(1)).unwrap().is_none());
        write(&disk, path, owner(1), b"head", b"the state").unwrap();
        let (head, state) = read(&disk, path, owner(1)).unwrap().unwrap();
        assert_eq!((&head[..], &state[..]), (&b"head"[..], &b"the state"[..]));

        let whole = disk.read(path, MAX_BYTES).unwrap().unwrap();
        for at in 0..whole.len() {
            disk.replace(path, &whole[..at]).unwrap();
            assert_eq!(
                read(&disk, path, owner(1)).unwrap_err().code(),
                ErrorCode::Corrupt,
                "cut at {at}"
            );
            let mut flipped = whole.clone();
            flipped[at] ^= 0x41;
            disk.replace(path, &flipped).unwrap();
            assert_eq!(
                read(&disk, path, owner(1)).unwrap_err().code(),
                ErrorCode::Corrupt,
                "flipped at {at}"
            );
        }
    }
}

//! The content of one file in memory, with the data that a crash needs to undo unsynced changes.

use std::collections::BTreeMap;
use std::ops::Range;

use rand::RngExt;
use rand::rngs::StdRng;

const PAGE_BYTES: usize = 4096;
/// The unit that a disk writes atomically.
const SECTOR_BYTES: usize = 512;

/// Pages that were never written are zeros and take no memory. Bytes beyond `size` are always zero.
#[derive(Default)]
pub(super) struct Content {
    pages: BTreeMap<u64, Box<[u8]>>,
    size: u64,
    unsynced: Vec<UnsyncedChange>,
}

struct UnsyncedChange {
    /// A sync of it failed: the system does not consider it unwritten any more, and later syncs skip it.
    lost: bool,
    offset: u64,
    /// The bytes before, to be restored: as long as the data of a write; the removed tail for a resize.
    old: Vec<u8>,
    old_size: u64,
    change: ContentChange,
}

enum ContentChange {
    Write(Vec<u8>),
    Resize(u64),
}

impl UnsyncedChange {
    /// Makes bytes of a later change part of `old`, so that undoing this change keeps them.
    fn keep_in_old(&mut self, later: &UnsyncedChange) {
        match &later.change {
            ContentChange::Resize(size) => self.old_size = *size,
            ContentChange::Write(data) => {
                self.old_size = self.old_size.max(later.offset + data.len() as u64);
                for (position, old) in (self.offset..).zip(&mut self.old) {
                    let at = position
                        .checked_sub(later.offset)
                        .and_then(|at| usize::try_from(at).ok());
                    if let Some(new) = at.and_then(|at| data.get(at)) {
                        *old = *new;
                    }
                }
            }
        }
    }
}

impl Content {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        self.read_bytes(buffer.get_mut(..length).unwrap_or_default(), offset);
        length
    }

    pub(super) fn write(&mut self, data: &[u8], offset: u64) {
        let mut old = vec![0; data.len()];
        self.read_bytes(&mut old, offset);
        let change = ContentChange::Write(data.to_vec());
        self.unsynced.push(UnsyncedChange {
            lost: false,
            offset,
            old,
            old_size: self.size,
            change,
        });
        self.write_bytes(data, offset);
    }

    pub(super) fn resize(&mut self, size: u64) {
        let cut = usize::try_from(self.size.saturating_sub(size)).unwrap_or(usize::MAX);
        let mut old = vec![0; cut];
        self.read_bytes(&mut old, size);
        self.unsynced.push(UnsyncedChange {
            lost: false,
            offset: size,
            old,
            old_size: self.size,
            change: ContentChange::Resize(size),
        });
        self.truncate(size);
    }

    pub(super) fn sync(&mut self) {
        let (mut lost, written): (Vec<_>, Vec<_>) = std::mem::take(&mut self.unsynced)
            .into_iter()
            .partition(|change| change.lost);
        // Undoing a lost change must not undo a later one that is durable now.
        for lost in &mut lost {
            written.iter().for_each(|written| lost.keep_in_old(written));
        }
        self.unsynced = lost;
    }

    pub(super) fn sync_failed(&mut self) {
        self.unsynced.iter_mut().for_each(|change| change.lost = true);
    }

    /// Restores the synced content, then reapplies a part of the unsynced changes: none, all, a prefix that ends inside a
    /// write, or any subset of sectors.
    pub(super) fn crash(&mut self, rng: &mut StdRng) {
        let unsynced = std::mem::take(&mut self.unsynced);
        for change in unsynced.iter().rev() {
            self.truncate(change.old_size.max(change.offset));
            self.write_bytes(&change.old, change.offset);
            self.truncate(change.old_size);
        }
        let unsynced: Vec<_> = unsynced.into_iter().filter(|change| !change.lost).collect();
        match rng.random_range(0..4) {
            0 => {}
            1 => unsynced
                .iter()
                .for_each(|change| self.reapply(change, 0..usize::MAX)),
            2 => {
                let whole = rng.random_range(0..=unsynced.len());
                unsynced
                    .iter()
                    .take(whole)
                    .for_each(|change| self.reapply(change, 0..usize::MAX));
                if let Some(UnsyncedChange {
                    offset,
                    change: ContentChange::Write(data),
                    ..
                }) = unsynced.get(whole)
                {
                    let torn = rng.random_range(0..=data.len());
                    self.write_bytes(data.get(..torn).unwrap_or_default(), *offset);
                }
            }
            _ => {
                for change in &unsynced {
                    let length = if let ContentChange::Write(data) = &change.change {
                        data.len()
                    } else {
                        1
                    };
                    let mut at = 0;
                    while at < length {
                        // Sectors are those of the disk, not of the write.
                        let into = usize::try_from(change.offset % SECTOR_BYTES as u64).unwrap_or(0);
                        let end = ((into + at) / SECTOR_BYTES + 1) * SECTOR_BYTES - into;
                        if rng.random_bool(0.5) {
                            self.reapply(change, at..end);
                        }
                        at = end;
                    }
                }
            }
        }
    }

    fn reapply(&mut self, unsynced: &UnsyncedChange, part: Range<usize>) {
        match &unsynced.change {
            ContentChange::Resize(size) => self.truncate(*size),
            ContentChange::Write(data) => {
                let part = part.start.min(data.len())..part.end.min(data.len());
                let offset = unsynced.offset + part.start as u64;
                self.write_bytes(data.get(part).unwrap_or_default(), offset);
            }
        }
    }

    fn read_bytes(&self, buffer: &mut [u8], offset: u64) {
        let mut at = offset;
        for piece in pieces(buffer.len(), offset) {
            let target = buffer.get_mut(piece).unwrap_or_default();
            let start = usize::try_from(at % PAGE_BYTES as u64).unwrap_or(0);
            match self
                .pages
                .get(&(at / PAGE_BYTES as u64))
                .and_then(|page| page.get(start..start + target.len()))
            {
                Some(source) => target.copy_from_slice(source),
                None => target.fill(0),
            }
            at += target.len() as u64;
        }
    }

    fn write_bytes(&mut self, data: &[u8], offset: u64) {
        let mut at = offset;
        for piece in pieces(data.len(), offset) {
            let source = data.get(piece).unwrap_or_default();
            let start = usize::try_from(at % PAGE_BYTES as u64).unwrap_or(0);
            let page = self
                .pages
                .entry(at / PAGE_BYTES as u64)
                .or_insert_with(|| vec![0; PAGE_BYTES].into_boxed_slice());
            if let Some(target) = page.get_mut(start..start + source.len()) {
                target.copy_from_slice(source);
            }
            at += source.len() as u64;
        }
        if !data.is_empty() {
            self.size = self.size.max(at);
        }
    }

    fn truncate(&mut self, size: u64) {
        if size < self.size {
            let keep = size.div_ceil(PAGE_BYTES as u64);
            self.pages.split_off(&keep);
            let start = usize::try_from(size % PAGE_BYTES as u64).unwrap_or(0);
            if start > 0 {
                let page = self.pages.get_mut(&(size / PAGE_BYTES as u64));
                if let Some(tail) = page.and_then(|page| page.get_mut(start..)) {
                    tail.fill(0);
                }
            }
        }
        self.size = size;
    }
}

/// Splits a buffer that begins at a file offset where pages end.
fn pieces(length: usize, offset: u64) -> impl Iterator<Item = Range<usize>> {
    let into = usize::try_from(offset % PAGE_BYTES as u64).unwrap_or(0);
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= length {
            return None;
        }
        let end = (((into + at) / PAGE_BYTES + 1) * PAGE_BYTES - into).min(length);
        let piece = at..end;
        at = end;
        Some(piece)
    })
}

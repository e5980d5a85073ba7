//! The content of one file in memory, with what a crash needs to take unsynced changes back.

use std::collections::BTreeMap;
use std::ops::Range;

use rand::RngExt;
use rand::rngs::StdRng;

const PAGE: usize = 4096;
/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// Pages that were never written are zeros and take no memory. Bytes beyond `size` are always zero.
#[derive(Default)]
pub(super) struct Content {
    pages: BTreeMap<u64, Box<[u8]>>,
    size: u64,
    unsynced: Vec<Unsynced>,
}

struct Unsynced {
    /// A sync of it failed: the system has forgotten that it is to be written, and later syncs pass it over.
    lost: bool,
    offset: u64,
    /// What was there, to be put back; as long as `new` for a write, the cut tail for a resize.
    old: Vec<u8>,
    old_size: u64,
    change: Change,
}

enum Change {
    Write(Vec<u8>),
    Resize(u64),
}

impl Unsynced {
    /// Makes bytes that were written later part of what undoing this change restores.
    fn keep(&mut self, later: &Unsynced) {
        match &later.change {
            Change::Resize(size) => self.old_size = *size,
            Change::Write(data) => {
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
        self.peek(buffer.get_mut(..length).unwrap_or_default(), offset);
        length
    }

    pub(super) fn write(&mut self, data: &[u8], offset: u64) {
        let mut old = vec![0; data.len()];
        self.peek(&mut old, offset);
        let change = Change::Write(data.to_vec());
        self.unsynced.push(Unsynced {
            lost: false,
            offset,
            old,
            old_size: self.size,
            change,
        });
        self.poke(data, offset);
    }

    pub(super) fn resize(&mut self, size: u64) {
        let cut = usize::try_from(self.size.saturating_sub(size)).unwrap_or(usize::MAX);
        let mut old = vec![0; cut];
        self.peek(&mut old, size);
        self.unsynced.push(Unsynced {
            lost: false,
            offset: size,
            old,
            old_size: self.size,
            change: Change::Resize(size),
        });
        self.cut(size);
    }

    pub(super) fn sync(&mut self) {
        let (mut lost, written): (Vec<_>, Vec<_>) = std::mem::take(&mut self.unsynced)
            .into_iter()
            .partition(|change| change.lost);
        // What is durable now must not be undone with what it was written over.
        for lost in &mut lost {
            written.iter().for_each(|written| lost.keep(written));
        }
        self.unsynced = lost;
    }

    pub(super) fn sync_failed(&mut self) {
        self.unsynced.iter_mut().for_each(|change| change.lost = true);
    }

    /// Goes back to what was synced, then lets a part of the rest happen after all: nothing, everything,
    /// a prefix that ends inside a write, or any subset of sectors.
    pub(super) fn crash(&mut self, rng: &mut StdRng) {
        let unsynced = std::mem::take(&mut self.unsynced);
        for change in unsynced.iter().rev() {
            self.cut(change.old_size.max(change.offset));
            self.poke(&change.old, change.offset);
            self.cut(change.old_size);
        }
        let unsynced: Vec<_> = unsynced.into_iter().filter(|change| !change.lost).collect();
        match rng.random_range(0..4) {
            0 => {}
            1 => unsynced
                .iter()
                .for_each(|change| self.redo(change, 0..usize::MAX)),
            2 => {
                let whole = rng.random_range(0..=unsynced.len());
                unsynced
                    .iter()
                    .take(whole)
                    .for_each(|change| self.redo(change, 0..usize::MAX));
                if let Some(Unsynced {
                    offset,
                    change: Change::Write(data),
                    ..
                }) = unsynced.get(whole)
                {
                    let torn = rng.random_range(0..=data.len());
                    self.poke(data.get(..torn).unwrap_or_default(), *offset);
                }
            }
            _ => {
                for change in &unsynced {
                    let length = if let Change::Write(data) = &change.change {
                        data.len()
                    } else {
                        1
                    };
                    let mut at = 0;
                    while at < length {
                        // Sectors are those of the disk, not of the write.
                        let into = usize::try_from(change.offset % SECTOR as u64).unwrap_or(0);
                        let end = ((into + at) / SECTOR + 1) * SECTOR - into;
                        if rng.random_bool(0.5) {
                            self.redo(change, at..end);
                        }
                        at = end;
                    }
                }
            }
        }
    }

    fn redo(&mut self, unsynced: &Unsynced, part: Range<usize>) {
        match &unsynced.change {
            Change::Resize(size) => self.cut(*size),
            Change::Write(data) => {
                let part = part.start.min(data.len())..part.end.min(data.len());
                let offset = unsynced.offset + part.start as u64;
                self.poke(data.get(part).unwrap_or_default(), offset);
            }
        }
    }

    fn peek(&self, buffer: &mut [u8], offset: u64) {
        let mut at = offset;
        for piece in pieces(buffer.len(), offset) {
            let target = buffer.get_mut(piece).unwrap_or_default();
            let start = usize::try_from(at % PAGE as u64).unwrap_or(0);
            match self
                .pages
                .get(&(at / PAGE as u64))
                .and_then(|page| page.get(start..start + target.len()))
            {
                Some(source) => target.copy_from_slice(source),
                None => target.fill(0),
            }
            at += target.len() as u64;
        }
    }

    fn poke(&mut self, data: &[u8], offset: u64) {
        let mut at = offset;
        for piece in pieces(data.len(), offset) {
            let source = data.get(piece).unwrap_or_default();
            let start = usize::try_from(at % PAGE as u64).unwrap_or(0);
            let page = self
                .pages
                .entry(at / PAGE as u64)
                .or_insert_with(|| vec![0; PAGE].into_boxed_slice());
            if let Some(target) = page.get_mut(start..start + source.len()) {
                target.copy_from_slice(source);
            }
            at += source.len() as u64;
        }
        if !data.is_empty() {
            self.size = self.size.max(at);
        }
    }

    fn cut(&mut self, size: u64) {
        if size < self.size {
            let keep = size.div_ceil(PAGE as u64);
            self.pages.split_off(&keep);
            let start = usize::try_from(size % PAGE as u64).unwrap_or(0);
            if start > 0 {
                let page = self.pages.get_mut(&(size / PAGE as u64));
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
    let into = usize::try_from(offset % PAGE as u64).unwrap_or(0);
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= length {
            return None;
        }
        let end = (((into + at) / PAGE + 1) * PAGE - into).min(length);
        let piece = at..end;
        at = end;
        Some(piece)
    })
}

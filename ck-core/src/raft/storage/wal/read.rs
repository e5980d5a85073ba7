//! Reading entries back from disk.

use bytes::Bytes;

use super::frame::{self, Reader, kind};
use super::segment::Segment;
use super::types::{Entry, LogId, corrupt};
use super::view::EntrySlot;
use crate::Result;

/// Frames are read back in pieces of about this size.
const RUN_LIMIT: u32 = 1 << 20;
/// The part of an entry's body before the payload.
pub(super) const ENTRY_HEAD: usize = LogId::LENGTH + 1;

/// Neighbouring frames, read at once.
pub(super) struct Run {
    segment: Segment,
    index: u64,
    count: u64,
    offset: u32,
    length: u32,
}

impl Run {
    pub(super) fn new(segment: Segment, index: u64, slot: EntrySlot) -> Self {
        Run {
            segment,
            index,
            count: 1,
            offset: slot.offset,
            length: slot.length,
        }
    }

    /// Takes in the next entry if its frame follows at once.
    pub(super) fn extend(&mut self, slot: EntrySlot) -> bool {
        let follows =
            slot.segment == self.segment.header.sequence && slot.offset == self.offset + self.length;
        if follows && self.length < RUN_LIMIT {
            self.length += slot.length;
            self.count += 1;
            return true;
        }
        false
    }

    fn read(&self, entries: &mut Vec<Entry>) -> Result<()> {
        let mut data = vec![0; self.length as usize];
        self.segment
            .file
            .read_exact_at(&mut data, u64::from(self.offset))?;
        // The payloads share the buffer instead of being copied out of it.
        let data = Bytes::from(data);
        let mut at = 0;
        for index in self.index..self.index + self.count {
            let offset = self.offset + at as u32;
            let damaged = |what| corrupt(self.segment.file.path(), offset, what);
            let rest = data.get(at..).unwrap_or_default();
            let frame = frame::parse(rest, self.segment.place(offset)).map_err(damaged)?;
            let (id, entry_kind) = entry_head(frame.kind, frame.body)
                .ok_or("not an entry")
                .map_err(damaged)?;
            if id.index != index {
                return Err(damaged("another entry than expected"));
            }
            let end = at + frame.length();
            let payload = data.slice(end - frame.body.len() + ENTRY_HEAD..end);
            entries.push(Entry {
                id,
                kind: entry_kind,
                payload,
            });
            at = end;
        }
        Ok(())
    }
}

/// Where the entries that a reader asked for are: first those on disk, then those in the cache.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) runs: Vec<Run>,
    pub(super) cached: Vec<Entry>,
}

impl Plan {
    pub(super) fn read(self) -> Result<Vec<Entry>> {
        if self.runs.is_empty() {
            return Ok(self.cached);
        }
        let mut entries = Vec::new();
        for run in &self.runs {
            run.read(&mut entries)?;
        }
        entries.extend(self.cached);
        Ok(entries)
    }
}

/// The identity and kind that the body of an entry's frame begins with.
pub(super) fn entry_head(frame_kind: u8, body: &[u8]) -> Option<(LogId, u8)> {
    if frame_kind != kind::ENTRY {
        return None;
    }
    let mut reader = Reader(body);
    Some((LogId::get(&mut reader)?, reader.u8()?))
}

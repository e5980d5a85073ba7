//! Marks: frames that say how much of a segment is durable, so that damage below shows.

use super::frame::{self, kind};
use super::writer::WalWriter;
use crate::Result;

impl WalWriter {
    /// After an opening: what was recovered is durable, and from now on damage to it must show.
    pub(super) fn settle(&mut self) -> Result<()> {
        self.mark()?;
        // What an earlier process wrote may be under way, too.
        self.sync()?;
        for _ in self.segment.header.marks() {
            self.put_second_mark()?;
            self.sync()?;
        }
        Ok(())
    }

    pub(super) fn mark(&mut self) -> Result<()> {
        self.marked = true;
        self.put_last(kind::MARK, |_| {})
    }

    /// Writes both copies of the second mark, far from the tail that they speak of, where it has anything new to say. While
    /// others wait to be written it is one copy, and the other one the next time.
    pub(super) fn mark_again(&mut self) -> Result<()> {
        if !self.synced_since || self.segment.header.marks().is_empty() {
            return Ok(());
        }
        self.put_second_mark()?;
        if self.queue.is_empty() {
            self.sync()?;
            self.put_second_mark()?;
        }
        Ok(())
    }

    /// Writes one copy of the second mark: the one that was not written last, and never without a sync between. A power loss
    /// may tear whatever no sync has made durable yet, and one copy must be whole.
    fn put_second_mark(&mut self) -> Result<()> {
        debug_assert!(self.synced_since);
        let marks = self.segment.header.marks();
        let Some(at) = marks.get(self.next_mark) else {
            return Ok(());
        };
        self.next_mark = (self.next_mark + 1) % marks.len();
        self.synced_since = false;
        self.put_at(*at, kind::MARK, |_| {})
    }

    /// Writes a frame behind the end, where the next batch will overwrite it.
    pub(super) fn put_last(&mut self, kind: u8, body: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        self.put_at(self.end, kind, body)
    }

    fn put_at(&mut self, at: u32, kind: u8, body: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        debug_assert!(self.buffer.is_empty());
        frame::put(&mut self.buffer, self.segment.place(at), self.synced, kind, body);
        let result = self.segment.file.write_all_at(&self.buffer, u64::from(at));
        self.buffer.clear();
        result
    }
}

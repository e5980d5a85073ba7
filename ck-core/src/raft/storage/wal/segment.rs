//! Segments: the files that the log is cut into, so that old ones can go.
//!
//! A segment has its full length from the moment that it has its name (most of it a hole), so a shorter
//! file is damage, and syncing a batch never has to sync a length. Its first frame names the owner of the log and
//! restates what earlier segments said, so that they can be deleted. Behind it is the second mark: the offset that is
//! known to be synced, far from the tail that it speaks of, so that the loss of a whole tail is noticed.
//!
//! ```text
//!      0  first frame: never written again
//!  4,096  second mark
//!  8,192  second mark, the same again
//! 12,288  records, up to the end of the file; behind the last one the first mark, or the seal
//! ```
//! Each of the first three lies in a sector of its own, because a sector that is being written when the power fails may be
//! lost whole. So the first frame is never lost, and one of the two copies of the second mark is always there: a segment
//! that has neither is damaged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::MAX_SEGMENT;
use super::frame::{self, HEADER, Place, Reader, kind, put_u16, put_u32};
use super::types::{LogId, Owner, Vote, corrupt};
use crate::env::disk::{DirSync, Disk, DiskFile};
use crate::{Error, ErrorCode, Result};

/// The version of the format as a whole; a newer one is refused. Version 1 named no owner and had no second mark.
const FORMAT: u16 = 2;
const BODY_1: usize = 18 + 1 + Vote::LENGTH + 3 * (1 + LogId::LENGTH);
const BODY: usize = BODY_1 + Owner::LENGTH;
/// The length of the first frame.
const HEAD: usize = HEADER + BODY;
/// The largest sector that disks write at once.
const SECTOR: usize = 4096;
/// Where the two copies of the second mark lie.
pub(super) const MARKS: [u32; 2] = [SECTOR as u32, 2 * SECTOR as u32];
/// Where the first record begins.
pub(super) const FIRST: usize = 3 * SECTOR;
/// The same in a segment of format 1.
const FIRST_1: usize = HEADER + BODY_1;
/// Kept free at the end of each segment, for the mark or the seal.
pub(super) const RESERVED: usize = HEADER + 4;

/// What the log says at some point, entries apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) vote: Option<Vote>,
    pub(super) purged: Option<LogId>,
    pub(super) last: Option<LogId>,
    pub(super) committed: Option<LogId>,
}

/// The first frame of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) sequence: u32,
    /// The length of the file.
    pub(super) size: u32,
    /// Begins the checksums of all other frames of the file.
    pub(super) salt: u32,
    /// Where the frames of the segment before this one end; all of it was durable before this existed.
    pub(super) previous_end: u32,
    pub(super) summary: Summary,
    /// Whose log it is; `None` in a segment of format 1, which does not say.
    pub(super) owner: Option<Owner>,
}

impl Header {
    /// Where the first record begins.
    pub(super) fn first(&self) -> u32 {
        (if self.owner.is_some() { FIRST } else { FIRST_1 }) as u32
    }

    /// Where the copies of the second mark lie: nowhere in a segment of format 1.
    pub(super) fn marks(&self) -> &'static [u32] {
        if self.owner.is_some() { &MARKS } else { &[] }
    }

    fn put(&self, out: &mut Vec<u8>) {
        frame::put(
            out,
            Place { salt: 0, offset: 0 },
            FIRST as u32,
            kind::SEGMENT,
            |out| {
                put_u16(out, FORMAT);
                put_u32(out, self.sequence);
                put_u32(out, self.size);
                put_u32(out, self.salt);
                put_u32(out, self.previous_end);
                Vote::put_option(self.summary.vote, out);
                LogId::put_option(self.summary.purged, out);
                LogId::put_option(self.summary.last, out);
                LogId::put_option(self.summary.committed, out);
                self.owner.unwrap_or_default().put(out);
            },
        );
    }

    fn get(body: &[u8]) -> Option<(u16, Header)> {
        let mut reader = Reader(body);
        let format = reader.u16()?;
        let mut header = Header {
            sequence: reader.u32()?,
            size: reader.u32()?,
            salt: reader.u32()?,
            previous_end: reader.u32()?,
            summary: Summary {
                vote: Vote::get_option(&mut reader)?,
                purged: LogId::get_option(&mut reader)?,
                last: LogId::get_option(&mut reader)?,
                committed: LogId::get_option(&mut reader)?,
            },
            owner: None,
        };
        if format > 1 {
            header.owner = Some(Owner::get(&mut reader)?);
        }
        Some((format, header))
    }
}

/// The first frame as format 1 had it.
#[cfg(test)]
pub(super) fn put_format_1(out: &mut Vec<u8>, sequence: u32, size: u32, salt: u32) {
    let place = Place { salt: 0, offset: 0 };
    frame::put(out, place, FIRST_1 as u32, kind::SEGMENT, |out| {
        put_u16(out, 1);
        for number in [sequence, size, salt, 0] {
            put_u32(out, number);
        }
        Vote::put_option(None, out);
        for _ in 0..3 {
            LogId::put_option(None, out);
        }
    });
}

/// A segment that is open.
#[derive(Clone)]
pub(super) struct Segment {
    pub(super) header: Header,
    pub(super) file: Arc<dyn DiskFile>,
}

impl Segment {
    /// Opens the file of the segment that comes next, which has no name yet and holds nothing.
    pub(super) fn spare(disk: &dyn Disk, dir: &Path) -> Result<Arc<dyn DiskFile>> {
        disk.create(&dir.join("next").with_extension(TEMPORARY))
    }

    /// Makes a spare file a segment. On return it is durable under its name. No file is opened for it.
    pub(super) fn begin(
        disk: &dyn Disk,
        dir: &Path,
        file: Arc<dyn DiskFile>,
        dir_sync: &DirSync,
        header: Header,
    ) -> Result<Segment> {
        let path = dir.join(file_name(header.sequence));
        file.set_len(u64::from(header.size))?;
        let mut data = Vec::with_capacity(FIRST);
        header.put(&mut data);
        for at in MARKS {
            data.resize(at as usize, 0);
            let place = Place {
                salt: header.salt,
                offset: at,
            };
            frame::put(&mut data, place, FIRST as u32, kind::MARK, |_| {});
        }
        file.write_all_at(&data, 0)?;
        file.sync_data()?;
        disk.rename(file.path(), &path)?;
        dir_sync()?;
        let file = Arc::new(Renamed { path, file });
        Ok(Segment { header, file })
    }

    /// Opens a segment and checks its header and its length.
    ///
    /// The header is bounded and read whole, whatever its format: what a shorter one leaves of it are records.
    pub(super) fn open(disk: &dyn Disk, dir: &Path, sequence: u32) -> Result<Segment> {
        let path = dir.join(file_name(sequence));
        let Some(file) = disk.open(&path)? else {
            return Err(corrupt(&path, 0u8, "the file is missing"));
        };
        let size = file.size()?;
        if size < HEAD as u64 {
            return Err(corrupt(&path, size, "the file ends inside its first frame"));
        }
        let mut data = [0; HEAD];
        file.read_exact_at(&mut data, 0)?;
        let frame = frame::parse(&data, Place { salt: 0, offset: 0 });
        let frame = frame.map_err(|what| corrupt(&path, 0u8, what))?;
        let wrong = |what| corrupt(&path, HEADER as u64, what);
        if frame.kind != kind::SEGMENT {
            return Err(wrong("the first frame is not that of a segment"));
        }
        let (format, header) =
            Header::get(frame.body).ok_or_else(|| wrong("the first frame is too short"))?;
        if format > FORMAT || frame.version > frame::VERSION {
            return Err(newer(&path, 0u8));
        }
        // Else the first record would overwrite its end.
        if frame.length() > header.first() as usize {
            return Err(wrong("the first frame is longer than its format has it"));
        }
        let Summary { purged, last, .. } = header.summary;
        if purged.map(|purged| purged.index) > last.map(|last| last.index) {
            return Err(wrong("the log that it goes on with ends before it begins"));
        }
        if header.sequence != sequence {
            return Err(wrong("the segment has the name of another"));
        }
        if header.size > MAX_SEGMENT {
            return Err(wrong("the segment is longer than any can be"));
        }
        if header.size < header.first() {
            return Err(wrong("the segment is shorter than any can be"));
        }
        if size != u64::from(header.size) {
            let what = format!("the file has {size} bytes and should have {}", header.size);
            return Err(corrupt(&path, size.min(u64::from(header.size)), &what));
        }
        Ok(Segment { header, file })
    }

    pub(super) fn place(&self, offset: u32) -> Place {
        Place {
            salt: self.header.salt,
            offset,
        }
    }
}

/// A file that has got another name since it was opened.
struct Renamed {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
}

impl DiskFile for Renamed {
    fn path(&self) -> &Path {
        &self.path
    }

    fn size(&self) -> Result<u64> {
        self.file.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<usize> {
        self.file.write_at(data, offset)
    }

    fn set_len(&self, length: u64) -> Result<()> {
        self.file.set_len(length)
    }

    fn sync_data(&self) -> Result<()> {
        self.file.sync_data()
    }
}

/// The error for a log that a later version of ClusterKit wrote.
pub(super) fn newer(file: &Path, offset: impl Into<u64>) -> Error {
    let message = format!(
        "{}: written by a newer version of ClusterKit (offset {}); run that version",
        file.display(),
        offset.into()
    );
    Error::new(ErrorCode::Version, message)
}

const EXTENSION: &str = "log";
/// A file of this kind is a segment that was being created; it holds nothing yet.
pub(super) const TEMPORARY: &str = "tmp";

pub(super) fn file_name(sequence: u32) -> PathBuf {
    PathBuf::from(format!("{sequence:010}.{EXTENSION}"))
}

/// The number of the segment with this file name, if it is one.
pub(super) fn sequence(name: &str) -> Option<u32> {
    let (digits, extension) = name.split_once('.')?;
    (digits.len() == 10 && extension == EXTENSION).then(|| digits.parse().ok())?
}

//! Frames: how one operation lies in a segment file.
//!
//! ```text
//!  0  "CK"      so that a search can find frames behind damage
//!  2  version   1
//!  3  kind
//!  4  u32       length of the body
//!  8  u32       synced: everything in this file before that offset was durable when this was written
//! 12  u32       CRC-32C of the body
//! 16  u32       CRC-32C of the 16 bytes above and of the frame's own offset, begun from the file's salt
//! 20  body
//! ```
//! Numbers are little-endian. The header has its own checksum because nothing in it, least of all the
//! length, may be used before it is known to be whole. Salt and offset bind a frame to its place: bytes
//! inside a payload never pass for a frame, not even if a client has chosen them.

pub(super) const HEADER: usize = 20;
pub(super) const VERSION: u8 = 1;
const MAGIC: [u8; 2] = *b"CK";
/// The part of the header that its checksum covers.
const CHECKED: usize = 16;

/// The kinds of frame. Numbers are on disk: never changed, never reused.
pub(super) mod kind {
    /// The first frame of each file: see `segment`.
    pub(in super::super) const SEGMENT: u8 = 1;
    pub(in super::super) const ENTRY: u8 = 2;
    pub(in super::super) const VOTE: u8 = 3;
    /// The log ends at the entry named; later ones are void.
    pub(in super::super) const TRUNCATE: u8 = 4;
    /// The log begins after the entry named.
    pub(in super::super) const PURGE: u8 = 5;
    pub(in super::super) const COMMITTED: u8 = 6;
    /// No content: written after a sync, unsynced, to carry the synced offset until the next batch,
    /// which overwrites it, does so. Always the last frame of a file; a second mark, as of a quiet moment, lies
    /// behind the first frame.
    pub(in super::super) const MARK: u8 = 7;
    /// The next segment exists. Never in the last file, unless somebody took that away.
    pub(in super::super) const SEAL: u8 = 8;
}

/// Where a frame lies, which its checksum covers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) salt: u32,
    pub(super) offset: u32,
}

/// A frame whose checksums are right.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) version: u8,
    pub(super) kind: u8,
    pub(super) synced: u32,
    pub(super) body: &'a [u8],
}

impl Frame<'_> {
    pub(super) fn length(&self) -> usize {
        HEADER + self.body.len()
    }
}

/// Appends a frame to `out`; `body` appends the body.
pub(super) fn put(out: &mut Vec<u8>, place: Place, synced: u32, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    body(out);
    let Some((header, body)) = out
        .get_mut(start..)
        .and_then(<[u8]>::split_first_chunk_mut::<HEADER>)
    else {
        return;
    };
    // Bodies are bounded by MAX_PAYLOAD, so the length fits.
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let words = [length, synced, crc32c::crc32c(body)];
    header[..2].copy_from_slice(&MAGIC);
    header[2] = VERSION;
    header[3] = kind;
    for (target, word) in header[4..CHECKED].chunks_exact_mut(4).zip(words) {
        target.copy_from_slice(&word.to_le_bytes());
    }
    let sum = header_sum(&header[..CHECKED], place);
    header[CHECKED..].copy_from_slice(&sum.to_le_bytes());
}

fn header_sum(checked: &[u8], place: Place) -> u32 {
    crc32c::crc32c_append(
        crc32c::crc32c_append(place.salt, checked),
        &place.offset.to_le_bytes(),
    )
}

/// The frame that `data` begins with, or what is wrong with it. Allocates nothing.
pub(super) fn parse(data: &[u8], place: Place) -> Result<Frame<'_>, &'static str> {
    let (mut frame, length, body_sum) = parse_header(data, place)?;
    let body = usize::try_from(length)
        .ok()
        .and_then(|length| data.get(HEADER..)?.get(..length));
    frame.body = body.ok_or("the frame is longer than the file")?;
    if crc32c::crc32c(frame.body) != body_sum {
        return Err("the checksum of the body is wrong");
    }
    Ok(frame)
}

fn parse_header(data: &[u8], place: Place) -> Result<(Frame<'static>, u32, u32), &'static str> {
    let header = data
        .first_chunk::<HEADER>()
        .ok_or("the file ends inside a frame")?;
    if !header.starts_with(&MAGIC) {
        return Err("no frame begins here");
    }
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if header_sum(&header[..CHECKED], place) != word(CHECKED) {
        return Err("the checksum of the header is wrong");
    }
    Ok((
        Frame {
            version: header[2],
            kind: header[3],
            synced: word(8),
            body: &[],
        },
        word(4),
        word(12),
    ))
}

/// Looks for proof that the bytes at `from` were durable once: what the first frame behind it says was, if it says so.
pub(super) fn proof_of_sync(data: &[u8], from: usize, salt: u32) -> Option<u32> {
    (from..data.len()).find_map(|at| {
        let (rest, offset) = (data.get(at..)?, u32::try_from(at).ok()?);
        if !rest.starts_with(&MAGIC) {
            return None;
        }
        let (frame, ..) = parse_header(rest, Place { salt, offset }).ok()?;
        usize::try_from(frame.synced)
            .is_ok_and(|synced| synced > from)
            .then_some(frame.synced)
    })
}

/// Makes the checksums right of the frame that `data` begins with, and gives its length; `None` where there is no room for it.
#[cfg(any(test, feature = "fuzz"))]
pub(super) fn repair(data: &mut [u8], place: Place) -> Option<usize> {
    let (header, rest) = data.split_first_chunk_mut::<HEADER>()?;
    if !header.starts_with(&MAGIC) {
        return None;
    }
    let length = u32::from_le_bytes(*header.get(4..)?.first_chunk()?) as usize;
    let body_sum = crc32c::crc32c(rest.get(..length)?);
    header[12..CHECKED].copy_from_slice(&body_sum.to_le_bytes());
    let sum = header_sum(&header[..CHECKED], place);
    header[CHECKED..].copy_from_slice(&sum.to_le_bytes());
    Some(HEADER + length)
}

pub(super) fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Takes numbers off the front of a body; `None` when it is too short.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Reader<'_> {
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    pub(super) fn bool(&mut self) -> Option<bool> {
        self.u8().map(|byte| byte != 0)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { salt: 7, offset: 40 };

    fn frame(body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, PLACE, 33, kind::ENTRY, |out| {
            out.extend_from_slice(body)
        });
        out
    }

    #[test]
    fn a_frame_reads_back_and_no_changed_byte_goes_unnoticed() {
        let good = frame(b"some body");
        let parsed = parse(&good, PLACE).unwrap();
        assert_eq!(
            (parsed.kind, parsed.synced, parsed.body),
            (kind::ENTRY, 33, &b"some body"[..])
        );
        assert_eq!(parsed.length(), good.len());
        for at in 0..good.len() {
            assert!(parse(&good[..at], PLACE).is_err());
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert!(parse(&bad, PLACE).is_err(), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn a_frame_counts_only_in_its_own_place_and_file() {
        let good = frame(b"body");
        assert!(parse(&good, Place { offset: 41, ..PLACE }).is_err());
        assert!(parse(&good, Place { salt: 8, ..PLACE }).is_err());
    }

    #[test]
    fn a_huge_length_with_a_right_checksum_is_refused_without_allocating() {
        let mut bad = frame(b"body");
        bad[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        let sum = header_sum(&bad[..CHECKED], PLACE);
        bad[CHECKED..HEADER].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(
            parse(&bad, PLACE).unwrap_err(),
            "the frame is longer than the file"
        );
    }
}

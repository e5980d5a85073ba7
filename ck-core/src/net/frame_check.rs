//! What proves that a frame is as it was sent: the check in its header.

use std::fmt;

use bytes::{BufMut, BytesMut};
use ring::hmac;
use subtle::ConstantTimeEq;

use super::frame::{CHECKED_LEN, FrameError};

/// The length of a checksum, in bytes.
const CHECKSUM_LEN: usize = 4;
/// The length of a code in a frame, in bytes: HMAC-SHA-256 cut to 128 bits, as RFC 4868 does.
const MAC_LEN: usize = 16;

/// The check of the frames that go one way over one connection. It knows how many frames there were before, so it is used
/// for each frame once, in their order.
#[derive(Debug)]
pub(super) enum FrameCheck {
    /// A CRC-32C: detects damage, and proves nothing.
    Checksum,
    /// A message authentication code, over the number of the frame as well: a frame that was changed, repeated, left out,
    /// moved, or sent by anybody else ends the connection.
    Mac(FrameMac),
}

/// Computes the codes of the frames that go one way over one connection.
pub(super) struct FrameMac {
    key: hmac::Key,
    /// How many frames there were before.
    count: u64,
}

impl fmt::Debug for FrameMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameMac")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl FrameMac {
    /// Codes under this key, which no other connection and no other direction has.
    pub(super) fn new(key: hmac::Key) -> Self {
        FrameMac { key, count: 0 }
    }

    fn next(&mut self, checked: &[u8; CHECKED_LEN], body: &[u8]) -> [u8; MAC_LEN] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&self.count.to_be_bytes());
        context.update(checked);
        context.update(body);
        // At a million frames a second this lasts for half a million years.
        self.count += 1;
        let tag = context.sign();
        let mut code = [0; MAC_LEN];
        code.copy_from_slice(&tag.as_ref()[..MAC_LEN]);
        code
    }
}

impl FrameCheck {
    /// The version of the frames that have this check.
    pub(super) fn version(&self) -> u8 {
        match self {
            FrameCheck::Checksum => 1,
            FrameCheck::Mac(_) => 2,
        }
    }

    /// The length of a header with this check, in bytes.
    pub(super) fn header_len(&self) -> usize {
        CHECKED_LEN
            + match self {
                FrameCheck::Checksum => CHECKSUM_LEN,
                FrameCheck::Mac(_) => MAC_LEN,
            }
    }

    /// Appends the check of the next frame to be sent.
    pub(super) fn put(&mut self, buffer: &mut BytesMut, checked: &[u8; CHECKED_LEN], body: &[u8]) {
        match self {
            FrameCheck::Checksum => buffer.put_u32(checksum(checked, body)),
            FrameCheck::Mac(mac) => buffer.put_slice(&mac.next(checked, body)),
        }
    }

    /// Checks the next frame that was received.
    pub(super) fn verify(
        &mut self,
        checked: &[u8; CHECKED_LEN],
        body: &[u8],
        sent: &[u8],
    ) -> Result<(), FrameError> {
        match self {
            FrameCheck::Checksum if checksum(checked, body).to_be_bytes() == *sent => Ok(()),
            FrameCheck::Checksum => Err(FrameError::Checksum),
            FrameCheck::Mac(mac) => match bool::from(mac.next(checked, body).ct_eq(sent)) {
                true => Ok(()),
                false => Err(FrameError::Forged),
            },
        }
    }
}

fn checksum(checked: &[u8; CHECKED_LEN], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(checked), body)
}

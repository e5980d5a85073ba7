//! What proves that a frame is as it was sent: the check in its header.

use std::fmt;

use bytes::{BufMut, BytesMut};
use ring::aead::{AES_256_GCM, Aad, Algorithm, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use subtle::ConstantTimeEq;

use super::frame::{CHECKED_LEN, FrameError};

/// The length of a checksum, in bytes.
const CHECKSUM_LEN: usize = 4;
/// The length of a code in a frame, in bytes: a whole tag of AES-GCM.
const MAC_LEN: usize = 16;
/// The cipher whose tags the codes are, and what keys of [`FrameMac`] are for.
pub(super) static MAC_ALGORITHM: &Algorithm = &AES_256_GCM;

/// The check of the frames that go one way over one connection. It knows how many frames there were before, so it is used
/// for each frame once, in their order.
#[derive(Debug)]
pub(super) enum FrameCheck {
    /// A CRC-32C: detects damage, and proves nothing.
    Checksum,
    /// A message authentication code, over the number of the frame as well: a frame that was changed, repeated, left out,
    /// moved, or sent by anybody else ends the connection.
    Mac(Box<FrameMac>),
}

/// Computes the codes of the frames that go one way over one connection: tags of AES-256-GCM (NIST SP 800-38D).
///
/// The number of the frame is the nonce, its body the additional data, its header the plaintext. Nobody needs the ciphertext
/// of a header that is sent as it is, so it is thrown away, and the other end computes it again. The body stays where it is:
/// nothing is copied or encrypted, and hashing it is several times as fast as SHA-256.
///
/// Each number is used for one frame, under a key that no other connection and no other direction has. The end that checks a
/// frame tells nobody what the code should have been, and ends the connection at the first one that is wrong.
pub(super) struct FrameMac {
    key: LessSafeKey,
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
    pub(super) fn new(key: UnboundKey) -> Self {
        FrameMac {
            key: LessSafeKey::new(key),
            count: 0,
        }
    }

    /// The code of the next frame; `None` for a body that is longer than AES-GCM takes (2^61 bytes), which no frame is.
    fn next(&mut self, checked: &[u8; CHECKED_LEN], body: &[u8]) -> Option<[u8; MAC_LEN]> {
        let mut nonce = [0; NONCE_LEN];
        nonce[NONCE_LEN - size_of::<u64>()..].copy_from_slice(&self.count.to_be_bytes());
        // At a million frames a second this lasts for half a million years.
        self.count += 1;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let mut header = *checked;
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(body), &mut header)
            .ok()?;
        tag.as_ref().try_into().ok()
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
            // The other end refuses a frame without a code.
            FrameCheck::Mac(mac) => buffer.put_slice(&mac.next(checked, body).unwrap_or_default()),
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
            FrameCheck::Mac(mac) => match mac.next(checked, body) {
                Some(code) if code.ct_eq(sent).into() => Ok(()),
                _ => Err(FrameError::Forged),
            },
        }
    }
}

fn checksum(checked: &[u8; CHECKED_LEN], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(checked), body)
}

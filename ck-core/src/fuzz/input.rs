//! Reads a fuzzer input. Missing bytes at its end read as zeros or as empty parts, so that every input is valid.

/// The bytes of a fuzzer, read from the front.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Input(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn u8(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    /// Reads the first byte of an input: eight flags of one bit each.
    pub(crate) fn flags(&mut self) -> Flags {
        Flags(self.u8())
    }

    /// Reads this many bytes, or fewer if the input ends.
    pub(crate) fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Reads a part: a length as a little-endian u16, then so many bytes.
    pub(crate) fn part(&mut self) -> &'a [u8] {
        let length = self.u16();
        self.take(length.into())
    }

    /// The remaining bytes.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Eight flags.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flags(u8);

impl Flags {
    /// True if bit `number` is set.
    pub(crate) fn has(self, number: u8) -> bool {
        self.0 >> number & 1 == 1
    }
}

/// Appends a part that [`Input::part`] reads.
#[cfg(test)]
pub(crate) fn put_part(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).expect("a part is short");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

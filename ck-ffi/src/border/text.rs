//! Strings and bytes across the border.

use std::ffi::{c_char, c_void};

use clusterkit::{Error, ErrorCode, Result};

use super::handle::null;

/// Bytes from C, for the length of a call. NULL is legal where there are none.
///
/// # Safety
/// `len` bytes can be read at a pointer that is not NULL, and nobody writes them while the borrow lasts.
#[inline]
pub(crate) unsafe fn bytes<'a>(pointer: *const c_void, len: usize, name: &str) -> Result<&'a [u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    if pointer.is_null() {
        return Err(null(name));
    }
    if isize::try_from(len).is_err() {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("{name} cannot be {len} bytes long"),
        ));
    }
    // SAFETY: the caller's promise, and the length is one that an object can have.
    Ok(unsafe { std::slice::from_raw_parts(pointer.cast(), len) })
}

/// Text from C, for the length of a call: UTF-8, by pointer and length.
///
/// # Safety
/// As for [`bytes`].
pub(crate) unsafe fn text<'a>(pointer: *const c_char, len: usize, name: &str) -> Result<&'a str> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes(pointer.cast(), len, name) }?;
    std::str::from_utf8(bytes).map_err(|error| {
        Error::new(
            ErrorCode::InvalidArgument,
            format!("{name} is not UTF-8 from byte {} on", error.valid_up_to()),
        )
    })
}

/// Text for C to borrow: UTF-8 with a NUL behind it, which the length does not count. Not a box: whoever moves a box
/// promises that no other pointer leads into it.
pub(crate) struct CText(Vec<u8>);

impl CText {
    pub(crate) fn new(text: &str) -> Self {
        let mut bytes = Vec::with_capacity(text.len() + 1);
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
        CText(bytes)
    }

    /// Valid for as long as `self` lives, wherever it is moved to.
    pub(crate) fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }

    /// Without the NUL.
    pub(crate) fn len(&self) -> usize {
        self.0.len() - 1
    }
}

/// Copies text and its NUL into a buffer of C's.
///
/// # Safety
/// `size` bytes can be written at a pointer that is not NULL.
pub(crate) unsafe fn fill(buffer: *mut c_char, size: usize, text: &str, name: &str) -> Result<()> {
    if buffer.is_null() {
        return Err(null(name));
    }
    if text.len() >= size {
        return Err(Error::new(
            ErrorCode::TooLarge,
            format!(
                "{text:?} and its NUL take {} bytes, {name} has {size}",
                text.len() + 1
            ),
        ));
    }
    // SAFETY: the caller's promise; the text and its NUL are no longer than the buffer.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), buffer, text.len());
        buffer.add(text.len()).write(0);
    }
    Ok(())
}

/// The last boundary of characters that is no further than `limit`.
fn boundary_before(text: &str, limit: usize) -> usize {
    (0..=limit.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}

/// The longest message of an error, in bytes: what is longer is cut.
const MAX_MESSAGE_BYTES: usize = 4096;

/// A message as C can hold it: bounded, and no control character (a NUL would end it) stands in it as itself.
pub(crate) fn message(text: &str) -> CText {
    let mut clean = String::with_capacity(text.len().min(MAX_MESSAGE_BYTES) + 4);
    for character in text.chars() {
        if clean.len() >= MAX_MESSAGE_BYTES {
            clean.push_str("...");
            break;
        }
        match character {
            '\n' => clean.push('\n'),
            control if control.is_control() => clean.extend(control.escape_default()),
            other => clean.push(other),
        }
    }
    CText::new(&clean)
}

/// How many bytes of an argument a message quotes.
const MAX_QUOTED_BYTES: usize = 64;

/// An argument in the words of a message: bounded, and without control characters.
pub(crate) fn quoted(text: &str) -> String {
    if text.len() <= MAX_QUOTED_BYTES {
        return format!("{text:?}");
    }
    let end = boundary_before(text, MAX_QUOTED_BYTES);
    format!("{:?}... ({} bytes)", &text[..end], text.len())
}

#[cfg(test)]
mod tests {
    use std::ptr::{NonNull, null};

    use super::*;
    use crate::testing::text_at;

    #[test]
    fn text_ends_with_a_nul() {
        let text = CText::new("abc");
        assert_eq!(text.len(), 3);
        assert_eq!(text.0, b"abc\0");
        assert_eq!(CText::new("").0, b"\0");
    }

    /// The pointers are taken before their texts go where they are kept.
    #[test]
    fn a_text_stays_where_it_is_when_its_owner_moves() {
        let mut pointers = Vec::new();
        let mut kept = Vec::new();
        for word in ["", "zone", "a longer text than the others"] {
            let text = CText::new(word);
            pointers.push((text.as_ptr(), word));
            kept.push(Box::new(Some(text)));
        }
        let moved = kept;
        for (pointer, word) in pointers {
            // SAFETY: the texts are in `moved`.
            assert_eq!(unsafe { text_at(pointer) }, word);
        }
        drop(moved);
    }

    #[test]
    fn bytes_are_borrowed_where_they_are() {
        let buffer = *b"0123456789";
        let middle = &buffer[3..7];
        // SAFETY: the buffer is there for as long as it is borrowed, twice at the same time.
        unsafe {
            let one = bytes(middle.as_ptr().cast(), middle.len(), "key").unwrap();
            let other = text(middle.as_ptr().cast(), 2, "key").unwrap();
            assert_eq!((one, other), (&b"3456"[..], "34"));
            assert_eq!(one.as_ptr(), middle.as_ptr());
        }
    }

    #[test]
    fn no_bytes_need_no_place() {
        for pointer in [null(), NonNull::<c_void>::dangling().as_ptr().cast_const()] {
            // SAFETY: nothing is read.
            unsafe {
                assert!(bytes(pointer, 0, "key").unwrap().is_empty());
                assert!(text(pointer.cast(), 0, "key").unwrap().is_empty());
            }
        }
    }

    #[test]
    fn bytes_that_cannot_be_there_are_refused_before_they_are_read() {
        let one = 0_u8;
        let place: *const c_void = (&raw const one).cast();
        for (pointer, len) in [(null(), 1), (place, usize::MAX), (place, isize::MAX as usize + 1)] {
            // SAFETY: nothing is read: either there is no place, or no object is so long.
            let error = unsafe { bytes(pointer, len, "key") }.unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidArgument, "{len}");
        }
    }

    #[test]
    fn text_that_is_not_utf8_names_the_byte() {
        let bytes = *b"ab\xff";
        // SAFETY: the bytes are there.
        let error = unsafe { text(bytes.as_ptr().cast(), bytes.len(), "name") }.unwrap_err();
        assert_eq!(error.message(), "name is not UTF-8 from byte 2 on");
    }

    #[test]
    fn a_buffer_that_is_too_small_is_left_alone() {
        let mut buffer = [1; 4];
        // SAFETY: the buffer has four bytes, and NULL is never written.
        unsafe {
            let error = fill(buffer.as_mut_ptr(), 4, "abcd", "buffer").unwrap_err();
            assert_eq!((error.code(), buffer), (ErrorCode::TooLarge, [1; 4]));
            fill(buffer.as_mut_ptr(), 4, "abc", "buffer").unwrap();
            assert_eq!(buffer.map(|c| c as u8), *b"abc\0");
            assert!(fill(std::ptr::null_mut(), 4, "", "buffer").is_err());
        }
    }

    #[test]
    fn a_message_has_no_nul_and_an_end() {
        assert_eq!(message("a\0b\u{7}\nc").0, b"a\\u{0}b\\u{7}\nc\0");
        let long = message(&"x".repeat(1 << 20));
        assert!(long.len() < MAX_MESSAGE_BYTES + 10, "{}", long.len());
    }

    #[test]
    fn a_message_quotes_a_little_of_a_long_argument() {
        assert_eq!(quoted("a\0b"), "\"a\\0b\"");
        let long = "\u{1F431}".repeat(100);
        let short = quoted(&long);
        assert!(short.len() < 100 && short.ends_with("(400 bytes)"), "{short}");
    }
}

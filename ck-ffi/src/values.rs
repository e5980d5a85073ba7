//! Values that calls give back as handles: a text, a list of texts, a list of numbers.

use std::ffi::{c_char, c_void};
use std::ptr::null;

use clusterkit::{Error, ErrorCode, Result};
use serde::Serialize;

use crate::border::guard::plain;
use crate::border::handle::{self, Handle, borrow, store};
use crate::border::record::list;
use crate::border::text::CText;

/// Bytes of the caller's: an argument for calls that take many keys. It never changes.
#[repr(C)]
pub struct ck_bytes_t {
    /// The first byte; may be NULL when len is 0.
    pub data: *const c_void,
    /// How many there are.
    pub len: usize,
}

/// A text that the caller frees.
pub struct ck_text_t(CText);

impl Handle for ck_text_t {
    const IS_MEMORY: bool = true;
}

impl ck_text_t {
    pub(crate) fn new(text: &str) -> Self {
        ck_text_t(CText::new(text))
    }

    /// A record in its JSON form.
    pub(crate) fn json(record: &impl Serialize) -> Result<Self> {
        let text = serde_json::to_string(record)
            .map_err(|error| Error::new(ErrorCode::Internal, format!("it has no JSON form: {error}")))?;
        Ok(ck_text_t::new(&text))
    }
}

/// Texts that the caller frees.
pub struct ck_strings_t(Vec<CText>);

impl Handle for ck_strings_t {
    const IS_MEMORY: bool = true;
}

impl ck_strings_t {
    pub(crate) fn new<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        ck_strings_t(texts.into_iter().map(|text| CText::new(text.as_ref())).collect())
    }
}

/// Numbers that the caller frees.
pub struct ck_numbers_t(Vec<u32>);

impl Handle for ck_numbers_t {
    const IS_MEMORY: bool = true;
}

impl ck_numbers_t {
    pub(crate) fn new(numbers: Vec<u32>) -> Self {
        ck_numbers_t(numbers)
    }
}

/// The text. NULL for NULL.
///
/// text: borrowed for the call. out_len: its length in bytes, without its NUL; may be NULL. Returns: valid until the text is
/// freed. Never fails, never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_text_data(text: *const ck_text_t, out_len: *mut usize) -> *const c_char {
    plain(null(), || {
        // SAFETY: out_len may be written or is NULL, and a live text or NULL, says the header.
        unsafe {
            store(out_len, 0);
            let text = &borrow(text, "text")?.0;
            store(out_len, text.len());
            Ok(text.as_ptr())
        }
    })
}

/// Frees a text. NULL is allowed.
///
/// text: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_text_free(text: *mut ck_text_t) {
    // SAFETY: a text that this library gave and nobody has freed, or NULL, says the header.
    unsafe { handle::take_back(text, drop) };
}

/// How many texts there are. 0 for NULL.
///
/// strings: borrowed for the call. Never fails, never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_strings_count(strings: *const ck_strings_t) -> usize {
    // SAFETY: live strings or NULL, says the header.
    plain(0, || Ok(unsafe { borrow(strings, "strings") }?.0.len()))
}

/// The text at an index. NULL where there is none.
///
/// strings: borrowed for the call. out_len: its length in bytes, without its NUL; may be NULL. Returns: valid until the
/// strings are freed. Never fails, never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_strings_get(
    strings: *const ck_strings_t,
    index: usize,
    out_len: *mut usize,
) -> *const c_char {
    plain(null(), || {
        // SAFETY: out_len may be written or is NULL, and live strings or NULL, says the header.
        unsafe {
            store(out_len, 0);
            let Some(text) = borrow(strings, "strings")?.0.get(index) else {
                return Ok(null());
            };
            store(out_len, text.len());
            Ok(text.as_ptr())
        }
    })
}

/// Frees strings. NULL is allowed.
///
/// strings: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_strings_free(strings: *mut ck_strings_t) {
    // SAFETY: strings that this library gave and nobody has freed, or NULL, says the header.
    unsafe { handle::take_back(strings, drop) };
}

/// The numbers, one after the other. NULL for NULL and where there are none.
///
/// numbers: borrowed for the call. out_count: how many there are; may be NULL. Returns: valid until the numbers are freed.
/// Never fails, never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_numbers_data(numbers: *const ck_numbers_t, out_count: *mut usize) -> *const u32 {
    plain(null(), || {
        // SAFETY: out_count may be written or is NULL, and live numbers or NULL, says the header.
        unsafe {
            store(out_count, 0);
            let (data, count) = list(&borrow(numbers, "numbers")?.0);
            store(out_count, count);
            Ok(data)
        }
    })
}

/// Frees numbers. NULL is allowed.
///
/// numbers: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_numbers_free(numbers: *mut ck_numbers_t) {
    // SAFETY: numbers that this library gave and nobody has freed, or NULL, says the header.
    unsafe { handle::take_back(numbers, drop) };
}

#[cfg(test)]
mod tests {
    use std::ptr::null_mut;

    use super::*;
    use crate::testing::text_at;

    #[test]
    fn values_are_read_and_freed() {
        let text = Box::new(ck_text_t::new("{}")).give();
        let strings = Box::new(ck_strings_t::new(["a", "bc"])).give();
        let numbers = Box::new(ck_numbers_t::new(vec![3, 1])).give();
        // SAFETY: live values, each freed once; the lengths may be written.
        unsafe {
            let mut len = 9;
            assert_eq!(text_at(ck_text_data(text, &raw mut len)), "{}");
            assert_eq!((len, ck_strings_count(strings)), (2, 2));
            assert_eq!(text_at(ck_strings_get(strings, 1, null_mut())), "bc");
            assert!(ck_strings_get(strings, 2, &raw mut len).is_null() && len == 0);
            let data = ck_numbers_data(numbers, &raw mut len);
            assert_eq!(std::slice::from_raw_parts(data, len), [3, 1]);
            ck_text_free(text);
            ck_strings_free(strings);
            ck_numbers_free(numbers);
        }
    }

    #[test]
    fn nothing_is_null_and_zero() {
        let mut len = 9;
        // SAFETY: NULL is allowed, and the length may be written.
        unsafe {
            assert!(ck_text_data(null(), &raw mut len).is_null() && len == 0);
            assert!(ck_strings_get(null(), 0, null_mut()).is_null());
            assert!(ck_numbers_data(null(), null_mut()).is_null());
            assert_eq!(ck_strings_count(null()), 0);
            ck_text_free(null_mut());
            ck_strings_free(null_mut());
            ck_numbers_free(null_mut());
        }
    }
}

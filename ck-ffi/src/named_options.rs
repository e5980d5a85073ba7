//! What all options have that C sets by name: those of a node, and those of a client.

use std::ffi::c_char;

use clusterkit::{ClientOptions, Options, Result};
use parking_lot::MutexGuard;

use crate::border::guard::{fallible, fallible_out};
use crate::border::handle::borrow;
use crate::border::text::text;
use crate::error::ck_error_t;
use crate::values::ck_text_t;

/// Options by name. A change that fails changes nothing.
pub(crate) trait NamedOptions {
    fn set(&mut self, name: &str, value: &str) -> Result<()>;
    fn get(&self, name: &str) -> Result<String>;
    fn merge_json(&mut self, json: &str) -> Result<()>;
    fn validate(&self) -> Result<()>;
}

macro_rules! named_options {
    ($($options:ty)*) => {$(
        impl NamedOptions for $options {
            fn set(&mut self, name: &str, value: &str) -> Result<()> {
                self.set(name, value)
            }

            fn get(&self, name: &str) -> Result<String> {
                self.get(name)
            }

            fn merge_json(&mut self, json: &str) -> Result<()> {
                self.merge_json(json)
            }

            fn validate(&self) -> Result<()> {
                self.validate()
            }
        }
    )*};
}

named_options!(Options ClientOptions);

/// A handle of such options.
pub(crate) trait OptionsHandle {
    type Options: NamedOptions;

    /// The options, for a moment.
    fn lock(&self) -> MutexGuard<'_, Self::Options>;
}

/// # Safety
/// Live options or NULL, and readable texts of these lengths.
pub(crate) unsafe fn set<H: OptionsHandle>(
    options: *const H,
    name: *const c_char,
    name_len: usize,
    value: *const c_char,
    value_len: usize,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: the caller's promise.
        let (options, name, value) = unsafe {
            (
                borrow(options, "options")?,
                text(name, name_len, "name")?,
                text(value, value_len, "value")?,
            )
        };
        options.lock().set(name, value)
    })
}

/// # Safety
/// Live options or NULL, and a readable text of this length.
pub(crate) unsafe fn load_json<H: OptionsHandle>(
    options: *const H,
    json: *const c_char,
    json_len: usize,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: the caller's promise.
        let (options, json) = unsafe { (borrow(options, "options")?, text(json, json_len, "json")?) };
        options.lock().merge_json(json)
    })
}

/// # Safety
/// Live options or NULL, a readable text of this length, and `out` may be written or is NULL.
pub(crate) unsafe fn get<H: OptionsHandle>(
    options: *const H,
    name: *const c_char,
    name_len: usize,
    out: *mut *mut ck_text_t,
) -> *mut ck_error_t {
    // SAFETY: the caller's promise.
    unsafe {
        fallible_out(out, |slot| {
            let (options, name) = (borrow(options, "options")?, text(name, name_len, "name")?);
            let value = options.lock().get(name)?;
            slot.put(ck_text_t::new(&value));
            Ok(())
        })
    }
}

/// # Safety
/// Live options or NULL.
pub(crate) unsafe fn validate<H: OptionsHandle>(options: *const H) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: the caller's promise.
        unsafe { borrow(options, "options") }?.lock().validate()
    })
}

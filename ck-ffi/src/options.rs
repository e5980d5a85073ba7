//! Options, by name.

use std::ffi::c_char;

use clusterkit::Options;
use parking_lot::{Mutex, MutexGuard};

use crate::error::ck_error_t;
use crate::guard::{fallible, watch_forks};
use crate::handle::{self, Handle, borrow};
use crate::text::text;

/// What a node is started with. docs/options.md lists every option with its default and bounds.
pub struct ck_options_t(Mutex<Options>);

impl Handle for ck_options_t {}

impl ck_options_t {
    /// The options, for a moment.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Options> {
        // A change either happens or not: what a panic leaves behind is whole.
        self.0.lock()
    }
}

/// Makes options with every default. node_id and http_addr have none and must be set.
///
/// out: set on success, to be freed with ck_options_free; NULL on failure. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, IO.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_options_new(out: *mut *mut ck_options_t) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: out may be written or is NULL, says the header.
        let slot = unsafe { handle::out(out, "out") }?;
        watch_forks()?;
        slot.put(ck_options_t(Mutex::new(Options::default())));
        Ok(())
    })
}

/// Frees options. Nodes made from them live on. NULL is allowed.
///
/// options: consumed. Never fails, never blocks; a hook may call it. In a forked child it leaks on purpose.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_options_free(options: *mut ck_options_t) {
    // SAFETY: options that this library gave and nobody has freed, or NULL, says the header.
    unsafe { handle::take_back(options, drop) };
}

/// Sets an option by its name, from its text form: "5s", "true", "64", "10.0.0.1:8080,10.0.0.2:8080".
/// "services.NAME" and "labels.NAME" set one entry. An empty value unsets what may be unset. On failure nothing
/// changes.
///
/// options: borrowed for the call. name, value: UTF-8, copied. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT; INVALID_OPTION for an unknown name (the message suggests the nearest) and a value
/// that is malformed or out of bounds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_options_set(
    options: *mut ck_options_t,
    name: *const c_char,
    name_len: usize,
    value: *const c_char,
    value_len: usize,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: live options or NULL, and readable texts of these lengths, says the header.
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

/// Sets what a JSON object names and leaves the rest. Names are those of docs/options.md, groups as objects or
/// with dots. On failure nothing changes.
///
/// options: borrowed for the call. json: UTF-8, copied. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, INVALID_OPTION.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_options_load_json(
    options: *mut ck_options_t,
    json: *const c_char,
    json_len: usize,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: live options or NULL, and a readable text of this length, says the header.
        let (options, json) = unsafe { (borrow(options, "options")?, text(json, json_len, "json")?) };
        options.lock().merge_json(json)
    })
}

#[cfg(test)]
mod tests {
    use std::ptr::null_mut;

    use super::*;
    use crate::error::{
        CK_ERROR_INVALID_ARGUMENT, CK_ERROR_INVALID_OPTION, ck_error_code, ck_error_free, ck_error_message,
    };
    use crate::testing::text_at;

    fn new() -> *mut ck_options_t {
        let mut options = null_mut();
        // SAFETY: the pointer may be written.
        assert!(unsafe { ck_options_new(&raw mut options) }.is_null());
        options
    }

    /// Sets an option, and answers with the error's code, or 0.
    ///
    /// # Safety
    /// `options` live.
    unsafe fn set(options: *mut ck_options_t, name: &str, value: &str) -> i32 {
        // SAFETY: the caller's promise; both texts are there. The error is freed once.
        unsafe {
            let error = ck_options_set(
                options,
                name.as_ptr().cast(),
                name.len(),
                value.as_ptr().cast(),
                value.len(),
            );
            let code = ck_error_code(error);
            ck_error_free(error);
            code
        }
    }

    #[test]
    fn options_are_set_read_and_freed() {
        let options = new();
        let json = r#"{"http_addr": "127.0.0.1:0", "data_dir": ""}"#;
        // SAFETY: live options, freed at the end.
        unsafe {
            assert_eq!(set(options, "node_id", "node-1"), 0);
            assert!(ck_options_load_json(options, json.as_ptr().cast(), json.len()).is_null());
            let held = borrow(options, "options").unwrap().lock();
            assert_eq!((&*held.node_id, &*held.data_dir), ("node-1", ""));
            drop(held);
            ck_options_free(options);
        }
    }

    #[test]
    fn what_is_wrong_changes_nothing_and_is_said() {
        let options = new();
        // SAFETY: live options, and an error that is freed after its message was read.
        unsafe {
            assert_eq!(set(options, "node_id", "node-1"), 0);
            assert_eq!(set(options, "node_idd", "x"), CK_ERROR_INVALID_OPTION);
            assert_eq!(set(null_mut(), "node_id", "x"), CK_ERROR_INVALID_ARGUMENT);
            let error = ck_options_load_json(options, c"{".as_ptr(), 1);
            assert!(!text_at(ck_error_message(error)).is_empty());
            ck_error_free(error);
            assert_eq!(borrow(options, "options").unwrap().lock().node_id, "node-1");
            ck_options_free(options);
        }
    }
}

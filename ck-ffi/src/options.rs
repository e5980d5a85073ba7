//! Options, by name.

use std::ffi::c_char;

use clusterkit::{Error, ErrorCode, Options};
use parking_lot::{Mutex, MutexGuard};

use crate::border::guard::{fallible, fallible_out};
use crate::border::handle::{self, Handle, borrow, clear, null, store};
use crate::border::text::{quoted, text};
use crate::error::ck_error_t;
use crate::named_options::{self, OptionsHandle};
use crate::values::ck_text_t;

/// What a node is started with. docs/options.md lists every option with its default and bounds.
pub struct ck_options_t(Mutex<Options>);

impl Handle for ck_options_t {
    const IS_MEMORY: bool = true;
}

impl OptionsHandle for ck_options_t {
    type Options = Options;

    fn lock(&self) -> MutexGuard<'_, Options> {
        // A change either happens or not: what a panic leaves behind is whole.
        self.0.lock()
    }
}

impl ck_options_t {
    pub(crate) fn new(options: Options) -> Self {
        ck_options_t(Mutex::new(options))
    }

    pub(crate) fn into_inner(self) -> Options {
        self.0.into_inner()
    }
}

/// Makes options with every default. node_id and http_addr have none and must be set.
///
/// Options may be made before a fork and used after it, in both processes: only a node starts threads.
///
/// out: set on success, to be freed with ck_options_free; NULL on failure. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_options_new(out: *mut *mut ck_options_t) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, says the header.
    unsafe {
        fallible_out(out, |slot| {
            slot.put(ck_options_t::new(Options::default()));
            Ok(())
        })
    }
}

/// Frees options. Nodes made from them live on. NULL is allowed.
///
/// options: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
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
    // SAFETY: live options or NULL, and readable texts of these lengths, says the header.
    unsafe { named_options::set(options, name, name_len, value, value_len) }
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
    // SAFETY: live options or NULL, and a readable text of this length, says the header.
    unsafe { named_options::load_json(options, json, json_len) }
}

/// The value of an option in its text form, as ck_options_set takes it: what was set, or else the default where that is one
/// value. Empty where nothing is set and the default is derived from other options or is none.
///
/// options: borrowed for the call. name: UTF-8, borrowed for the call. out: set on success, to be freed with ck_text_free;
/// NULL on failure. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT; INVALID_OPTION for an unknown name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_options_get(
    options: *const ck_options_t,
    name: *const c_char,
    name_len: usize,
    out: *mut *mut ck_text_t,
) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, live options or NULL, and a readable text of this length, says the header.
    unsafe { named_options::get(options, name, name_len, out) }
}

/// Sets what a JSON file names and leaves the rest, as ck_options_load_json. On failure nothing changes.
///
/// options: borrowed for the call. path: UTF-8, borrowed for the call. Blocks: for as long as reading the file takes. A hook
/// may call it.
/// Errors: INVALID_ARGUMENT; INVALID_OPTION; IO when the file cannot be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_options_load_file(
    options: *mut ck_options_t,
    path: *const c_char,
    path_len: usize,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: live options or NULL, and a readable text of this length, says the header.
        let (options, path) = unsafe { (borrow(options, "options")?, text(path, path_len, "path")?) };
        // On a copy, so that nobody waits for the disk under the lock.
        let mut changed = options.lock().clone();
        changed.merge_file(path)?;
        *options.lock() = changed;
        Ok(())
    })
}

/// Sets what environment variables name and leaves the rest: CLUSTERKIT_NODE_ID and so on; docs/options.md lists them. On
/// failure nothing changes.
///
/// The environment is read during the call: no other thread may change it meanwhile, which is true of every getenv.
///
/// options: borrowed for the call. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT; INVALID_OPTION, which names the variable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_options_load_env(options: *mut ck_options_t) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: live options or NULL, says the header.
        unsafe { borrow(options, "options") }?.lock().apply_env()
    })
}

/// Checks the options as ck_cluster_new does: that what is required is set, and that no two contradict each other.
///
/// options: borrowed for the call. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT; INVALID_OPTION.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_options_validate(options: *const ck_options_t) -> *mut ck_error_t {
    // SAFETY: live options or NULL, says the header.
    unsafe { named_options::validate(options) }
}

/// What the options come to, as a JSON object: every option by its name, with the value that a node would use in its text
/// form, derived ones included. Empty where there is none, and where only the running node knows it.
///
/// options: borrowed for the call. out: set on success, to be freed with ck_text_free; NULL on failure. Never blocks; a
/// hook may call it.
/// Errors: INVALID_ARGUMENT; INVALID_OPTION as ck_options_validate.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_options_effective(
    options: *const ck_options_t,
    out: *mut *mut ck_text_t,
) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, and live options or NULL, says the header.
    unsafe {
        fallible_out(out, |slot| {
            let options = borrow(options, "options")?.lock().clone();
            let effective: serde_json::Map<_, _> = options
                .effective()?
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect();
            slot.put(ck_text_t::new(&serde_json::Value::from(effective).to_string()));
            Ok(())
        })
    }
}

/// Reads a duration: "5s", "500ms", "1m30s", or a number of milliseconds.
///
/// text: UTF-8, borrowed for the call. out_ms: the duration in milliseconds, set on success, else 0. Never blocks; a hook may
/// call it.
/// Errors: INVALID_ARGUMENT when it is no duration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_parse_duration(
    text: *const c_char,
    text_len: usize,
    out_ms: *mut u64,
) -> *mut ck_error_t {
    // SAFETY: out_ms may be written or is NULL, says the header.
    unsafe { clear(out_ms) };
    fallible(|| {
        // SAFETY: a readable text of this length, says the header.
        let duration = unsafe { crate::border::text::text(text, text_len, "text") }?;
        if out_ms.is_null() {
            return Err(null("out_ms"));
        }
        let duration = clusterkit::parse_duration(duration).ok_or_else(|| {
            Error::new(
                ErrorCode::InvalidArgument,
                format!(
                    "text is {}; a duration is 5s, 500ms, 1m30s, or a number of milliseconds",
                    quoted(duration)
                ),
            )
        })?;
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        // SAFETY: out_ms may be written, says the header.
        unsafe { store(out_ms, millis) };
        Ok(())
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
    fn options_are_told_back() {
        let options = new();
        // SAFETY: live options, and texts that are freed once.
        unsafe {
            let mut out = null_mut();
            assert_eq!(set(options, "node_id", "node-1"), 0);
            assert!(ck_options_get(options, c"node_id".as_ptr(), 7, &raw mut out).is_null());
            assert_eq!(text_at(crate::values::ck_text_data(out, null_mut())), "node-1");
            crate::values::ck_text_free(out);
            let error = ck_options_effective(options, &raw mut out);
            assert!(out.is_null(), "it has no address yet");
            assert_eq!(ck_error_code(error), CK_ERROR_INVALID_OPTION);
            ck_error_free(error);
            assert_eq!(set(options, "http_addr", "127.0.0.1:0"), 0);
            assert!(ck_options_effective(options, &raw mut out).is_null());
            let json = text_at(crate::values::ck_text_data(out, null_mut()));
            let json: serde_json::Value = serde_json::from_str(json).unwrap();
            assert_eq!(json["node_id"], "node-1");
            crate::values::ck_text_free(out);
            ck_options_free(options);
        }
    }

    #[test]
    fn durations_are_read() {
        let mut millis = 9;
        // SAFETY: texts of these lengths, and a number that may be written.
        unsafe {
            assert!(ck_parse_duration(c"1m30s".as_ptr(), 5, &raw mut millis).is_null());
            assert_eq!(millis, 90_000);
            let error = ck_parse_duration(c"soon".as_ptr(), 4, &raw mut millis);
            assert_eq!((ck_error_code(error), millis), (CK_ERROR_INVALID_ARGUMENT, 0));
            ck_error_free(error);
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

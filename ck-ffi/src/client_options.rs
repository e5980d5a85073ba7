//! The options of a client, by name, and their table.

use std::ffi::c_char;
use std::sync::OnceLock;

use clusterkit::ClientOptions;
use parking_lot::{Mutex, MutexGuard};

use crate::border::guard::fallible_out;
use crate::border::handle::{self, Handle};
use crate::border::text::CText;
use crate::error::ck_error_t;
use crate::named_options::{self, OptionsHandle};
use crate::option_table::{Row, text_at};
use crate::values::ck_text_t;

/// What a client is created with. docs/client.md lists every option with its default and bounds.
pub struct ck_client_options_t(Mutex<ClientOptions>);

impl Handle for ck_client_options_t {
    const IS_MEMORY: bool = true;
}

impl OptionsHandle for ck_client_options_t {
    type Options = ClientOptions;

    fn lock(&self) -> MutexGuard<'_, ClientOptions> {
        // A change either happens or not: what a panic leaves behind is whole.
        self.0.lock()
    }
}

/// Makes options of a client with every default. addrs has none and must be set.
///
/// out: set on success, to be freed with ck_client_options_free; NULL on failure. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_options_new(out: *mut *mut ck_client_options_t) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, says the header.
    unsafe {
        fallible_out(out, |slot| {
            slot.put(ck_client_options_t(Mutex::new(ClientOptions::default())));
            Ok(())
        })
    }
}

/// Frees options of a client. Clients made from them live on. NULL is allowed.
///
/// options: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_options_free(options: *mut ck_client_options_t) {
    // SAFETY: options that this library gave and nobody has freed, or NULL, says the header.
    unsafe { handle::take_back(options, drop) };
}

/// Sets an option of a client by its name, from its text form: "10.0.0.1:8080,10.0.0.2:8080", "5s", "false". An empty value
/// unsets what may be unset. On failure nothing changes.
///
/// options: borrowed for the call. name, value: UTF-8, copied. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT; INVALID_OPTION for an unknown name and a value that is malformed or out of bounds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_options_set(
    options: *mut ck_client_options_t,
    name: *const c_char,
    name_len: usize,
    value: *const c_char,
    value_len: usize,
) -> *mut ck_error_t {
    // SAFETY: live options or NULL, and readable texts of these lengths, says the header.
    unsafe { named_options::set(options, name, name_len, value, value_len) }
}

/// Sets what a JSON object names and leaves the rest: durations are text or a number of milliseconds, addrs is text or an
/// array. On failure nothing changes.
///
/// options: borrowed for the call. json: UTF-8, copied. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, INVALID_OPTION.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_options_load_json(
    options: *mut ck_client_options_t,
    json: *const c_char,
    json_len: usize,
) -> *mut ck_error_t {
    // SAFETY: live options or NULL, and a readable text of this length, says the header.
    unsafe { named_options::load_json(options, json, json_len) }
}

/// The value of an option of a client in its text form, as ck_client_options_set takes it. Empty where nothing is set.
///
/// options: borrowed for the call. name: UTF-8, borrowed for the call. out: set on success, to be freed with ck_text_free;
/// NULL on failure. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT; INVALID_OPTION for an unknown name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_options_get(
    options: *const ck_client_options_t,
    name: *const c_char,
    name_len: usize,
    out: *mut *mut ck_text_t,
) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, live options or NULL, and a readable text of this length, says the header.
    unsafe { named_options::get(options, name, name_len, out) }
}

/// Checks the options as ck_client_new does.
///
/// options: borrowed for the call. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT; INVALID_OPTION, which names the option, its value and what would be right.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_client_options_validate(options: *const ck_client_options_t) -> *mut ck_error_t {
    // SAFETY: live options or NULL, says the header.
    unsafe { named_options::validate(options) }
}

fn rows() -> &'static [Row] {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    ROWS.get_or_init(|| {
        let table = clusterkit::client_options_table().iter();
        table
            .map(|spec| Row::new(spec.name, &spec.kind, spec.default, spec.help))
            .collect()
    })
}

fn row(index: usize, text: impl FnOnce(&'static Row) -> Option<&'static CText>) -> *const c_char {
    text_at(rows(), index, text)
}

/// How many options a client has.
///
/// Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub extern "C" fn ck_client_option_count() -> usize {
    rows().len()
}

/// The name of an option of a client, which ck_client_options_set takes. NULL where there is none at the index.
///
/// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub extern "C" fn ck_client_option_name(index: usize) -> *const c_char {
    row(index, |row| Some(&row.name))
}

/// The type of an option of a client in one word, as ck_option_type. NULL where there is no option at the index.
///
/// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub extern "C" fn ck_client_option_type(index: usize) -> *const c_char {
    row(index, |row| Some(&row.type_name))
}

/// The value that applies when an option of a client is not set. NULL where there is none.
///
/// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub extern "C" fn ck_client_option_default(index: usize) -> *const c_char {
    row(index, |row| row.default.as_ref())
}

/// What an option of a client accepts, in words. NULL where there is no option at the index.
///
/// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub extern "C" fn ck_client_option_bounds(index: usize) -> *const c_char {
    row(index, |row| Some(&row.bounds))
}

/// What an option of a client means, in a sentence or two. NULL where there is no option at the index.
///
/// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub extern "C" fn ck_client_option_help(index: usize) -> *const c_char {
    row(index, |row| Some(&row.help))
}

#[cfg(test)]
mod tests {
    use std::ptr::{null, null_mut};

    use super::*;
    use crate::error::{CK_ERROR_INVALID_ARGUMENT, CK_ERROR_INVALID_OPTION, ck_error_code, ck_error_free};
    use crate::testing::text_at;

    /// The code of an error, or 0, and frees it.
    ///
    /// # Safety
    /// An error that nobody has freed, or NULL.
    unsafe fn code_of(error: *mut ck_error_t) -> i32 {
        // SAFETY: the caller's promise.
        unsafe {
            let code = ck_error_code(error);
            ck_error_free(error);
            code
        }
    }

    #[test]
    fn options_of_a_client_are_set_read_checked_and_freed() {
        let mut options = null_mut();
        // SAFETY: live options, texts of these lengths, and answers that are freed once.
        unsafe {
            assert!(ck_client_options_new(&raw mut options).is_null());
            assert_eq!(
                code_of(ck_client_options_validate(options)),
                CK_ERROR_INVALID_OPTION,
                "it has no address yet"
            );
            let json = r#"{"addrs": ["10.0.0.1:8080"], "poll_timeout": 2000}"#;
            assert_eq!(
                code_of(ck_client_options_load_json(
                    options,
                    json.as_ptr().cast(),
                    json.len()
                )),
                0
            );
            let wrong = ck_client_options_set(options, c"retry_min".as_ptr(), 9, c"soon".as_ptr(), 4);
            assert_eq!(code_of(wrong), CK_ERROR_INVALID_OPTION);
            let right = ck_client_options_set(options, c"retry_min".as_ptr(), 9, c"1s".as_ptr(), 2);
            assert_eq!(code_of(right), 0);
            let mut value = null_mut();
            assert_eq!(
                code_of(ck_client_options_get(
                    options,
                    c"poll_timeout".as_ptr(),
                    12,
                    &raw mut value
                )),
                0
            );
            assert_eq!(text_at(crate::values::ck_text_data(value, null_mut())), "2s");
            crate::values::ck_text_free(value);
            assert_eq!(code_of(ck_client_options_validate(options)), 0);
            ck_client_options_free(options);
            assert_eq!(
                code_of(ck_client_options_validate(null())),
                CK_ERROR_INVALID_ARGUMENT
            );
        }
    }

    #[test]
    fn every_option_of_a_client_is_described() {
        let count = ck_client_option_count();
        assert_eq!(count, clusterkit::client_options_table().len());
        // SAFETY: static texts.
        unsafe {
            assert_eq!(text_at(ck_client_option_name(0)), "addrs");
            assert_eq!(text_at(ck_client_option_type(0)), "list");
            assert!(ck_client_option_default(0).is_null());
            for index in 0..count {
                assert!(!text_at(ck_client_option_bounds(index)).is_empty());
                assert!(!text_at(ck_client_option_help(index)).is_empty());
            }
        }
        assert!(ck_client_option_name(count).is_null() && ck_client_option_help(usize::MAX).is_null());
    }
}

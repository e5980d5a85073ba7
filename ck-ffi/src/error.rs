//! Errors: a code, its name, a message.

use std::ffi::c_char;
use std::ptr::null;
use std::sync::OnceLock;

use clusterkit::{Error, ErrorCode};

use crate::border::handle::{self, Handle};
use crate::border::text::{self, CText};

/// No error. No ck_error_t has this code.
pub const CK_OK: i32 = 0;
/// An argument of a call is outside what the call accepts.
pub const CK_ERROR_INVALID_ARGUMENT: i32 = 1;
/// An option is unknown, malformed or out of bounds, or two options contradict each other.
pub const CK_ERROR_INVALID_OPTION: i32 = 2;
/// The call needs a started node.
pub const CK_ERROR_NOT_STARTED: i32 = 3;
/// The node was started before; a handle starts once.
pub const CK_ERROR_ALREADY_STARTED: i32 = 4;
/// The node has stopped or is stopping. A write was not made.
pub const CK_ERROR_STOPPED: i32 = 5;
/// The deadline passed before an answer came. A write may or may not have happened: the one code that says so.
pub const CK_ERROR_TIMEOUT: i32 = 6;
/// No leader is known at present. A write was not made.
pub const CK_ERROR_NO_LEADER: i32 = 7;
/// The node that was asked is not the leader and could not reach it.
pub const CK_ERROR_NOT_LEADER: i32 = 8;
/// The node holds no valid lease, so it may not act as primary or leader.
pub const CK_ERROR_LEASE_EXPIRED: i32 = 9;
/// The named node, partition or key does not exist.
pub const CK_ERROR_NOT_FOUND: i32 = 10;
/// The named thing exists already.
pub const CK_ERROR_ALREADY_EXISTS: i32 = 11;
/// The state moved on since the caller looked: a compare-and-set or a revision precondition failed.
pub const CK_ERROR_CONFLICT: i32 = 12;
/// A member refused this node's request to join.
pub const CK_ERROR_JOIN_REFUSED: i32 = 13;
/// No member could be joined before the deadline.
pub const CK_ERROR_JOIN_FAILED: i32 = 14;
/// The disk failed. Nothing is acknowledged after a failed write.
pub const CK_ERROR_IO: i32 = 15;
/// Stored data is damaged; the message names the file and the offset.
pub const CK_ERROR_CORRUPT: i32 = 16;
/// Another process uses the data directory.
pub const CK_ERROR_DATA_DIR_IN_USE: i32 = 17;
/// The listen address is in use or cannot be bound.
pub const CK_ERROR_ADDRESS_IN_USE: i32 = 18;
/// The data directory or the peer belongs to another cluster.
pub const CK_ERROR_WRONG_CLUSTER: i32 = 19;
/// A live node with the same id is a member already.
pub const CK_ERROR_DUPLICATE_NODE: i32 = 20;
/// An option that must agree in the whole cluster differs from the cluster's value.
pub const CK_ERROR_CLUSTER_MISMATCH: i32 = 21;
/// A key, value, body or frame exceeds its bound.
pub const CK_ERROR_TOO_LARGE: i32 = 22;
/// The caller did not prove that it knows the cluster secret.
pub const CK_ERROR_UNAUTHENTICATED: i32 = 23;
/// The call would block and was made inside a hook.
pub const CK_ERROR_IN_HOOK: i32 = 24;
/// The process was forked after the library was used; the child cannot use it.
pub const CK_ERROR_FORKED: i32 = 25;
/// The peer cannot be reached.
pub const CK_ERROR_UNREACHABLE: i32 = 26;
/// The node was removed from the cluster by an administrator, or has left it.
pub const CK_ERROR_REMOVED: i32 = 27;
/// The request is refused because of the cluster's present condition; the message says which.
pub const CK_ERROR_REFUSED: i32 = 28;
/// Too many requests are under way; try again.
pub const CK_ERROR_BUSY: i32 = 29;
/// The peer speaks a protocol or state version that this build does not know.
pub const CK_ERROR_VERSION: i32 = 30;
/// A defect in ClusterKit. Please report it.
pub const CK_ERROR_INTERNAL: i32 = 31;

/// Why a call failed. Every function that can fail returns one; NULL is success. The caller frees it.
pub struct ck_error_t {
    code: i32,
    is_retriable: bool,
    is_ambiguous: bool,
    name: CText,
    message: CText,
}

impl Handle for ck_error_t {
    const IS_MEMORY: bool = true;
}

impl ck_error_t {
    pub(crate) fn new(error: &Error) -> Self {
        ck_error_t {
            code: error.code().number(),
            is_retriable: error.is_retriable(),
            is_ambiguous: error.is_ambiguous(),
            name: CText::new(error.code().name()),
            message: text::message(error.message()),
        }
    }
}

/// The code: one of CK_ERROR_*. Codes are never reused; a later library may have more. CK_OK for NULL.
///
/// error: borrowed for the call. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_error_code(error: *const ck_error_t) -> i32 {
    // SAFETY: a live error or NULL, says the header.
    unsafe { error.as_ref() }.map_or(CK_OK, |error| error.code)
}

/// The code's name, the same in every language, such as "NO_LEADER". NULL for NULL.
///
/// error: borrowed for the call. Returns: valid until the error is freed. Never fails, never blocks, works in a
/// forked child; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_error_name(error: *const ck_error_t) -> *const c_char {
    // SAFETY: a live error or NULL, says the header.
    unsafe { error.as_ref() }.map_or(null(), |error| error.name.as_ptr())
}

/// The message, for people: what was wrong, the value, what would be right. It may change between versions.
/// NULL for NULL.
///
/// error: borrowed for the call. Returns: valid until the error is freed. Never fails, never blocks, works in a
/// forked child; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_error_message(error: *const ck_error_t) -> *const c_char {
    // SAFETY: a live error or NULL, says the header.
    unsafe { error.as_ref() }.map_or(null(), |error| error.message.as_ptr())
}

/// True when the same call may succeed later without the caller changing anything. False for NULL.
///
/// error: borrowed for the call. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_error_is_retriable(error: *const ck_error_t) -> bool {
    // SAFETY: a live error or NULL, says the header.
    unsafe { error.as_ref() }.is_some_and(|error| error.is_retriable)
}

/// The length of the message in bytes, without its NUL. 0 for NULL.
///
/// error: borrowed for the call. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_error_message_len(error: *const ck_error_t) -> usize {
    // SAFETY: a live error or NULL, says the header.
    unsafe { error.as_ref() }.map_or(0, |error| error.message.len())
}

/// True when the call may have had its effect all the same: a write may or may not have happened. After every other error of
/// a write it has not. False for NULL.
///
/// error: borrowed for the call. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_error_is_ambiguous(error: *const ck_error_t) -> bool {
    // SAFETY: a live error or NULL, says the header.
    unsafe { error.as_ref() }.is_some_and(|error| error.is_ambiguous)
}

/// The name of a code, such as "NO_LEADER", and "OK" for CK_OK. NULL for a number that is no code of this library.
///
/// Returns: static. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub extern "C" fn ck_error_code_name(code: i32) -> *const c_char {
    static NAMES: OnceLock<Vec<CText>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        // In the order of their numbers, which begin at 1.
        let names = ErrorCode::ALL.iter().map(|code| code.name());
        std::iter::once("OK").chain(names).map(CText::new).collect()
    });
    let name = usize::try_from(code).ok().and_then(|code| names.get(code));
    name.map_or(null(), CText::as_ptr)
}

/// Frees an error. NULL is allowed.
///
/// error: consumed. Never fails, never blocks, works in a forked child; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_error_free(error: *mut ck_error_t) {
    // SAFETY: an error that this library gave and nobody has freed, or NULL, says the header.
    unsafe { handle::take_back(error, drop) };
}

#[cfg(test)]
mod tests {
    use std::ptr::null_mut;

    use super::*;
    use crate::border::guard::fallible;
    use crate::testing::text_at;

    #[test]
    fn an_error_is_read_and_freed() {
        let error = fallible(|| Err(Error::new(ErrorCode::NoLeader, "nobody \u{1F431} leads")));
        // SAFETY: a live error, freed once and not used afterwards.
        unsafe {
            assert_eq!(ck_error_code(error), CK_ERROR_NO_LEADER);
            let (name, message) = (ck_error_name(error), ck_error_message(error));
            assert!(ck_error_is_retriable(error));
            // The texts are there until the error is freed, whatever was called in between.
            assert_eq!(text_at(name), "NO_LEADER");
            assert_eq!(text_at(message), "nobody \u{1F431} leads");
            assert_eq!(ck_error_message(error), message);
            ck_error_free(error);
        }
    }

    #[test]
    fn codes_have_names() {
        // SAFETY: static texts.
        unsafe {
            assert_eq!(text_at(ck_error_code_name(CK_OK)), "OK");
            for code in ErrorCode::ALL {
                assert_eq!(text_at(ck_error_code_name(code.number())), code.name());
            }
        }
        for no_code in [-1, ErrorCode::ALL.len() as i32 + 1, i32::MAX, i32::MIN] {
            assert!(ck_error_code_name(no_code).is_null());
        }
    }

    #[test]
    fn only_an_error_that_says_so_leaves_a_write_open() {
        for code in ErrorCode::ALL {
            let error = fallible(|| Err(Error::new(*code, "x")));
            // SAFETY: a live error, freed once.
            unsafe {
                assert_eq!(ck_error_is_ambiguous(error), *code == ErrorCode::Timeout);
                assert_eq!(ck_error_message_len(error), 1);
                ck_error_free(error);
            }
        }
    }

    #[test]
    fn no_error_is_null() {
        let error = fallible(|| Ok(()));
        assert_eq!(error, null_mut());
        // SAFETY: NULL is allowed.
        unsafe {
            assert_eq!(ck_error_code(error), CK_OK);
            assert_eq!((ck_error_name(error), ck_error_message(error)), (null(), null()));
            assert!(!ck_error_is_retriable(error) && !ck_error_is_ambiguous(error));
            assert_eq!(ck_error_message_len(error), 0);
            ck_error_free(error);
        }
    }

    /// Every code of the core is in the header, under its number and its name.
    #[test]
    fn the_header_has_every_code() {
        let source = include_str!("error.rs");
        for code in ErrorCode::ALL {
            let line = format!("pub const CK_ERROR_{}: i32 = {};", code.name(), code.number());
            assert!(source.contains(&line), "no {line}");
        }
        let constants = source.matches("\npub const CK_ERROR_").count();
        assert_eq!(constants, ErrorCode::ALL.len());
    }
}

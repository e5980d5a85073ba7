//! Handles: Rust values that C holds by a pointer. The only place where such pointers are made, checked,
//! borrowed and taken back.

use clusterkit::{Error, ErrorCode, Result};

use crate::guard;

/// A type that C owns by a pointer to a box. Only these can be given away and taken back, so a pointer that is
/// borrowed from something else (a node, an event) cannot be freed by mistake: it does not compile.
pub(crate) trait Handle: Sized {
    /// Makes it C's to free.
    fn give(self: Box<Self>) -> *mut Self {
        Box::into_raw(self)
    }
}

/// The error for a pointer that must not be NULL.
#[cold]
pub(crate) fn null(name: &str) -> Error {
    Error::new(ErrorCode::InvalidArgument, format!("{name} is NULL"))
}

/// What `pointer` points at, for the length of a call.
///
/// # Safety
/// A pointer that is not NULL points at a live `T` that nobody writes while the borrow lasts.
#[inline]
pub(crate) unsafe fn borrow<'a, T>(pointer: *const T, name: &str) -> Result<&'a T> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(name))
}

/// Where a call puts a new handle. NULL from the start, so that a failure leaves nothing to free.
pub(crate) struct Out<'a, T>(&'a mut *mut T);

/// The out parameter `pointer`.
///
/// # Safety
/// A pointer that is not NULL may be written while the borrow lasts.
pub(crate) unsafe fn out<'a, T: Handle>(pointer: *mut *mut T, name: &str) -> Result<Out<'a, T>> {
    if pointer.is_null() {
        return Err(null(name));
    }
    // SAFETY: the caller's promise; written before it is borrowed, because C may not have set it.
    unsafe {
        pointer.write(std::ptr::null_mut());
        Ok(Out(&mut *pointer))
    }
}

impl<T: Handle> Out<'_, T> {
    /// Makes `value` the caller's.
    pub(crate) fn put(self, value: T) {
        *self.0 = Box::new(value).give();
    }
}

/// Stores `value` where the caller wants it, if it wants it.
///
/// # Safety
/// A pointer that is not NULL may be written.
pub(crate) unsafe fn store<T>(pointer: *mut T, value: T) {
    if !pointer.is_null() {
        // SAFETY: the caller's promise.
        unsafe { pointer.write(value) };
    }
}

/// Takes a handle back from C and frees it by `free`. NULL is nothing to free. A forked child leaks it: what
/// it refers to belongs to the parent's threads.
///
/// # Safety
/// A pointer that is not NULL came from [`Handle::give`], and is not used again.
pub(crate) unsafe fn take_back<T: Handle>(pointer: *mut T, free: impl FnOnce(Box<T>)) {
    if pointer.is_null() || guard::forked() {
        return;
    }
    // SAFETY: the caller's promise.
    let owned = unsafe { Box::from_raw(pointer) };
    // A panic in a destructor is lost, but the process is not.
    drop(guard::caught(|| free(owned)));
}

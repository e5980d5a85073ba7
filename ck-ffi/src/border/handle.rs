//! Handles: Rust values that C holds by a pointer. The only place where such pointers are made, checked,
//! borrowed and taken back.

use clusterkit::{Error, ErrorCode, Result};

use super::guard;

/// A type that C owns by a pointer to a box. Only these can be given away and taken back, so a pointer that is
/// borrowed from something else (a node, an event) cannot be freed by mistake: it does not compile.
pub(crate) trait Handle: Sized {
    /// True when it is memory and nothing else: then a forked child may free it, too.
    const IS_MEMORY: bool = false;

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

/// Sets an out parameter to nothing, before anything can fail, because C may not have set it: a forked child finds it so,
/// too.
///
/// # Safety
/// A pointer that is not NULL may be written.
pub(crate) unsafe fn clear<T: Nothing>(pointer: *mut T) {
    // SAFETY: the caller's promise.
    unsafe { store(pointer, T::NOTHING) };
}

/// What an out parameter holds after a failure.
pub(crate) trait Nothing {
    const NOTHING: Self;
}

impl<T> Nothing for *mut T {
    const NOTHING: Self = std::ptr::null_mut();
}

impl<T> Nothing for *const T {
    const NOTHING: Self = std::ptr::null();
}

impl Nothing for bool {
    const NOTHING: Self = false;
}

macro_rules! zero_is_nothing {
    ($($number:ty)*) => { $(impl Nothing for $number { const NOTHING: Self = 0; })* };
}

zero_is_nothing!(i32 u32 u64 usize);

/// The out parameter `pointer`.
///
/// # Safety
/// A pointer that is not NULL may be written while the borrow lasts.
pub(crate) unsafe fn out<'a, T>(pointer: *mut *mut T, name: &str) -> Result<Out<'a, T>> {
    if pointer.is_null() {
        return Err(null(name));
    }
    // SAFETY: the caller's promise; written before it is borrowed, because C may not have set it.
    unsafe {
        pointer.write(std::ptr::null_mut());
        Ok(Out(&mut *pointer))
    }
}

impl<T> Out<'_, T> {
    /// Makes `value` the caller's.
    pub(crate) fn put(self, value: T)
    where
        T: Handle,
    {
        self.put_pointer(Box::new(value).give());
    }

    /// Makes what is already a pointer the caller's.
    pub(crate) fn put_pointer(self, pointer: *mut T) {
        *self.0 = pointer;
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

/// Fills a struct of the caller's, which may be shorter than ours (the program is older than this library) or longer.
///
/// # Safety
/// `size` bytes may be written at a pointer that is not NULL. `value` has no padding.
#[inline]
pub(crate) unsafe fn store_sized<T: Copy>(pointer: *mut T, size: usize, value: &T) {
    if pointer.is_null() {
        return;
    }
    if size == size_of::<T>() {
        // SAFETY: the caller's promise.
        return unsafe { pointer.write_unaligned(*value) };
    }
    let (place, ours) = (pointer.cast::<u8>(), size_of::<T>());
    // SAFETY: the caller's promise.
    unsafe {
        place.copy_from_nonoverlapping(std::ptr::from_ref(value).cast(), size.min(ours));
        if size > ours {
            place.add(ours).write_bytes(0, size - ours);
        }
    }
}

/// Takes a handle back from C and frees it by `free`. NULL is nothing to free. A forked child leaks it, unless it is only
/// memory: what it refers to belongs to the parent's threads.
///
/// # Safety
/// A pointer that is not NULL came from [`Handle::give`], and is not used again.
pub(crate) unsafe fn take_back<T: Handle>(pointer: *mut T, free: impl FnOnce(Box<T>)) {
    if pointer.is_null() || guard::forked() && !T::IS_MEMORY {
        return;
    }
    // SAFETY: the caller's promise.
    let owned = unsafe { Box::from_raw(pointer) };
    // A panic in a destructor is lost, but the process is not.
    drop(guard::caught(|| free(owned)));
}

#[cfg(test)]
mod tests {
    use std::ptr::{NonNull, null, null_mut};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    /// Counts its ends; one that is told to panics then.
    struct Thing {
        ends: Arc<AtomicUsize>,
        panics: bool,
    }

    impl Handle for Thing {}

    impl Drop for Thing {
        fn drop(&mut self) {
            self.ends.fetch_add(1, Ordering::Relaxed);
            if self.panics {
                std::panic::resume_unwind(Box::new("boom"));
            }
        }
    }

    /// A handle as C gets it, and how often it has ended.
    fn given(panics: bool) -> (*mut Thing, Arc<AtomicUsize>) {
        let ends = Arc::new(AtomicUsize::new(0));
        let mut pointer = null_mut();
        // SAFETY: the pointer is this function's own.
        let slot = unsafe { out(&raw mut pointer, "out") }.unwrap();
        slot.put(Thing {
            ends: Arc::clone(&ends),
            panics,
        });
        (pointer, ends)
    }

    #[test]
    fn a_handle_is_borrowed_as_often_as_one_likes_and_ends_once() {
        let (pointer, ends) = given(false);
        // SAFETY: the handle lives until it is taken back, once.
        unsafe {
            let one = borrow(pointer, "thing").unwrap();
            let other = borrow(pointer, "thing").unwrap();
            assert!(std::ptr::eq(one, other));
            assert_eq!(Arc::strong_count(&one.ends), 2);
            assert_eq!(ends.load(Ordering::Relaxed), 0);
            take_back(pointer, drop);
        }
        assert_eq!(ends.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn threads_borrow_one_handle_at_once_and_another_ends_it() {
        let (pointer, ends) = given(false);
        let address = AtomicPointer(pointer);
        thread::scope(|scope| {
            for _ in 0..3 {
                // SAFETY: the handle lives until all of these have returned.
                scope.spawn(|| unsafe {
                    let thing = borrow(address.get(), "thing").unwrap();
                    assert_eq!(thing.ends.load(Ordering::Relaxed), 0);
                });
            }
        });
        thread::scope(|scope| {
            // SAFETY: nobody else uses the handle any more.
            scope.spawn(|| unsafe { take_back(address.get(), drop) });
        });
        assert_eq!(ends.load(Ordering::Relaxed), 1);
    }

    /// C shares a pointer between threads without being asked.
    struct AtomicPointer(*mut Thing);

    // SAFETY: what it points at is shared by counters only.
    unsafe impl Sync for AtomicPointer {}

    impl AtomicPointer {
        fn get(&self) -> *mut Thing {
            self.0
        }
    }

    #[test]
    fn null_is_an_error_to_borrow_and_nothing_to_free() {
        // SAFETY: NULL is allowed.
        unsafe {
            let error = borrow::<Thing>(null(), "thing").err().unwrap();
            assert_eq!(error.code(), ErrorCode::InvalidArgument);
            assert_eq!(error.message(), "thing is NULL");
            assert!(out::<Thing>(null_mut(), "out").is_err());
            take_back::<Thing>(null_mut(), drop);
            store::<u64>(null_mut(), 1);
        }
    }

    #[test]
    fn a_call_that_fails_leaves_null_where_c_had_set_nothing() {
        // What an uninitialised variable of C may hold: it must neither be read nor freed.
        let mut pointer: *mut Thing = NonNull::dangling().as_ptr();
        // SAFETY: the pointer is this test's own.
        drop(unsafe { out(&raw mut pointer, "out") });
        assert!(pointer.is_null());
        let mut memory = std::mem::MaybeUninit::<*mut Thing>::uninit();
        // SAFETY: it may be written, and has been when it is read.
        unsafe {
            drop(out(memory.as_mut_ptr(), "out"));
            assert!(memory.assume_init().is_null());
        }
    }

    #[test]
    fn what_is_stored_needs_no_initialised_place() {
        let mut place = std::mem::MaybeUninit::<String>::uninit();
        // SAFETY: it may be written, and has been when it is read.
        let stored = unsafe {
            store(place.as_mut_ptr(), "text".to_owned());
            place.assume_init()
        };
        assert_eq!(stored, "text");
    }

    #[test]
    fn a_destructor_that_panics_is_not_heard_of() {
        let (pointer, ends) = given(true);
        // SAFETY: a live handle, not used again.
        unsafe { take_back(pointer, drop) };
        assert_eq!(ends.load(Ordering::Relaxed), 1);
    }
}

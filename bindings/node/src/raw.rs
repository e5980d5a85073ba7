//! Functions of JavaScript straight on Node-API: what looks a key up is called so often that the bookkeeping of a class's method
//! (270 ns) would be most of its cost. Such a function carries its state with it, and catches its panics.

use std::ffi::{CStr, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::rc::Rc;

use napi::sys;

/// Keys of up to so many bytes are copied to the stack.
const SHORT_KEY: usize = 256;
/// Elements of an array that are read before their handles are dropped.
const ELEMENTS_PER_SCOPE: u32 = 1024;

/// A type of JavaScript's that a function does not take; the words name it.
pub(crate) struct Refused(pub(crate) &'static str);

/// A call of a raw function.
pub(crate) struct Call {
    env: sys::napi_env,
    arguments: [sys::napi_value; 2],
}

/// The functions of one object: name and code.
pub(crate) type Functions = [(&'static CStr, sys::napi_callback)];

/// An object with these functions, which share `state`.
pub(crate) fn object<S>(
    env: sys::napi_env,
    state: &Rc<S>,
    functions: &Functions,
) -> napi::Result<sys::napi_value> {
    let mut object = null_mut();
    // SAFETY: the environment called, on its thread.
    napi::check_status!(unsafe { sys::napi_create_object(env, &raw mut object) })?;
    for (name, code) in functions {
        let data = Rc::into_raw(state.clone()).cast_mut().cast::<c_void>();
        let mut function = null_mut();
        // SAFETY: the name is a C string of static length. The function's data is the state, which its finalizer gives back:
        // no call comes after that. Where there is no function, the data is given back here.
        unsafe {
            let created = sys::napi_create_function(
                env,
                name.as_ptr(),
                name.count_bytes() as isize,
                *code,
                data,
                &raw mut function,
            );
            if created != sys::Status::napi_ok {
                drop(Rc::from_raw(data.cast::<S>()));
                return Err(napi::Error::from_status(napi::Status::from(created)));
            }
            napi::check_status!(sys::napi_add_finalizer(
                env,
                function,
                data,
                Some(finalize::<S>),
                null_mut(),
                null_mut()
            ))?;
            napi::check_status!(sys::napi_set_named_property(env, object, name.as_ptr(), function))?;
        }
    }
    Ok(object)
}

/// Gives the share of the state back that a function held.
unsafe extern "C" fn finalize<S>(_env: sys::napi_env, data: *mut c_void, _hint: *mut c_void) {
    // SAFETY: it was made by `Rc::into_raw` for this function, and the environment finalizes each once, on its thread.
    drop(unsafe { Rc::from_raw(data.cast::<S>()) });
}

/// Runs the body of a raw function. A panic or a refused argument is thrown.
///
/// # Safety
/// `env` and `info` are those of a call of a function of [`object`] whose state is `S`.
pub(crate) unsafe fn run<S>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
    body: fn(&Call, &S) -> Result<sys::napi_value, Refused>,
) -> sys::napi_value {
    let mut call = Call {
        env,
        arguments: [null_mut(); 2],
    };
    let (mut count, mut data) = (call.arguments.len(), null_mut());
    // SAFETY: as the caller says: there is room for so many arguments, and the data is the state of the function, which lives
    // at least as long as this call of it.
    let state = unsafe {
        sys::napi_get_cb_info(
            env,
            info,
            &raw mut count,
            call.arguments.as_mut_ptr(),
            null_mut(),
            &raw mut data,
        );
        &*data.cast_const().cast::<S>()
    };
    match catch_unwind(AssertUnwindSafe(|| body(&call, state))) {
        Ok(Ok(value)) => value,
        Ok(Err(Refused(what))) => call.throw(c"ERR_INVALID_ARG_TYPE", what),
        Err(panic) => {
            // What a panic says may panic itself.
            std::mem::forget(panic);
            call.throw(c"INTERNAL", "ClusterKit panicked")
        }
    }
}

/// Writes a raw function: its name, the type of its state, its body.
macro_rules! raw_function {
    ($(#[$doc:meta])* $name:ident, $state:ty, $body:expr) => {
        $(#[$doc])*
        unsafe extern "C" fn $name(env: napi::sys::napi_env, info: napi::sys::napi_callback_info) -> napi::sys::napi_value {
            // SAFETY: it is only in lists of functions whose state is of this type.
            unsafe { $crate::raw::run::<$state>(env, info, $body) }
        }
    };
}
pub(crate) use raw_function;

impl Call {
    fn throw(&self, code: &CStr, message: &str) -> sys::napi_value {
        let (mut code_value, mut message_value, mut error) = (null_mut(), null_mut(), null_mut());
        // SAFETY: the environment called, on its thread; the texts are readable for their lengths.
        unsafe {
            sys::napi_create_string_utf8(
                self.env,
                code.as_ptr(),
                code.count_bytes() as isize,
                &raw mut code_value,
            );
            sys::napi_create_string_utf8(
                self.env,
                message.as_ptr().cast(),
                message.len() as isize,
                &raw mut message_value,
            );
            sys::napi_create_type_error(self.env, code_value, message_value, &raw mut error);
            sys::napi_throw(self.env, error);
        }
        null_mut()
    }

    /// Asks with the bytes of a key: a string's as UTF-8, or those of a Uint8Array.
    #[inline]
    pub(crate) fn with_key<T>(&self, place: usize, ask: impl FnOnce(&[u8]) -> T) -> Result<T, Refused> {
        self.with_bytes(self.arguments[place], ask)
    }

    #[inline]
    fn with_bytes<T>(&self, value: sys::napi_value, ask: impl FnOnce(&[u8]) -> T) -> Result<T, Refused> {
        let mut short = [0u8; SHORT_KEY];
        let mut len = 0;
        // SAFETY: the environment called, on its thread; so many bytes may be written.
        let status = unsafe {
            sys::napi_get_value_string_utf8(
                self.env,
                value,
                short.as_mut_ptr().cast(),
                SHORT_KEY,
                &raw mut len,
            )
        };
        if status != sys::Status::napi_ok {
            return self.with_buffer(value, ask);
        }
        // The last byte is a NUL, and a character is not split: with room for another, it is the whole.
        if len < SHORT_KEY - 4 {
            return Ok(ask(&short[..len]));
        }
        self.with_long_string(value, ask)
    }

    #[cold]
    fn with_long_string<T>(
        &self,
        value: sys::napi_value,
        ask: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, Refused> {
        let mut len = 0;
        // SAFETY: as above; with no room it tells the length, and then there is room for so many bytes and a NUL.
        unsafe {
            sys::napi_get_value_string_utf8(self.env, value, null_mut(), 0, &raw mut len);
            let mut long = vec![0u8; len + 1];
            sys::napi_get_value_string_utf8(
                self.env,
                value,
                long.as_mut_ptr().cast(),
                long.len(),
                &raw mut len,
            );
            Ok(ask(&long[..len.min(long.len())]))
        }
    }

    fn with_buffer<T>(&self, value: sys::napi_value, ask: impl FnOnce(&[u8]) -> T) -> Result<T, Refused> {
        let (mut is_buffer, mut data, mut len) = (false, null_mut(), 0);
        // SAFETY: the environment called, on its thread. The bytes are there for this call: nothing of JavaScript's runs in it.
        unsafe {
            sys::napi_is_buffer(self.env, value, &raw mut is_buffer);
            if !is_buffer
                || sys::napi_get_buffer_info(self.env, value, &raw mut data, &raw mut len)
                    != sys::Status::napi_ok
            {
                return Err(Refused("a key is a string or a Uint8Array"));
            }
            if len == 0 || data.is_null() {
                return Ok(ask(&[]));
            }
            Ok(ask(std::slice::from_raw_parts(data.cast::<u8>(), len)))
        }
    }

    /// Asks with the keys of an array.
    pub(crate) fn with_keys<T>(
        &self,
        place: usize,
        ask: impl FnOnce(&mut dyn Iterator<Item = &[u8]>) -> T,
    ) -> Result<T, Refused> {
        const REFUSED: Refused = Refused("keys is an array of strings or Uint8Arrays");
        let array = self.arguments[place];
        let mut count = 0;
        // SAFETY: the environment called, on its thread.
        if unsafe { sys::napi_get_array_length(self.env, array, &raw mut count) } != sys::Status::napi_ok {
            return Err(REFUSED);
        }
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(count as usize));
        let mut index = 0;
        while index < count {
            let end = count.min(index.saturating_add(ELEMENTS_PER_SCOPE));
            let mut scope = null_mut();
            // SAFETY: as above; the scope is closed before another is opened.
            unsafe { sys::napi_open_handle_scope(self.env, &raw mut scope) };
            let read = (index..end).try_for_each(|index| {
                let mut element = null_mut();
                // SAFETY: as above.
                if unsafe { sys::napi_get_element(self.env, array, index, &raw mut element) }
                    != sys::Status::napi_ok
                {
                    return Err(REFUSED);
                }
                self.with_bytes(element, |key| bytes.extend_from_slice(key))?;
                ends.push(bytes.len());
                Ok(())
            });
            // SAFETY: as above.
            unsafe { sys::napi_close_handle_scope(self.env, scope) };
            read?;
            index = end;
        }
        let mut start = 0;
        let mut keys = ends.iter().map(|end| {
            let key = bytes.get(start..*end).unwrap_or_default();
            start = *end;
            key
        });
        Ok(ask(&mut keys))
    }

    /// A whole number from 0 to 2^32 - 1.
    #[inline]
    pub(crate) fn number(&self, place: usize, refused: &'static str) -> Result<u32, Refused> {
        let mut number = 0.0;
        // SAFETY: the environment called, on its thread.
        let status = unsafe { sys::napi_get_value_double(self.env, self.arguments[place], &raw mut number) };
        // A float becomes the nearest number that fits.
        let whole = number as u32;
        if status != sys::Status::napi_ok || f64::from(whole) != number {
            return Err(Refused(refused));
        }
        Ok(whole)
    }

    /// The elements of a Float64Array that may be written.
    pub(crate) fn fill(&self, place: usize, values: &[f64]) -> Result<(), Refused> {
        let (mut kind, mut len, mut data) = (0, 0, null_mut());
        // SAFETY: the environment called, on its thread.
        let status = unsafe {
            sys::napi_get_typedarray_info(
                self.env,
                self.arguments[place],
                &raw mut kind,
                &raw mut len,
                &raw mut data,
                null_mut(),
                null_mut(),
            )
        };
        if status != sys::Status::napi_ok || kind != sys::TypedarrayType::float64_array || len < values.len()
        {
            return Err(Refused("the place of an answer is a Float64Array"));
        }
        // SAFETY: an array of so many elements, of this type and aligned for it; nothing else uses it during the call.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), data.cast::<f64>(), values.len()) };
        Ok(())
    }

    // ---- answers

    #[inline]
    pub(crate) fn boolean(&self, value: bool) -> sys::napi_value {
        let mut answer = null_mut();
        // SAFETY: the environment called, on its thread. Where it fails, the answer is undefined.
        unsafe { sys::napi_get_boolean(self.env, value, &raw mut answer) };
        answer
    }

    #[inline]
    pub(crate) fn integer(&self, value: u32) -> sys::napi_value {
        let mut answer = null_mut();
        // SAFETY: as above.
        unsafe { sys::napi_create_uint32(self.env, value, &raw mut answer) };
        answer
    }

    #[inline]
    pub(crate) fn float(&self, value: f64) -> sys::napi_value {
        let mut answer = null_mut();
        // SAFETY: as above.
        unsafe { sys::napi_create_double(self.env, value, &raw mut answer) };
        answer
    }

    #[inline]
    pub(crate) fn null(&self) -> sys::napi_value {
        let mut answer = null_mut();
        // SAFETY: as above.
        unsafe { sys::napi_get_null(self.env, &raw mut answer) };
        answer
    }

    /// A number, or `null`.
    #[inline]
    pub(crate) fn integer_or_null(&self, value: Option<u32>) -> sys::napi_value {
        value.map_or_else(|| self.null(), |value| self.integer(value))
    }

    /// A Uint32Array.
    pub(crate) fn integers(&self, values: &[u32]) -> Result<sys::napi_value, Refused> {
        let (mut data, mut buffer, mut array) = (null_mut(), null_mut(), null_mut());
        let bytes = size_of_val(values);
        // SAFETY: the environment called, on its thread; the new buffer has room for the numbers, and nothing else sees it yet.
        unsafe {
            if sys::napi_create_arraybuffer(self.env, bytes, &raw mut data, &raw mut buffer)
                != sys::Status::napi_ok
            {
                return Err(Refused("there is no memory for so many numbers"));
            }
            if !values.is_empty() {
                std::ptr::copy_nonoverlapping(values.as_ptr().cast::<u8>(), data.cast::<u8>(), bytes);
            }
            let kind = sys::TypedarrayType::uint32_array;
            sys::napi_create_typedarray(self.env, kind, values.len(), buffer, 0, &raw mut array);
        }
        Ok(array)
    }
}

//! Arrow arrays of texts or bytes, read where they are: the C data interface, by its capsules.

use std::ffi::{CStr, c_char, c_void};

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

// As the specification of Arrow has them, which will not change.

#[repr(C)]
struct ArrowSchema {
    format: *const c_char,
    name: *const c_char,
    metadata: *const c_char,
    flags: i64,
    n_children: i64,
    children: *mut *mut ArrowSchema,
    dictionary: *mut ArrowSchema,
    release: Option<unsafe extern "C" fn(*mut ArrowSchema)>,
    private_data: *mut c_void,
}

#[repr(C)]
struct ArrowArray {
    length: i64,
    null_count: i64,
    offset: i64,
    n_buffers: i64,
    n_children: i64,
    buffers: *mut *const c_void,
    children: *mut *mut ArrowArray,
    dictionary: *mut ArrowArray,
    release: Option<unsafe extern "C" fn(*mut ArrowArray)>,
    private_data: *mut c_void,
}

#[repr(C)]
struct ArrowArrayStream {
    get_schema: Option<unsafe extern "C" fn(*mut ArrowArrayStream, *mut ArrowSchema) -> i32>,
    get_next: Option<unsafe extern "C" fn(*mut ArrowArrayStream, *mut ArrowArray) -> i32>,
    get_last_error: Option<unsafe extern "C" fn(*mut ArrowArrayStream) -> *const c_char>,
    release: Option<unsafe extern "C" fn(*mut ArrowArrayStream)>,
    private_data: *mut c_void,
}

/// Whether numbers of an array's offsets have 64 bits; `None` for an array of something else.
fn is_large(format: &CStr) -> Option<bool> {
    match format.to_bytes() {
        b"u" | b"z" => Some(false),
        b"U" | b"Z" => Some(true),
        _ => None,
    }
}

/// Calls `with` for each text of an Arrow array, or of one in several pieces. False when `keys` is none.
pub(crate) fn each_key(keys: &Bound<'_, PyAny>, mut with: impl FnMut(&[u8])) -> PyResult<bool> {
    if let Ok(export) = keys.getattr("__arrow_c_array__") {
        let pair = export.call0()?;
        let pair = pair.cast::<PyTuple>()?;
        let (schema, array) = (pair.get_item(0)?, pair.get_item(1)?);
        // SAFETY: capsules of these names hold these structs, which live as long as the capsules do.
        unsafe {
            let schema = pointer::<ArrowSchema>(&schema, c"arrow_schema")?;
            let array = pointer::<ArrowArray>(&array, c"arrow_array")?;
            let large = large_of(&*schema)?;
            each_of(&*array, large, &mut with)?;
        }
        return Ok(true);
    }
    let Ok(export) = keys.getattr("__arrow_c_stream__") else {
        return Ok(false);
    };
    let capsule = export.call0()?;
    // SAFETY: as above. What the stream gives is ours, and is released here.
    unsafe {
        let stream = pointer::<ArrowArrayStream>(&capsule, c"arrow_array_stream")?;
        let (Some(get_schema), Some(get_next)) = ((*stream).get_schema, (*stream).get_next) else {
            return Err(PyValueError::new_err("an Arrow stream that was read before"));
        };
        let mut schema = Owned(std::mem::zeroed::<ArrowSchema>());
        if get_schema(stream, &raw mut schema.0) != 0 {
            return Err(PyValueError::new_err("an Arrow stream with no schema"));
        }
        let large = large_of(&schema.0)?;
        loop {
            let mut array = Owned(std::mem::zeroed::<ArrowArray>());
            if get_next(stream, &raw mut array.0) != 0 {
                return Err(PyValueError::new_err(
                    "an Arrow stream that cannot be read to its end",
                ));
            }
            if array.0.release.is_none() {
                return Ok(true);
            }
            each_of(&array.0, large, &mut with)?;
        }
    }
}

/// A struct of Arrow's that is released with this.
struct Owned<T: Release>(T);

trait Release {
    fn release(&mut self);
}

impl Release for ArrowSchema {
    fn release(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: the specification: it is called once, with the struct, and sets itself to NULL.
            unsafe { release(self) };
        }
    }
}

impl Release for ArrowArray {
    fn release(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: as above.
            unsafe { release(self) };
        }
    }
}

impl<T: Release> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// What a capsule of this name points to.
fn pointer<T>(capsule: &Bound<'_, PyAny>, name: &CStr) -> PyResult<*mut T> {
    // SAFETY: it checks that this is a capsule of that name.
    let pointer = unsafe { ffi::PyCapsule_GetPointer(capsule.as_ptr(), name.as_ptr()) };
    if pointer.is_null() {
        return Err(PyErr::fetch(capsule.py()));
    }
    Ok(pointer.cast())
}

/// # Safety
/// A schema that was not released.
unsafe fn large_of(schema: &ArrowSchema) -> PyResult<bool> {
    // SAFETY: the specification: a text with a NUL.
    let format = unsafe { CStr::from_ptr(schema.format) };
    is_large(format).ok_or_else(|| {
        let format = format.to_string_lossy();
        PyValueError::new_err(format!(
            "keys are an Arrow array of texts or bytes, not of the format {format:?}"
        ))
    })
}

/// # Safety
/// An array that was not released, of texts or bytes.
unsafe fn each_of(array: &ArrowArray, large: bool, with: &mut impl FnMut(&[u8])) -> PyResult<()> {
    if array.length == 0 {
        return Ok(());
    }
    if array.n_buffers != 3 || array.length < 0 || array.offset < 0 {
        return Err(PyValueError::new_err(
            "an Arrow array that is none of texts or bytes",
        ));
    }
    // SAFETY: the specification: three buffers, of which the first says what is null, the second where each text begins, one
    // more than there are texts, and the third has the texts.
    unsafe {
        let buffers = std::slice::from_raw_parts(array.buffers, 3);
        let [nulls, offsets, data] = *buffers else {
            return Err(PyValueError::new_err(
                "an Arrow array that is none of texts or bytes",
            ));
        };
        let (offset, length) = (array.offset as usize, array.length as usize);
        let has_null = array.null_count != 0 && !nulls.is_null() && {
            let nulls = nulls.cast::<u8>();
            (offset..offset + length).any(|item| *nulls.add(item / 8) & (1 << (item % 8)) == 0)
        };
        if has_null {
            return Err(PyValueError::new_err("a key is null"));
        }
        let at = |item: usize| match large {
            true => *offsets.cast::<i64>().add(item) as usize,
            false => *offsets.cast::<i32>().add(item) as usize,
        };
        for item in offset..offset + length {
            let (from, to) = (at(item), at(item + 1));
            match to.saturating_sub(from) {
                0 => with(&[]),
                length => with(std::slice::from_raw_parts(data.cast::<u8>().add(from), length)),
            }
        }
    }
    Ok(())
}

//! Many keys in one call.

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use crate::arrow;

/// How many keys are hashed in one go.
const CHUNK: usize = 1024;

/// The partitions of keys, as the bytes of 32-bit numbers in the machine's order. Keys are an Arrow array of texts or bytes, an
/// array of fixed-length bytes or texts (numpy), neither of which is copied key by key into Python's objects, or anything that
/// is iterated over.
pub(crate) fn partitions<'py>(
    py: Python<'py>,
    keys: &Bound<'py, PyAny>,
    count: u32,
) -> PyResult<Bound<'py, PyBytes>> {
    let mut numbers = Numbers::new(count);
    if !arrow::each_key(keys, |key| numbers.push(key))? && !each_fixed(keys, |key| numbers.push(key))? {
        if keys.is_instance_of::<PyString>() || keys.is_instance_of::<PyBytes>() {
            return Err(PyTypeError::new_err(
                "keys are several: a list or an array of str or bytes, not one of them",
            ));
        }
        each_object(keys, &mut numbers)?;
    }
    Ok(numbers.into_bytes(py))
}

/// Hashes keys in chunks, because many at once take less time.
struct Numbers {
    count: u32,
    /// The bytes of the keys of a chunk, one after the other, and where each ends.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    numbers: Vec<u32>,
}

impl Numbers {
    fn new(count: u32) -> Self {
        Numbers {
            count,
            bytes: Vec::new(),
            ends: Vec::with_capacity(CHUNK),
            numbers: Vec::new(),
        }
    }

    fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
        if self.ends.len() == CHUNK {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let begin = self.numbers.len();
        self.numbers.resize(begin + self.ends.len(), 0);
        let mut from = 0;
        let keys = self.ends.iter().map(|end| {
            let key = self.bytes.get(from..*end).unwrap_or_default();
            from = *end;
            key
        });
        if let Some(out) = self.numbers.get_mut(begin..) {
            clusterkit::routing::partitions_for_many(keys, self.count, out);
        }
        self.bytes.clear();
        self.ends.clear();
    }

    fn into_bytes(mut self, py: Python<'_>) -> Bound<'_, PyBytes> {
        self.flush();
        let numbers = self.numbers;
        // SAFETY: numbers are plain memory, four bytes each, and any bytes are bytes.
        let bytes =
            unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast::<u8>(), size_of_val(&*numbers)) };
        PyBytes::new(py, bytes)
    }
}

fn push_object(key: &Bound<'_, PyAny>, numbers: &mut Numbers) -> PyResult<()> {
    crate::keys::with_key(key, |key| numbers.push(key))
}

fn each_object(keys: &Bound<'_, PyAny>, numbers: &mut Numbers) -> PyResult<()> {
    if let Ok(list) = keys.cast::<PyList>() {
        return list.iter().try_for_each(|key| push_object(&key, numbers));
    }
    if let Ok(tuple) = keys.cast::<PyTuple>() {
        return tuple.iter().try_for_each(|key| push_object(&key, numbers));
    }
    keys.try_iter()?.try_for_each(|key| push_object(&key?, numbers))
}

/// The unit of items of a buffer, in bytes, where they are fixed-length bytes (`5s`) or texts of four bytes a character (`5w`).
/// `None` for everything else, and for characters in the other order of bytes, which go the slow way.
fn unit_of(format: &[u8]) -> Option<usize> {
    let native = if cfg!(target_endian = "little") {
        b'<'
    } else {
        b'>'
    };
    let format = match format {
        [b'@' | b'=', rest @ ..] => rest,
        [order, rest @ ..] if *order == native => rest,
        all => all,
    };
    let (kind, length) = format.split_last()?;
    if !length.iter().all(u8::is_ascii_digit) {
        return None;
    }
    match kind {
        b's' => Some(1),
        b'w' => Some(4),
        _ => None,
    }
}

/// Calls `with` for each item of an array of fixed-length bytes or texts, as numpy has them: dtype `S` or `U`. False when
/// `keys` is none. As numpy reads them, what is zero at the end is no part of an item.
fn each_fixed(keys: &Bound<'_, PyAny>, mut with: impl FnMut(&[u8])) -> PyResult<bool> {
    let Ok(buffer) = PyUntypedBuffer::get(keys) else {
        return Ok(false);
    };
    let Some(unit) = unit_of(buffer.format().to_bytes()) else {
        return Ok(false);
    };
    let ([items], [stride]) = (buffer.shape(), buffer.strides()) else {
        return Err(PyValueError::new_err("keys are an array of one dimension"));
    };
    let width = buffer.item_size();
    let mut text = Vec::new();
    for item in 0..*items {
        // SAFETY: the buffer has so many items, of this width, at this distance from each other, and keeps them while it lives.
        // They may be misaligned, so they are read as bytes.
        let bytes = unsafe {
            let start = buffer.buf_ptr().cast::<u8>().offset(stride * item as isize);
            std::slice::from_raw_parts(start, width)
        };
        if unit == 1 {
            let end = bytes
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |last| last + 1);
            with(bytes.get(..end).unwrap_or_default());
            continue;
        }
        text.clear();
        let (points, _) = bytes.as_chunks::<4>();
        let end = points
            .iter()
            .rposition(|point| *point != [0; 4])
            .map_or(0, |last| last + 1);
        for point in points.iter().take(end) {
            let point = char::from_u32(u32::from_ne_bytes(*point))
                .ok_or_else(|| PyValueError::new_err(format!("key {item} has a character that is none")))?;
            text.extend_from_slice(point.encode_utf8(&mut [0; 4]).as_bytes());
        }
        with(&text);
    }
    Ok(true)
}

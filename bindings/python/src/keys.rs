//! Keys: text or bytes, one or many.

use std::time::Duration;

use clusterkit::{Error, ErrorCode};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::front;

/// The longest time that a call may be asked to wait: ten years, which no sum of times overflows.
const MAX_TIMEOUT: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Lends the bytes of a key. Text is UTF-8.
#[inline]
pub(crate) fn with_key<R>(key: &Bound<'_, PyAny>, work: impl FnOnce(&[u8]) -> R) -> PyResult<R> {
    if let Ok(text) = key.cast::<PyString>() {
        return Ok(work(text.to_str()?.as_bytes()));
    }
    if let Ok(bytes) = key.cast::<PyBytes>() {
        return Ok(work(bytes.as_bytes()));
    }
    other_key(key, work)
}

#[cold]
fn other_key<R>(key: &Bound<'_, PyAny>, work: impl FnOnce(&[u8]) -> R) -> PyResult<R> {
    match bytes_of(key) {
        Ok(bytes) => Ok(work(&bytes)),
        Err(_) => {
            let type_name = key.get_type().qualname()?;
            let message = format!("a key is str or bytes-like, not {type_name}");
            Err(PyTypeError::new_err(message))
        }
    }
}

/// The bytes of what is bytes-like, copied.
pub(crate) fn bytes_of(value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().to_vec());
    }
    pyo3::buffer::PyBuffer::<u8>::get(value)?.to_vec(value.py())
}

/// A time from Python, in seconds.
pub(crate) fn seconds(py: Python<'_>, seconds: f64) -> PyResult<Duration> {
    if seconds >= MAX_TIMEOUT.as_secs_f64() {
        return Ok(MAX_TIMEOUT);
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        let message = format!("a time is a number of seconds from 0, not {seconds}");
        front::raised(py, &Error::new(ErrorCode::InvalidArgument, message))
    })
}

//! Messages for people, to a function of Python's.

use clusterkit::LogCallback;
use pyo3::prelude::*;

use crate::gate;

/// A log callback that calls `function(level, message)`. What it raises is reported as Python does for exceptions that nobody
/// can catch.
pub(crate) fn callback(function: Py<PyAny>) -> LogCallback {
    std::sync::Arc::new(move |level, message| {
        gate::attach(|py| {
            let function = function.bind(py);
            if let Err(raised) = function.call1((level.name(), message)) {
                raised.write_unraisable(py, Some(function));
            }
        });
    })
}

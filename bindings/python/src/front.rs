//! What the native half needs from the Python half: its exceptions and records.

use clusterkit::Error;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyModule;

/// A function of the Python half, looked up once.
pub(crate) struct FrontFunction {
    module: &'static str,
    name: &'static str,
    found: PyOnceLock<Py<PyAny>>,
}

impl FrontFunction {
    pub(crate) const fn new(module: &'static str, name: &'static str) -> Self {
        FrontFunction {
            module,
            name,
            found: PyOnceLock::new(),
        }
    }

    pub(crate) fn get<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        let find = || Ok::<_, PyErr>(PyModule::import(py, self.module)?.getattr(self.name)?.unbind());
        self.found.get_or_try_init(py, find).map(|found| found.bind(py))
    }
}

/// Makes the exception of a code.
static MAKE_ERROR: FrontFunction = FrontFunction::new("clusterkit._errors", "_make");
/// Makes a member's record.
static MAKE_NODE: FrontFunction = FrontFunction::new("clusterkit._records", "_make_node");
/// Makes an event.
static MAKE_EVENT: FrontFunction = FrontFunction::new("clusterkit._events", "_make_event");

/// An error of the core as Python raises it.
pub(crate) fn raised(py: Python<'_>, error: &Error) -> PyErr {
    let make = || MAKE_ERROR.get(py)?.call1((error.code().name(), error.message()));
    match make() {
        Ok(exception) => PyErr::from_value(exception),
        Err(failed) => failed,
    }
}

/// The result of a call of the core as Python has it.
pub(crate) fn answer<T>(py: Python<'_>, result: Result<T, Error>) -> PyResult<T> {
    result.map_err(|error| raised(py, &error))
}

/// The record of a member, made of its plain form.
pub(crate) fn node_record(plain: Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    Ok(MAKE_NODE.get(plain.py())?.call1((plain,))?.unbind())
}

/// An event, made of its plain form.
pub(crate) fn event_record(plain: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    MAKE_EVENT.get(plain.py())?.call1((plain,))
}

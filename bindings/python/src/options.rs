//! Options by name, and their tables.

use clusterkit::{ClientOptions, OptionDefault, OptionKind, Options, client_options_table, options_table};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::front;

/// The options of a node, by name.
#[pyclass(frozen, module = "clusterkit._clusterkit")]
pub(crate) struct OptionSet(Mutex<Options>);

impl OptionSet {
    pub(crate) fn read(&self) -> Options {
        self.0.lock().clone()
    }

    pub(crate) fn of(options: Options) -> Self {
        OptionSet(Mutex::new(options))
    }
}

#[pymethods]
impl OptionSet {
    #[new]
    fn new() -> Self {
        OptionSet::of(Options::default())
    }

    fn set(&self, py: Python<'_>, name: &str, value: &str) -> PyResult<()> {
        let done = self.0.lock().set(name, value);
        front::answer(py, done)
    }

    fn get(&self, py: Python<'_>, name: &str) -> PyResult<String> {
        let found = self.0.lock().get(name);
        front::answer(py, found)
    }

    fn load_json(&self, py: Python<'_>, json: &str) -> PyResult<()> {
        let done = self.0.lock().merge_json(json);
        front::answer(py, done).map(drop)
    }

    fn load_file(&self, py: Python<'_>, path: std::path::PathBuf) -> PyResult<()> {
        let done = self.0.lock().merge_file(&path);
        front::answer(py, done).map(drop)
    }

    fn load_env(&self, py: Python<'_>) -> PyResult<()> {
        let done = self.0.lock().apply_env();
        front::answer(py, done).map(drop)
    }

    fn validate(&self, py: Python<'_>) -> PyResult<()> {
        let done = self.0.lock().validate();
        front::answer(py, done)
    }

    /// What the options come to, by name: with what is derived from others.
    fn effective<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let effective = front::answer(py, self.read().effective())?;
        let dict = PyDict::new(py);
        for (name, value) in effective {
            dict.set_item(name, value)?;
        }
        Ok(dict)
    }

    fn copy(&self) -> Self {
        OptionSet::of(self.read())
    }
}

/// The options of a client, by name.
#[pyclass(frozen, module = "clusterkit._clusterkit")]
pub(crate) struct ClientOptionSet(Mutex<ClientOptions>);

impl ClientOptionSet {
    pub(crate) fn read(&self) -> ClientOptions {
        self.0.lock().clone()
    }
}

#[pymethods]
impl ClientOptionSet {
    #[new]
    fn new() -> Self {
        ClientOptionSet(Mutex::new(ClientOptions::default()))
    }

    fn set(&self, py: Python<'_>, name: &str, value: &str) -> PyResult<()> {
        let done = self.0.lock().set(name, value);
        front::answer(py, done)
    }

    fn get(&self, py: Python<'_>, name: &str) -> PyResult<String> {
        let found = self.0.lock().get(name);
        front::answer(py, found)
    }

    fn load_json(&self, py: Python<'_>, json: &str) -> PyResult<()> {
        let done = self.0.lock().merge_json(json);
        front::answer(py, done).map(drop)
    }

    fn validate(&self, py: Python<'_>) -> PyResult<()> {
        let done = self.0.lock().validate();
        front::answer(py, done)
    }
}

fn row<'py>(
    py: Python<'py>,
    name: &str,
    kind: &OptionKind,
    default: &OptionDefault,
    help: &str,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("name", name)?;
    dict.set_item("type", kind.type_name())?;
    dict.set_item("bounds", kind.bounds())?;
    let (is_required, default) = match default {
        OptionDefault::Required => (true, None),
        OptionDefault::None => (false, None),
        OptionDefault::Value(text) | OptionDefault::Derived(text) => (false, Some(*text)),
    };
    dict.set_item("is_required", is_required)?;
    dict.set_item("default", default)?;
    dict.set_item("help", help)?;
    Ok(dict)
}

/// The options of a node, a dictionary each.
#[pyfunction]
pub(crate) fn option_table(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let list = PyList::empty(py);
    for spec in options_table() {
        let dict = row(py, spec.name, &spec.kind, &spec.default, spec.help)?;
        dict.set_item("env", spec.env)?;
        dict.set_item("aliases", spec.aliases)?;
        list.append(dict)?;
    }
    Ok(list)
}

/// The options of a client, a dictionary each.
#[pyfunction]
pub(crate) fn client_option_table(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let list = PyList::empty(py);
    for spec in client_options_table() {
        list.append(row(py, spec.name, &spec.kind, &spec.default, spec.help)?)?;
    }
    Ok(list)
}

//! The native half of ClusterKit for Python. It moves bytes and handles; what users see is in `python/clusterkit`.
//!
//! - `node`, `node_calls`, `view`, `client`, `testing`: a handle each of the core, with its calls.
//! - `call`: calls that wait. Each begins on the core's threads, and is waited for by a thread or an event loop (`inbox`).
//! - `hook`, `observer`, `events`: what happens, told to Python's functions or read from a queue.
//! - `gate`, `live`, `forks`: the end of the interpreter, and forks.
//! - `plain`, `keys`, `many_keys`, `arrow`, `front`: values, both ways.
//!
//! Threads: a lookup keeps the interpreter, everything else that may wait gives it up. The threads of the core's runtime never
//! enter the interpreter: only those that run hooks and log callbacks do, through `gate`.

mod arrow;
mod call;
mod client;
mod events;
mod forks;
mod front;
mod gate;
mod hook;
mod inbox;
mod keys;
mod live;
mod log;
mod many_keys;
mod node;
mod node_calls;
mod observer;
mod options;
mod plain;
mod testing;
mod view;

use std::ffi::OsString;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// The partition of a key in a cluster of so many.
#[pyfunction]
fn partition_for(py: Python<'_>, key: &Bound<'_, PyAny>, partition_count: u32) -> PyResult<u32> {
    refuse_none(py, partition_count)?;
    keys::with_key(key, |key| {
        clusterkit::routing::partition_for(key, partition_count)
    })
}

/// The partitions of many keys, as the bytes of 32-bit numbers.
#[pyfunction]
fn partitions_for_many<'py>(
    py: Python<'py>,
    keys: &Bound<'py, PyAny>,
    partition_count: u32,
) -> PyResult<Bound<'py, PyBytes>> {
    refuse_none(py, partition_count)?;
    many_keys::partitions(py, keys, partition_count)
}

fn refuse_none(py: Python<'_>, partition_count: u32) -> PyResult<()> {
    if partition_count == 0 {
        let message = "partition_count is a number from 1, not 0";
        let error = clusterkit::Error::new(clusterkit::ErrorCode::InvalidArgument, message);
        return Err(front::raised(py, &error));
    }
    Ok(())
}

/// The seconds of a duration in words: "1m30s".
#[pyfunction]
fn parse_duration(py: Python<'_>, text: &str) -> PyResult<f64> {
    let parsed = clusterkit::parse_duration(text).ok_or_else(|| {
        let message =
            format!("{text:?} is no duration, such as \"1m30s\", \"500ms\" or a number of milliseconds");
        clusterkit::Error::new(clusterkit::ErrorCode::InvalidArgument, message)
    });
    Ok(front::answer(py, parsed)?.as_secs_f64())
}

/// Runs the command, and returns its exit code.
#[pyfunction]
fn run_command(py: Python<'_>, program: Vec<OsString>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| clusterkit_cli::run(&program, arguments))
}

/// Every error code: its name, its number, and whether it is worth trying again.
#[pyfunction]
fn error_codes() -> Vec<(&'static str, i32, bool)> {
    let codes = clusterkit::ErrorCode::ALL.iter();
    codes
        .map(|code| (code.name(), code.number(), code.is_retriable()))
        .collect()
}

/// The native half of ClusterKit for Python: use `clusterkit`.
#[pymodule(gil_used = false)]
mod _clusterkit {
    use pyo3::exceptions::PyImportError;
    use pyo3::{PyResult, ffi};

    /// What a node calls has to find its interpreter from threads that belong to none, and they find the first one.
    #[pymodule_init]
    fn init() -> PyResult<()> {
        // SAFETY: the thread that imports a module is attached.
        let id = unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) };
        if id != 0 {
            return Err(PyImportError::new_err(
                "clusterkit cannot be used in an interpreter other than the process's first: use processes",
            ));
        }
        // The standard library in this module is its own: what panics must not print on the host's stderr.
        clusterkit::send_panics_to_logs();
        Ok(())
    }

    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_export]
    use super::{
        call::Call, client::ClientHandle, error_codes, events::EventQueue, hook::Completion, inbox::Inbox,
        live::close_all, node::NodeHandle, options::ClientOptionSet, options::OptionSet,
        options::client_option_table, options::option_table, parse_duration, partition_for,
        partitions_for_many, run_command, testing::TestClusterHandle, testing::start_test_cluster,
        view::ViewHandle,
    };
}

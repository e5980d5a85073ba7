//! The calls of a node that wait for the cluster.

use std::time::Duration;

use clusterkit::{AsyncClusterKit, Expect, Result};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::call::Call;
use crate::keys::{bytes_of, seconds};
use crate::node::NodeHandle;
use crate::plain::plain;

/// A number as Python has it.
fn number(py: Python<'_>, number: u64) -> PyResult<Py<PyAny>> {
    Ok(number.into_pyobject(py)?.into_any().unbind())
}

/// A revision, and a count.
fn revision_and_count(py: Python<'_>, pair: (u64, usize)) -> PyResult<Py<PyAny>> {
    Ok(pair.into_pyobject(py)?.into_any().unbind())
}

fn text(py: Python<'_>, text: clusterkit::model::NodeId) -> PyResult<Py<PyAny>> {
    Ok(PyString::new(py, &text).into_any().unbind())
}

fn nothing(py: Python<'_>, (): ()) -> PyResult<Py<PyAny>> {
    Ok(py.None())
}

/// The condition of a write: none, that there is no value (0), or that this revision wrote it.
fn expected(expect: Option<u64>) -> Expect {
    match expect {
        None => Expect::Any,
        Some(0) => Expect::Absent,
        Some(revision) => Expect::Revision(revision),
    }
}

impl NodeHandle {
    /// Begins a call on the node's runtime.
    pub(crate) fn begin<T, F>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(AsyncClusterKit) -> F,
        form: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> PyResult<Call>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let kit = self.kit(py)?;
        let (begun, teller) = Call::begin();
        let future = call(kit.clone());
        // Detached: where a test cluster has ended, this thread runs it.
        py.detach(|| kit.spawn(Box::pin(async move { teller.tell(future.await, form) })));
        Ok(begun)
    }

    fn begin_within<T, F>(
        &self,
        py: Python<'_>,
        timeout: f64,
        call: impl FnOnce(AsyncClusterKit, Duration) -> F,
        form: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> PyResult<Call>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let timeout = seconds(py, timeout)?;
        self.started(py)?;
        self.begin(py, |kit| call(kit, timeout), form)
    }
}

#[pymethods]
impl NodeHandle {
    fn wait_for_leader(&self, py: Python<'_>, timeout: f64) -> PyResult<Call> {
        let call = |kit: AsyncClusterKit, timeout| async move { kit.wait_for_leader(timeout).await };
        self.begin_within(py, timeout, call, |py, leader| Ok(plain(py, &leader)?.unbind()))
    }

    fn step_down(&self, py: Python<'_>) -> PyResult<Call> {
        self.started(py)?;
        self.begin(py, |kit| async move { kit.step_down().await }, text)
    }

    fn promote(&self, py: Python<'_>, node: String) -> PyResult<Call> {
        self.started(py)?;
        self.begin(py, |kit| async move { kit.promote(&node).await }, text)
    }

    fn demote(&self, py: Python<'_>, cooldown: f64) -> PyResult<Call> {
        let call = |kit: AsyncClusterKit, cooldown| async move { kit.demote(cooldown).await };
        self.begin_within(py, cooldown, call, text)
    }

    fn maintenance(&self, py: Python<'_>, reason: Option<String>, timeout: f64) -> PyResult<Call> {
        let call =
            |kit: AsyncClusterKit, timeout| async move { kit.maintenance(reason.as_deref(), timeout).await };
        self.begin_within(py, timeout, call, number)
    }

    fn remove_node(&self, py: Python<'_>, id: String, force: bool, timeout: f64) -> PyResult<Call> {
        let call = move |kit: AsyncClusterKit, timeout| async move {
            match force {
                true => kit.force_remove_node(&id, timeout).await,
                false => kit.remove_node(&id, timeout).await,
            }
        };
        self.begin_within(py, timeout, call, number)
    }

    fn recover_partition(
        &self,
        py: Python<'_>,
        partition: u32,
        from_: String,
        force: bool,
        timeout: f64,
    ) -> PyResult<Call> {
        let call = move |kit: AsyncClusterKit, timeout| async move {
            kit.recover_partition(partition, &from_, force, timeout).await
        };
        self.begin_within(py, timeout, call, number)
    }

    fn create_partitions(&self, py: Python<'_>, timeout: f64) -> PyResult<Call> {
        let call = |kit: AsyncClusterKit, timeout| async move { kit.create_partitions(timeout).await };
        self.begin_within(py, timeout, call, revision_and_count)
    }

    fn rebalance_partitions(&self, py: Python<'_>, timeout: f64) -> PyResult<Call> {
        let call = |kit: AsyncClusterKit, timeout| async move { kit.rebalance_partitions(timeout).await };
        self.begin_within(py, timeout, call, revision_and_count)
    }

    fn rebalance_status(&self, py: Python<'_>, timeout: f64) -> PyResult<Call> {
        let call = |kit: AsyncClusterKit, timeout| async move { kit.rebalance_status(timeout).await };
        self.begin_within(py, timeout, call, |py, status| Ok(plain(py, &status)?.unbind()))
    }

    fn set_data(
        &self,
        py: Python<'_>,
        key: String,
        value: &Bound<'_, PyAny>,
        expect: Option<u64>,
        timeout: f64,
    ) -> PyResult<Call> {
        let value = bytes_of(value)?;
        let call = move |kit: AsyncClusterKit, timeout| async move {
            kit.set_custom_data(&key, value, expected(expect), timeout).await
        };
        self.begin_within(py, timeout, call, number)
    }

    fn delete_data(&self, py: Python<'_>, key: String, expect: Option<u64>, timeout: f64) -> PyResult<Call> {
        let call = move |kit: AsyncClusterKit, timeout| async move {
            kit.delete_custom_data(&key, expected(expect), timeout).await
        };
        let form = |py: Python<'_>, pair: (u64, bool)| Ok(pair.into_pyobject(py)?.into_any().unbind());
        self.begin_within(py, timeout, call, form)
    }

    fn wait_for_revision(&self, py: Python<'_>, revision: u64, timeout: f64) -> PyResult<Call> {
        let call = move |kit: AsyncClusterKit, timeout| async move {
            kit.wait_for_revision(revision, timeout).await
        };
        self.begin_within(py, timeout, call, nothing)
    }

    fn read_barrier(&self, py: Python<'_>, timeout: f64) -> PyResult<Call> {
        let call = |kit: AsyncClusterKit, timeout| async move { kit.read_barrier(timeout).await };
        self.begin_within(py, timeout, call, number)
    }
}

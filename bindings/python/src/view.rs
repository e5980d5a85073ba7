//! Views: the cluster at one revision.

use std::ops::Deref;
use std::sync::Arc;

use clusterkit::model::{Node, Role};
use clusterkit::routing::{ClusterView, PartitionRef};
use clusterkit::{Error, ErrorCode};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyList, PyTuple};

use crate::front;
use crate::keys::with_key;
use crate::many_keys;
use crate::plain::plain;

/// The records of a topology's nodes in Python's form, each made when it is first asked for, and shared by all views of that
/// topology.
struct NodeRecords(Vec<PyOnceLock<Py<PyAny>>>);

/// The record of a member of a view.
pub(crate) fn node_at<'py>(py: Python<'py>, view: &ClusterView, index: usize) -> PyResult<Bound<'py, PyAny>> {
    let node = view.nodes().get(index);
    let make = || match node {
        Some(node) => front::node_record(plain(py, &**node)?),
        None => Ok(py.None()),
    };
    let records = view.binding(|nodes| NodeRecords(nodes.iter().map(|_| PyOnceLock::new()).collect()));
    match records.and_then(|records| records.0.get(index)) {
        Some(record) => Ok(record.get_or_try_init(py, make)?.bind(py).clone()),
        None => Ok(make()?.into_bound(py)),
    }
}

/// The record of a member of a view, or `None`.
pub(crate) fn node_or_none<'py>(
    py: Python<'py>,
    view: &ClusterView,
    node: Option<&Arc<Node>>,
) -> PyResult<Bound<'py, PyAny>> {
    let index = node.and_then(|node| view.nodes().binary_search_by(|other| other.id.cmp(&node.id)).ok());
    match index {
        Some(index) => node_at(py, view, index),
        None => Ok(py.None().into_bound(py)),
    }
}

/// The records at these indexes, as a tuple.
pub(crate) fn nodes_at<'py>(
    py: Python<'py>,
    view: &ClusterView,
    indexes: impl Iterator<Item = u32>,
) -> PyResult<Bound<'py, PyTuple>> {
    let records: PyResult<Vec<_>> = indexes.map(|index| node_at(py, view, index as usize)).collect();
    PyTuple::new(py, records?)
}

/// The primary of a partition, or `None`.
pub(crate) fn primary_of<'py>(
    py: Python<'py>,
    view: &ClusterView,
    partition: &PartitionRef<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    match partition.primary_index() {
        Some(index) => node_at(py, view, index as usize),
        None => Ok(py.None().into_bound(py)),
    }
}

/// The name of a role, or `None`.
pub(crate) fn role_name(role: Option<Role>) -> Option<&'static str> {
    role.map(Role::as_str)
}

/// A key's route: (partition, epoch, role, primary, replicas, revision).
pub(crate) fn route<'py>(
    py: Python<'py>,
    view: &ClusterView,
    partition: &PartitionRef<'_>,
    role: Option<Role>,
) -> PyResult<Bound<'py, PyTuple>> {
    let primary = primary_of(py, view, partition)?;
    let replicas = nodes_at(py, view, partition.replica_indexes().iter().copied())?;
    let (number, epoch, revision) = (partition.number(), partition.epoch(), view.revision());
    (number, epoch, role_name(role), primary, replicas, revision).into_pyobject(py)
}

#[cold]
pub(crate) fn no_partitions() -> Error {
    Error::new(ErrorCode::NotFound, "there are no partitions yet")
}

/// The cluster at one revision.
#[pyclass(frozen, module = "clusterkit._clusterkit")]
pub(crate) struct ViewHandle(Arc<ClusterView>);

impl ViewHandle {
    pub(crate) fn new(view: Arc<ClusterView>) -> Self {
        ViewHandle(view)
    }

    /// The partition with this number.
    fn partition_ref(&self, py: Python<'_>, number: u32) -> PyResult<PartitionRef<'_>> {
        let found = self.0.partition_by_number(number).ok_or_else(|| {
            let message = match self.0.partition_count() {
                0 => "there are no partitions yet".to_owned(),
                count => format!("there is no partition {number}; there are {count}, from 0"),
            };
            Error::new(ErrorCode::NotFound, message)
        });
        front::answer(py, found)
    }
}

impl Deref for ViewHandle {
    type Target = ClusterView;

    fn deref(&self) -> &ClusterView {
        &self.0
    }
}

#[pymethods]
impl ViewHandle {
    #[pyo3(name = "revision")]
    fn py_revision(&self) -> u64 {
        self.revision()
    }

    #[pyo3(name = "my_node_id")]
    fn py_my_node_id(&self) -> &str {
        self.my_id()
    }

    #[pyo3(name = "nodes")]
    fn py_nodes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        // A cluster has no four billion nodes.
        nodes_at(py, self, 0..self.0.nodes().len() as u32)
    }

    #[pyo3(name = "node")]
    fn py_node<'py>(&self, py: Python<'py>, id: &str) -> PyResult<Bound<'py, PyAny>> {
        node_or_none(py, self, self.0.node(id))
    }

    #[pyo3(name = "my_node")]
    fn py_my_node<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        node_or_none(py, self, self.0.my_node())
    }

    #[pyo3(name = "leader")]
    fn py_leader<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        node_or_none(py, self, self.0.leader())
    }

    /// (leader epoch, leader term, elected at)
    fn leadership(&self) -> (u64, u64, u64) {
        let topology = self.topology();
        (
            topology.leader_epoch,
            topology.leader_term,
            topology.elected_at.as_millis(),
        )
    }

    fn config<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        plain(py, &self.topology().config)
    }

    fn maintenance<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        plain(py, &self.topology().maintenance)
    }

    fn lost_partitions(&self) -> Vec<u32> {
        self.topology().lost().collect()
    }

    #[pyo3(name = "partition_count")]
    fn py_partition_count(&self) -> u32 {
        self.partition_count()
    }

    #[pyo3(name = "partitions")]
    fn py_partitions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for partition in self.0.partitions() {
            list.append(plain(py, &partition.record())?)?;
        }
        Ok(list)
    }

    #[pyo3(name = "partition")]
    fn py_partition<'py>(&self, py: Python<'py>, number: u32) -> PyResult<Bound<'py, PyAny>> {
        plain(py, &self.partition_ref(py, number)?.record())
    }

    /// The number of the partition of a key; `None` before there are any.
    fn partition_number(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<u32>> {
        with_key(key, |key| {
            self.0.partition(key).map(|partition| partition.number())
        })
    }

    fn primary<'py>(&self, py: Python<'py>, number: u32) -> PyResult<Bound<'py, PyAny>> {
        primary_of(py, self, &self.partition_ref(py, number)?)
    }

    fn replicas<'py>(&self, py: Python<'py>, number: u32) -> PyResult<Bound<'py, PyTuple>> {
        let partition = self.partition_ref(py, number)?;
        nodes_at(py, self, partition.replica_indexes().iter().copied())
    }

    fn pending<'py>(&self, py: Python<'py>, number: u32) -> PyResult<Bound<'py, PyTuple>> {
        let partition = self.partition_ref(py, number)?;
        nodes_at(py, self, partition.pending_indexes().iter().copied())
    }

    fn role(&self, py: Python<'_>, number: u32) -> PyResult<Option<&'static str>> {
        Ok(role_name(self.partition_ref(py, number)?.role()))
    }

    fn role_for_key(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<&'static str>> {
        with_key(key, |key| role_name(self.0.should_handle_key(key)))
    }

    fn primary_for_key<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        with_key(key, |key| match self.0.partition(key) {
            Some(partition) => primary_of(py, self, &partition),
            None => Ok(py.None().into_bound(py)),
        })?
    }

    /// The nodes that hold a key: the primary first.
    fn nodes_for_key<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
        with_key(key, |key| match self.0.partition(key) {
            Some(partition) => {
                let primary = partition.primary_index().into_iter();
                nodes_at(
                    py,
                    self,
                    primary.chain(partition.replica_indexes().iter().copied()),
                )
            }
            None => Ok(PyTuple::empty(py)),
        })?
    }

    #[pyo3(name = "route")]
    fn py_route<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
        with_key(key, |key| {
            let partition = front::answer(py, self.0.partition(key).ok_or_else(no_partitions))?;
            route(py, self, &partition, partition.role())
        })?
    }

    /// The partitions of many keys, as the bytes of 32-bit numbers.
    fn partitions_for_keys<'py>(
        &self,
        py: Python<'py>,
        keys: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        match self.partition_count() {
            0 => Err(front::raised(py, &no_partitions())),
            count => many_keys::partitions(py, keys, count),
        }
    }

    /// (partitions that a node is primary of, partitions that it holds as a replica); `None` when it is no member.
    fn partitions_of(&self, id: &str) -> Option<(Vec<u32>, Vec<u32>)> {
        let held = self.partitions_for_node(id)?;
        Some((held.primary, held.replica))
    }

    #[pyo3(name = "partition_stats")]
    fn py_partition_stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        plain(py, &self.partition_stats())
    }

    #[pyo3(name = "cluster")]
    fn py_cluster<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        plain(py, &self.cluster(None))
    }

    fn json(&self, py: Python<'_>) -> PyResult<String> {
        json(py, &self.cluster(None))
    }
}

/// A record in its JSON form.
pub(crate) fn json(py: Python<'_>, record: &impl serde::Serialize) -> PyResult<String> {
    let text = serde_json::to_string(record)
        .map_err(|error| Error::new(ErrorCode::Internal, format!("it has no JSON form: {error}")));
    front::answer(py, text)
}

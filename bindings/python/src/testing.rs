//! Test clusters: real nodes in one process, without sockets and files.

use std::sync::Arc;
use std::time::Duration;

use clusterkit::hooks::on_hook_thread;
use clusterkit::testing::{DiskFault, LinkFaults, TestCluster};
use clusterkit::{ClusterKit, Error, ErrorCode, Result};
use parking_lot::Mutex;
use pyo3::prelude::*;

use crate::call::Call;
use crate::keys::{seconds, with_key};
use crate::node::NodeHandle;
use crate::options::OptionSet;
use crate::{forks, front, gate, live};

/// A test cluster.
pub(crate) struct TestShared {
    pub(crate) cluster: TestCluster,
}

/// Python's function that makes a node ready: called with (index, handle).
type Prepare = Option<Py<PyAny>>;

/// What `configure` or `prepare` raised first: it is what the call that makes a node raises.
type Raised = Arc<Mutex<Option<PyErr>>>;

/// A test cluster, by its native handle.
#[pyclass(frozen, weakref, module = "clusterkit._clusterkit")]
pub(crate) struct TestClusterHandle {
    shared: Option<Arc<TestShared>>,
    raised: Raised,
}

/// The error of a call that a function of Python's has refused.
fn refused() -> Error {
    Error::new(ErrorCode::Refused, "a function of the test refused the node")
}

fn index(py: Python<'_>, index: usize) -> PyResult<Py<PyAny>> {
    Ok(index.into_pyobject(py)?.into_any().unbind())
}

fn nothing(py: Python<'_>, (): ()) -> PyResult<Py<PyAny>> {
    Ok(py.None())
}

fn refuse_in_hook() -> Result<()> {
    if on_hook_thread() {
        return Err(Error::new(
            ErrorCode::InHook,
            "the call waits for hooks, so a hook cannot make it",
        ));
    }
    Ok(())
}

impl TestClusterHandle {
    fn shared(&self, py: Python<'_>) -> PyResult<&Arc<TestShared>> {
        match &self.shared {
            Some(shared) if !forks::forked() => Ok(shared),
            _ => Err(front::raised(
                py,
                &forks::refuse()
                    .err()
                    .unwrap_or_else(|| Error::new(ErrorCode::Stopped, "the test cluster is gone")),
            )),
        }
    }

    fn cluster(&self, py: Python<'_>) -> PyResult<&TestCluster> {
        Ok(&self.shared(py)?.cluster)
    }

    /// Begins a call that blocks. What a function of Python's raised meanwhile is what the call raises.
    fn begin<T: Send + 'static>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&TestCluster) -> Result<T> + Send + 'static,
        form: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> PyResult<Call> {
        front::answer(py, refuse_in_hook())?;
        let shared = Arc::clone(self.shared(py)?);
        Ok(begin(
            Arc::clone(&self.raised),
            move || work(&shared.cluster),
            form,
        ))
    }

    /// Does what does not wait long.
    fn at_once<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&TestCluster) -> Result<T> + Send,
    ) -> PyResult<T> {
        let cluster = self.cluster(py)?;
        let done = py.detach(|| work(cluster));
        front::answer(py, done)
    }
}

fn begin<T: Send + 'static>(
    raised: Raised,
    work: impl FnOnce() -> Result<T> + Send + 'static,
    form: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
) -> Call {
    let (call, teller) = Call::begin();
    let started = clusterkit::env::spawn_thread("ck-py-test", move || {
        let done = work();
        match raised.lock().take() {
            Some(raised) if done.is_err() => teller.tell(Ok(()), move |_, ()| Err(raised)),
            _ => teller.tell(done, form),
        }
    });
    match started {
        Ok(_) => call,
        Err(error) => Call::failed(Error::new(ErrorCode::Io, format!("start a thread: {error}"))),
    }
}

/// Keeps the first exception, and says that there is one.
fn keep(raised: &Raised, error: PyErr) -> Error {
    raised.lock().get_or_insert(error);
    refused()
}

fn prepared(prepare: &Prepare, raised: &Raised, index: usize, kit: &ClusterKit) -> Result<()> {
    let Some(prepare) = prepare else {
        return Ok(());
    };
    let handle = NodeHandle::of(kit.clone());
    gate::attach(|py| prepare.bind(py).call1((index, handle)).map(drop))
        .unwrap_or(Ok(()))
        .map_err(|error| keep(raised, error))
}

impl Drop for TestClusterHandle {
    fn drop(&mut self) {
        let Some(shared) = self.shared.take() else {
            return;
        };
        if forks::forked() {
            // Leaks on purpose: its threads are not here.
            std::mem::forget(shared);
            return;
        }
        let mut shared = Some(shared);
        Python::try_attach(|py| py.detach(|| drop(shared.take())));
    }
}

/// Starts a test cluster. `configure` and `prepare` are called with (index, option set) and (index, node handle) for each node.
#[pyfunction]
pub(crate) fn start_test_cluster(
    py: Python<'_>,
    nodes: usize,
    seed: u64,
    manual_clock: bool,
    configure: Py<PyAny>,
    prepare: Prepare,
) -> PyResult<Call> {
    front::answer(
        py,
        forks::refuse()
            .and_then(|()| forks::watch())
            .and_then(|()| refuse_in_hook()),
    )?;
    let raised = Raised::default();
    let (configuring, preparing) = (Arc::clone(&raised), Arc::clone(&raised));
    let builder = TestCluster::builder()
        .nodes(nodes)
        .seed(seed)
        .manual_clock(manual_clock)
        .options(move |index, options| {
            let configured = gate::attach(|py| {
                let set = Bound::new(py, OptionSet::of(options.clone()))?;
                configure.bind(py).call1((index, &set))?;
                *options = set.get().read();
                Ok(())
            });
            if let Some(Err(error)) = configured {
                keep(&configuring, error);
            }
        })
        .prepare(move |index, kit| {
            // What `configure` raised.
            if preparing.lock().is_some() {
                return Err(refused());
            }
            prepared(&prepare, &preparing, index, kit)
        });
    let keeping = Arc::clone(&raised);
    let start = move || builder.start();
    Ok(begin(raised, start, move |py, cluster| {
        let shared = Arc::new(TestShared { cluster });
        live::remember_test(&shared);
        let handle = TestClusterHandle {
            shared: Some(shared),
            raised: keeping,
        };
        Ok(Bound::new(py, handle)?.into_any().unbind())
    }))
}

#[pymethods]
impl TestClusterHandle {
    fn close(&self, py: Python<'_>) -> PyResult<Call> {
        self.begin(py, TestCluster::close, nothing)
    }

    fn node_count(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.cluster(py)?.node_count())
    }

    fn node(&self, py: Python<'_>, index: usize) -> PyResult<NodeHandle> {
        Ok(NodeHandle::of(self.at_once(py, |cluster| cluster.node(index))?))
    }

    fn index_of(&self, py: Python<'_>, id: &str) -> PyResult<Option<usize>> {
        Ok(self.cluster(py)?.index_of(id))
    }

    fn is_running(&self, py: Python<'_>, index: usize) -> PyResult<bool> {
        Ok(self.cluster(py)?.is_running(index))
    }

    fn is_paused(&self, py: Python<'_>, index: usize) -> PyResult<bool> {
        Ok(self.cluster(py)?.is_paused(index))
    }

    // ---- processes ----

    fn add_node(&self, py: Python<'_>) -> PyResult<Call> {
        self.begin(py, TestCluster::add_node, index)
    }

    fn create_node(&self, py: Python<'_>) -> PyResult<Call> {
        self.begin(py, TestCluster::create_node, index)
    }

    fn stop(&self, py: Python<'_>, index: usize) -> PyResult<Call> {
        self.begin(py, move |cluster| cluster.stop(index), nothing)
    }

    fn kill(&self, py: Python<'_>, index: usize) -> PyResult<Call> {
        self.begin(py, move |cluster| cluster.kill(index), nothing)
    }

    fn restart(&self, py: Python<'_>, index: usize) -> PyResult<Call> {
        self.begin(py, move |cluster| cluster.restart(index).map(drop), nothing)
    }

    fn recreate(&self, py: Python<'_>, index: usize) -> PyResult<Call> {
        self.begin(py, move |cluster| cluster.recreate(index).map(drop), nothing)
    }

    fn wipe(&self, py: Python<'_>, index: usize) -> PyResult<Call> {
        self.begin(py, move |cluster| cluster.wipe(index), nothing)
    }

    // ---- faults ----

    fn pause(&self, py: Python<'_>, index: usize) -> PyResult<()> {
        self.at_once(py, |cluster| cluster.pause(index))
    }

    fn resume(&self, py: Python<'_>, index: usize) -> PyResult<()> {
        self.at_once(py, |cluster| cluster.resume(index))
    }

    fn cut(&self, py: Python<'_>, one: usize, other: usize) -> PyResult<()> {
        self.at_once(py, |cluster| cluster.cut(one, other))
    }

    fn cut_one_way(&self, py: Python<'_>, from_: usize, to: usize) -> PyResult<()> {
        self.at_once(py, |cluster| cluster.cut_one_way(from_, to))
    }

    fn restore(&self, py: Python<'_>, one: usize, other: usize) -> PyResult<()> {
        self.at_once(py, |cluster| cluster.restore(one, other))
    }

    fn isolate(&self, py: Python<'_>, index: usize) -> PyResult<()> {
        self.at_once(py, |cluster| cluster.isolate(index))
    }

    fn split(&self, py: Python<'_>, one_side: Vec<usize>) -> PyResult<()> {
        self.at_once(py, |cluster| cluster.split(&one_side))
    }

    fn heal(&self, py: Python<'_>) -> PyResult<()> {
        self.at_once(py, |cluster| {
            cluster.heal();
            Ok(())
        })
    }

    fn set_link(&self, py: Python<'_>, from_: usize, to: usize, delay: f64, loss: f64) -> PyResult<()> {
        let mut faults = LinkFaults::delay(seconds(py, delay)?);
        faults.loss = loss;
        self.at_once(py, |cluster| cluster.set_link(from_, to, faults))
    }

    fn fail_disk(&self, py: Python<'_>, index: usize, fault: &str) -> PyResult<()> {
        let fault = match fault {
            "full" => DiskFault::Full,
            "read_only" => DiskFault::ReadOnly,
            "sync_fails" => DiskFault::SyncFails,
            "hangs" => DiskFault::Hangs,
            other => {
                let message = format!("a disk is full, read_only, sync_fails or hangs, not {other:?}");
                return Err(front::raised(
                    py,
                    &Error::new(ErrorCode::InvalidArgument, message),
                ));
            }
        };
        self.at_once(py, |cluster| cluster.fail_disk(index, fault))
    }

    fn mend_disk(&self, py: Python<'_>, index: usize) -> PyResult<()> {
        self.at_once(py, |cluster| cluster.mend_disk(index))
    }

    // ---- the clock, and waiting ----

    fn advance(&self, py: Python<'_>, time: f64) -> PyResult<Call> {
        let time = seconds(py, time)?;
        self.begin(py, move |cluster| cluster.advance(time), nothing)
    }

    fn now(&self, py: Python<'_>) -> PyResult<f64> {
        Ok(self.cluster(py)?.now().as_secs_f64())
    }

    fn leader(&self, py: Python<'_>) -> PyResult<Option<usize>> {
        let cluster = self.cluster(py)?;
        Ok(py.detach(|| cluster.leader()))
    }

    fn primary_of(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
        let cluster = self.cluster(py)?;
        with_key(key, |key| cluster.primary_of(key))
    }

    fn wait_for_leader(&self, py: Python<'_>, timeout: f64) -> PyResult<Call> {
        self.wait(
            py,
            timeout,
            |cluster, timeout| cluster.wait_for_leader(timeout),
            index,
        )
    }

    fn wait_for_primaries(&self, py: Python<'_>, timeout: f64) -> PyResult<Call> {
        self.wait(py, timeout, TestCluster::wait_for_primaries, nothing)
    }

    fn wait_settled(&self, py: Python<'_>, timeout: f64) -> PyResult<Call> {
        self.wait(py, timeout, TestCluster::wait_settled, nothing)
    }

    /// What `condition` raises ends the wait, and is what the call raises.
    fn wait_until(&self, py: Python<'_>, what: String, timeout: f64, condition: Py<PyAny>) -> PyResult<Call> {
        let raised = Arc::clone(&self.raised);
        let work = move |cluster: &TestCluster, timeout: Duration| {
            cluster.wait_until(&what, timeout, || {
                let looked = gate::attach(|py| condition.bind(py).call0()?.is_truthy());
                looked.unwrap_or(Ok(true)).unwrap_or_else(|error| {
                    keep(&raised, error);
                    true
                })
            })?;
            if raised.lock().is_some() {
                Err(refused())
            } else {
                Ok(())
            }
        };
        self.wait(py, timeout, work, nothing)
    }
}

impl TestClusterHandle {
    fn wait<T: Send + 'static>(
        &self,
        py: Python<'_>,
        timeout: f64,
        work: impl FnOnce(&TestCluster, Duration) -> Result<T> + Send + 'static,
        form: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> PyResult<Call> {
        let timeout = seconds(py, timeout)?;
        self.begin(py, move |cluster| work(cluster, timeout), form)
    }
}

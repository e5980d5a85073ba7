//! A node of a cluster: its life, and what it answers at once.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use clusterkit::hooks::HookId;
use clusterkit::model::NodeHealthState;
use clusterkit::{AsyncClusterKit, ClusterKit, Error, ErrorCode, Result};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

use crate::call::Call;
use crate::events::EventQueue;
use crate::inbox::Inbox;
use crate::keys::{seconds, with_key};
use crate::observer::{self, Observer};
use crate::options::OptionSet;
use crate::plain::plain;
use crate::view::{self, ViewHandle, json, no_partitions, role_name};
use crate::{forks, front, hook, live, log};

/// How long a stop waits for observers, as the core does for other hooks.
const OBSERVER_TIMEOUT: Duration = Duration::from_secs(5);

/// A node, and what this module keeps of it.
pub(crate) struct NodeShared {
    pub(crate) kit: AsyncClusterKit,
    observers: Mutex<Vec<Weak<Observer>>>,
}

impl NodeShared {
    /// Names the node to its observers' threads.
    fn key(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// True inside a hook of this node.
    fn in_hook(&self) -> bool {
        self.kit.in_hook() || observer::is_inside(self.key())
    }

    /// # Errors
    /// IN_HOOK where the call would wait for the hook that makes it.
    pub(crate) fn refuse_in_hook(&self, what: &str) -> Result<()> {
        if self.in_hook() {
            let message = format!("{what} waits for hooks to return, so a hook cannot call it");
            return Err(Error::new(ErrorCode::InHook, message));
        }
        Ok(())
    }

    fn observers(&self) -> Vec<Arc<Observer>> {
        self.observers.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Closes the node, and waits until nothing of it is called any more.
    pub(crate) fn close(&self) -> Result<()> {
        let closed = self.kit.clone().into_blocking().close();
        let deadline = Instant::now() + OBSERVER_TIMEOUT;
        for observer in self.observers() {
            observer.join(deadline);
        }
        closed
    }
}

impl Drop for NodeShared {
    fn drop(&mut self) {
        if forks::forked() {
            // Its threads are not here: it leaks, on purpose.
            std::mem::forget(self.kit.clone());
        }
    }
}

/// A node of a cluster, embedded in this process.
#[pyclass(frozen, weakref, module = "clusterkit._clusterkit")]
pub(crate) struct NodeHandle(Option<Arc<NodeShared>>);

impl NodeHandle {
    pub(crate) fn of(kit: ClusterKit) -> Self {
        NodeHandle(Some(Arc::new(NodeShared {
            kit: kit.into_async(),
            observers: Mutex::default(),
        })))
    }

    /// The node.
    ///
    /// # Errors
    /// FORKED in a forked child.
    #[inline]
    pub(crate) fn shared(&self, py: Python<'_>) -> PyResult<&Arc<NodeShared>> {
        match &self.0 {
            Some(shared) if !forks::forked() => Ok(shared),
            _ => Err(front::raised(
                py,
                &forks::refuse()
                    .err()
                    .unwrap_or_else(|| Error::new(ErrorCode::Stopped, "the node is gone")),
            )),
        }
    }

    #[inline]
    pub(crate) fn kit(&self, py: Python<'_>) -> PyResult<&AsyncClusterKit> {
        Ok(&self.shared(py)?.kit)
    }

    /// The node, for calls that a node that was never started has no answer to.
    pub(crate) fn started(&self, py: Python<'_>) -> PyResult<&AsyncClusterKit> {
        let kit = self.kit(py)?;
        if !kit.was_started() {
            let error = Error::new(
                ErrorCode::NotStarted,
                "the node was not started: start() comes first",
            );
            return Err(front::raised(py, &error));
        }
        Ok(kit)
    }

    /// Why there is no partition for a key.
    fn no_partitions(&self, py: Python<'_>) -> PyErr {
        match self.started(py) {
            Err(not_started) => not_started,
            Ok(_) => front::raised(py, &no_partitions()),
        }
    }
}

impl Drop for NodeHandle {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else {
            return;
        };
        if forks::forked() {
            // Leaks on purpose: its threads are not here.
            std::mem::forget(shared);
            return;
        }
        // The last share may wait for threads, which may wait for the interpreter.
        let mut shared = Some(shared);
        Python::try_attach(|py| py.detach(|| drop(shared.take())));
    }
}

#[pymethods]
impl NodeHandle {
    #[new]
    fn new(py: Python<'_>, options: &OptionSet) -> PyResult<Self> {
        let options = options.read();
        let made = py.detach(|| {
            forks::refuse()?;
            forks::watch()?;
            ClusterKit::new(options)
        });
        let handle = NodeHandle::of(front::answer(py, made)?);
        live::remember_node(handle.shared(py)?);
        Ok(handle)
    }

    // ---- life ----

    fn start(&self, py: Python<'_>) -> PyResult<Call> {
        let shared = self.shared(py)?;
        front::answer(py, shared.refuse_in_hook("start"))?;
        self.begin(py, |kit| async move { kit.start().await }, |py, ()| Ok(py.None()))
    }

    /// Stops in an orderly way, and waits for observers.
    fn stop(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Call> {
        let shared = self.shared(py)?;
        front::answer(py, shared.refuse_in_hook("stop"))?;
        let timeout = timeout.map(|timeout| seconds(py, timeout)).transpose()?;
        let shared = Arc::clone(shared);
        Ok(Call::on_thread(
            "ck-py-stop",
            move || {
                let kit = shared.kit.clone().into_blocking();
                let stopped = match timeout {
                    Some(timeout) => kit.stop_within(timeout),
                    None => kit.stop(),
                };
                let deadline = Instant::now() + timeout.unwrap_or(OBSERVER_TIMEOUT);
                let joined = shared.observers().iter().all(|observer| observer.join(deadline));
                stopped.and(if joined {
                    Ok(())
                } else {
                    Err(Error::new(
                        ErrorCode::Timeout,
                        "a hook that observes has not returned",
                    ))
                })
            },
            |py, ()| Ok(py.None()),
        ))
    }

    fn leave(&self, py: Python<'_>, timeout: f64) -> PyResult<Call> {
        front::answer(py, self.shared(py)?.refuse_in_hook("leave"))?;
        let timeout = seconds(py, timeout)?;
        self.started(py)?;
        self.begin(
            py,
            move |kit| async move { kit.leave(timeout).await },
            |py, ()| Ok(py.None()),
        )
    }

    /// Closes without telling the other nodes. Inside a hook of the node it does not wait for that.
    fn close(&self, py: Python<'_>) -> PyResult<Call> {
        let shared = self.shared(py)?;
        let in_hook = shared.in_hook();
        let shared = Arc::clone(shared);
        let closing = Call::on_thread("ck-py-close", move || shared.close(), |py, ()| Ok(py.None()));
        if in_hook {
            let (call, teller) = Call::begin();
            teller.tell(Ok(()), |py, ()| Ok(py.None()));
            return Ok(call);
        }
        Ok(closing)
    }

    fn was_started(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.kit(py)?.was_started())
    }

    fn has_stopped(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.kit(py)?.has_stopped())
    }

    fn http_addr(&self, py: Python<'_>) -> PyResult<Option<String>> {
        Ok(self.kit(py)?.http_addr())
    }

    fn my_node_id(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.kit(py)?.my_node_id().to_string())
    }

    fn waiting_for(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let waiting = self.kit(py)?.waiting_for();
        front::answer(py, waiting)
    }

    fn set_log(&self, py: Python<'_>, function: Option<Py<PyAny>>) -> PyResult<()> {
        self.kit(py)?.on_log(function.map(log::callback));
        Ok(())
    }

    // ---- what this node may do at this moment ----

    fn partition_number(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<Option<u32>> {
        let kit = self.kit(py)?;
        with_key(key, |key| kit.partition_number(key))
    }

    fn is_primary(&self, py: Python<'_>, number: u32) -> PyResult<bool> {
        Ok(self.kit(py)?.is_primary(number))
    }

    fn is_primary_for_key(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let kit = self.kit(py)?;
        with_key(key, |key| kit.is_primary_for_key(key))
    }

    fn role(&self, py: Python<'_>, number: u32) -> PyResult<Option<&'static str>> {
        Ok(role_name(self.kit(py)?.role(number)))
    }

    fn role_for_key(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<Option<&'static str>> {
        let kit = self.kit(py)?;
        with_key(key, |key| role_name(kit.should_handle_key(key)))
    }

    fn primary_epoch(&self, py: Python<'_>, number: u32) -> PyResult<u64> {
        let epoch = self.kit(py)?.primary_epoch(number);
        front::answer(py, epoch)
    }

    fn is_leased(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.kit(py)?.is_leased())
    }

    fn is_leader(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.kit(py)?.is_leader())
    }

    fn leader_epoch(&self, py: Python<'_>) -> PyResult<u64> {
        let epoch = self.kit(py)?.leader_epoch();
        front::answer(py, epoch)
    }

    /// All about a key from one view, and this node's role under its lease.
    fn lookup<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
        let leased = self.kit(py)?.leased_view();
        with_key(key, |key| {
            let partition = leased
                .view()
                .partition(key)
                .ok_or_else(|| self.no_partitions(py))?;
            view::route(py, leased.view(), &partition, leased.role(&partition))
        })?
    }

    /// The member that takes the writes of a key, or `None`.
    fn primary_for_key<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let view = self.kit(py)?.view();
        with_key(key, |key| match view.partition(key) {
            Some(partition) => view::primary_of(py, &view, &partition),
            None => Ok(py.None().into_bound(py)),
        })?
    }

    fn view(&self, py: Python<'_>) -> PyResult<ViewHandle> {
        Ok(ViewHandle::new(self.kit(py)?.view().into_owned()))
    }

    // ---- what it knows ----

    fn leader<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        plain(py, &self.kit(py)?.leader())
    }

    fn consensus_stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        plain(py, &self.kit(py)?.consensus_stats())
    }

    fn metrics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        plain(py, &self.kit(py)?.metrics())
    }

    fn health_check<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        plain(py, &self.kit(py)?.health_check())
    }

    fn node_health<'py>(&self, py: Python<'py>, id: &str) -> PyResult<Bound<'py, PyAny>> {
        let health = self.kit(py)?.node_health(id);
        plain(py, &front::answer(py, health)?)
    }

    fn report_health(&self, py: Python<'_>, health: &str, reason: &str) -> PyResult<()> {
        let state = match health {
            "healthy" => NodeHealthState::Healthy,
            "degraded" => NodeHealthState::Degraded,
            "failing" => NodeHealthState::Failing,
            other => {
                let message = format!("health is healthy, degraded or failing, not {other:?}");
                return Err(front::raised(
                    py,
                    &Error::new(ErrorCode::InvalidArgument, message),
                ));
            }
        };
        self.kit(py)?.report_health(state, reason);
        Ok(())
    }

    fn cluster<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        plain(py, &self.kit(py)?.cluster())
    }

    fn cluster_json(&self, py: Python<'_>) -> PyResult<String> {
        json(py, &self.kit(py)?.cluster())
    }

    /// (value, revision) of a key, or `None`.
    fn get_data<'py>(&self, py: Python<'py>, key: &str) -> PyResult<Option<(Bound<'py, PyBytes>, u64)>> {
        let entry = self.started(py)?.custom_data(key);
        Ok(entry.map(|entry| (PyBytes::new(py, &entry.value), entry.revision)))
    }

    fn data_keys(
        &self,
        py: Python<'_>,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> PyResult<Vec<String>> {
        Ok(self.started(py)?.list_custom_data_keys(prefix, after, limit))
    }

    // ---- hooks ----

    /// Adds a hook: `function` is a weak reference. With an inbox it runs on that loop.
    fn add_hook(
        &self,
        py: Python<'_>,
        events: Vec<String>,
        function: Py<PyAny>,
        inbox: Option<&Inbox>,
    ) -> PyResult<u64> {
        let kit = self.kit(py)?;
        let filter = front::answer(py, hook::filter_of(&events))?;
        let function = Arc::new(function);
        let hook = match inbox {
            Some(inbox) => hook::on_loop(function, Arc::clone(inbox.shared())),
            None => hook::blocking(function),
        };
        let added = py.detach(|| kit.try_register_hook(filter, hook));
        front::answer(py, added.map(|id| id.0).map_err(|rejected| rejected.into_error()))
    }

    /// Adds a hook that observes, on a thread of its own or on a loop.
    fn add_observer(&self, py: Python<'_>, function: Py<PyAny>, inbox: Option<&Inbox>) -> PyResult<u64> {
        let shared = self.shared(py)?;
        let function = Arc::new(function);
        let hook = match inbox {
            Some(inbox) => hook::on_loop(function, Arc::clone(inbox.shared())),
            None => {
                let (hook, observer) = front::answer(py, Observer::start(function, shared.key()))?;
                let mut observers = shared.observers.lock();
                observers.retain(|observer| observer.strong_count() > 0);
                observers.push(Arc::downgrade(&observer));
                hook
            }
        };
        let added = py.detach(|| shared.kit.try_observe(hook));
        front::answer(py, added.map(|id| id.0).map_err(|rejected| rejected.into_error()))
    }

    /// Removes a hook, and waits until no call of it runs.
    fn remove_hook(&self, py: Python<'_>, id: u64, timeout: f64) -> PyResult<Call> {
        let shared = self.shared(py)?;
        let timeout = seconds(py, timeout)?;
        let in_hook = shared.in_hook();
        let kit = shared.kit.clone();
        let remove = move || kit.remove_hook_within(HookId(id), timeout);
        if in_hook {
            // It waits for nothing there, which the core knows by the thread.
            let removed = py.detach(remove);
            let (call, teller) = Call::begin();
            teller.tell(removed, |py, ()| Ok(py.None()));
            return Ok(call);
        }
        Ok(Call::on_thread("ck-py-remove", remove, |py, ()| Ok(py.None())))
    }

    fn hook_stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for stats in self.kit(py)?.hook_stats() {
            let dict = PyDict::new(py);
            dict.set_item("id", stats.hook.0)?;
            dict.set_item("events", hook::names_of(stats.filter))?;
            dict.set_item("calls", stats.calls)?;
            dict.set_item("failures", stats.failures)?;
            dict.set_item("panics", stats.panics)?;
            dict.set_item("retries", stats.retries)?;
            dict.set_item("coalesced", stats.coalesced)?;
            dict.set_item("queued", stats.queued)?;
            dict.set_item("running", stats.running)?;
            list.append(dict)?;
        }
        Ok(list)
    }

    fn events(&self, py: Python<'_>, events: Vec<String>) -> PyResult<EventQueue> {
        let kit = self.kit(py)?;
        let filter = front::answer(py, hook::filter_of(&events))?;
        front::answer(py, EventQueue::open(kit, filter))
    }
}

//! The smart client.

use std::sync::Arc;
use std::time::Duration;

use clusterkit::{AsyncClient, Client, Error, ErrorCode, Result};
use pyo3::prelude::*;

use crate::call::Call;
use crate::keys::seconds;
use crate::options::ClientOptionSet;
use crate::plain::plain;
use crate::view::ViewHandle;
use crate::{forks, front, gate, live, log};

/// A program's view of a cluster that it is no member of.
#[pyclass(frozen, weakref, module = "clusterkit._clusterkit")]
pub(crate) struct ClientHandle(Option<Arc<Client>>);

impl ClientHandle {
    #[inline]
    fn client(&self, py: Python<'_>) -> PyResult<&Arc<Client>> {
        match &self.0 {
            Some(client) if !forks::forked() => Ok(client),
            _ => Err(front::raised(
                py,
                &forks::refuse()
                    .err()
                    .unwrap_or_else(|| Error::new(ErrorCode::Stopped, "the client is gone")),
            )),
        }
    }

    fn begin<T, F>(
        &self,
        py: Python<'_>,
        timeout: f64,
        call: impl FnOnce(AsyncClient, Duration) -> F,
        form: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> PyResult<Call>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let timeout = seconds(py, timeout)?;
        let client = self.client(py)?;
        let (begun, teller) = Call::begin();
        let future = call(Client::clone(client).into_async(), timeout);
        client.spawn(Box::pin(async move { teller.tell(future.await, form) }));
        Ok(begun)
    }
}

fn number(py: Python<'_>, number: u64) -> PyResult<Py<PyAny>> {
    Ok(number.into_pyobject(py)?.into_any().unbind())
}

impl Drop for ClientHandle {
    fn drop(&mut self) {
        let Some(client) = self.0.take() else {
            return;
        };
        if forks::forked() {
            // Leaks on purpose: its threads are not here.
            std::mem::forget(client);
            return;
        }
        let mut client = Some(client);
        Python::try_attach(|py| py.detach(|| drop(client.take())));
    }
}

#[pymethods]
impl ClientHandle {
    #[new]
    fn new(py: Python<'_>, options: &ClientOptionSet) -> PyResult<Self> {
        let options = options.read();
        let made = py.detach(|| {
            forks::refuse()?;
            forks::watch()?;
            Client::new(options)
        });
        let client = Arc::new(front::answer(py, made)?);
        live::remember_client(&client);
        Ok(ClientHandle(Some(client)))
    }

    fn close(&self, py: Python<'_>) -> PyResult<Call> {
        let client = Arc::clone(self.client(py)?);
        Ok(Call::on_thread(
            "ck-py-close",
            move || client.close(),
            |py, ()| Ok(py.None()),
        ))
    }

    fn view(&self, py: Python<'_>) -> PyResult<ViewHandle> {
        Ok(ViewHandle::new(self.client(py)?.view().into_owned()))
    }

    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        plain(py, &self.client(py)?.status())
    }

    fn wait_ready(&self, py: Python<'_>, timeout: f64) -> PyResult<Call> {
        let call = |client: AsyncClient, timeout| async move { client.wait_ready(timeout).await };
        self.begin(py, timeout, call, number)
    }

    fn wait_for_change(&self, py: Python<'_>, revision: u64, timeout: f64) -> PyResult<Call> {
        let call = move |client: AsyncClient, timeout| async move {
            client.wait_for_change(revision, timeout).await
        };
        self.begin(py, timeout, call, number)
    }

    fn wait_for_revision(&self, py: Python<'_>, revision: u64, timeout: f64) -> PyResult<Call> {
        let call = move |client: AsyncClient, timeout| async move {
            client.wait_for_revision(revision, timeout).await
        };
        self.begin(py, timeout, call, |py, ()| Ok(py.None()))
    }

    fn refresh(&self, py: Python<'_>, timeout: f64) -> PyResult<Call> {
        let call = |client: AsyncClient, timeout| async move { client.refresh(timeout).await };
        self.begin(py, timeout, call, number)
    }

    fn read_barrier(&self, py: Python<'_>, timeout: f64) -> PyResult<Call> {
        let call = |client: AsyncClient, timeout| async move { client.read_barrier(timeout).await };
        self.begin(py, timeout, call, number)
    }

    /// Has `function`, a weak reference, called with each new view, the present one first.
    fn on_change(&self, py: Python<'_>, function: Option<Py<PyAny>>) -> PyResult<()> {
        let client = self.client(py)?;
        let callback = function.map(|function| -> clusterkit::ChangeCallback {
            Arc::new(move |view| {
                gate::attach(|py| {
                    let called = function.bind(py).call0().and_then(|function| {
                        if function.is_none() {
                            return Ok(());
                        }
                        function.call1((ViewHandle::new(Arc::clone(view)),)).map(drop)
                    });
                    if let Err(raised) = called {
                        raised.write_unraisable(py, None);
                    }
                });
            })
        });
        let set = py.detach(|| client.on_change(callback));
        front::answer(py, set)
    }

    fn set_log(&self, py: Python<'_>, function: Option<Py<PyAny>>) -> PyResult<()> {
        self.client(py)?.on_log(function.map(log::callback));
        Ok(())
    }
}

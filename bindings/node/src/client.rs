//! The smart client: it follows a cluster without being a member.

use std::sync::Arc;

use clusterkit::{AsyncClient, Client, Result};
use napi::Env;
use napi::bindgen_prelude::{BigInt, Function, Object};
use napi_derive::napi;

use crate::calls::{CallId, Calls};
use crate::error::{self as js, thrown};
use crate::json::json;
use crate::log;
use crate::lookup::client_lookups;
use crate::mailbox::Mailbox;
use crate::node::{exact, millis, revision};
use crate::options::NativeClientOptions;
use crate::slot::Slot;
use crate::view::NativeView;

/// A client, for the front's class `Client`.
#[napi]
pub struct NativeClient {
    slot: Slot<Client>,
    mailbox: Arc<Mailbox>,
    calls: Calls,
}

impl NativeClient {
    fn begin<T, F>(
        &self,
        id: CallId,
        call: impl FnOnce(AsyncClient) -> F,
        answer: impl FnOnce(T) -> String + Send + 'static,
    ) -> js::Result<()>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let client = self.slot.get()?;
        let call = call(client.clone().into_async());
        let call = Box::pin(async move { call.await.map(answer) });
        self.calls.begin(id, |future| client.spawn(future), call);
        Ok(())
    }
}

impl Drop for NativeClient {
    /// The object was collected, or its environment ends. The client ends with its last handle, in the background.
    fn drop(&mut self) {
        self.mailbox.close();
        self.calls.abandon_all();
        self.slot.ask(|client| client.on_log(None));
        self.slot.empty();
    }
}

#[napi]
impl NativeClient {
    #[napi(constructor, catch_unwind)]
    pub fn new(options: &NativeClientOptions, wake: Function<'_, (), ()>) -> js::Result<Self> {
        let client = Client::new(options.options()).map_err(|error| thrown(&error))?;
        let mailbox = Arc::new(Mailbox::new(&wake)?);
        Ok(NativeClient {
            slot: Slot::new(client),
            calls: Calls::new(mailbox.clone()),
            mailbox,
        })
    }

    /// The messages that wait, as JSON.
    #[napi(catch_unwind)]
    pub fn drain(&self) -> String {
        self.mailbox.drain()
    }

    /// Makes the handle keep the process alive, or not.
    #[napi(catch_unwind)]
    pub fn hold_process(&self, env: Env, hold: bool) {
        self.mailbox.hold_process(env, hold);
    }

    /// Stops waiting for a call.
    #[napi(catch_unwind)]
    pub fn abandon_call(&self, id: CallId) {
        self.calls.abandon(id);
    }

    /// Sends messages for people to the mailbox, or ends that.
    #[napi(catch_unwind)]
    pub fn set_log(&self, enabled: bool) {
        let callback = enabled.then(|| log::callback(self.mailbox.clone()));
        self.slot.ask(|client| client.on_log(callback));
    }

    /// An object with the functions that are called often.
    #[napi(catch_unwind)]
    pub fn functions<'env>(&self, env: &'env Env) -> js::Result<Object<'env>> {
        client_lookups(env, &self.slot)
    }

    /// The present view.
    #[napi(catch_unwind)]
    pub fn view(&self) -> js::Result<NativeView> {
        Ok(NativeView::new(self.slot.get()?.view().into_owned()))
    }

    /// How the client is connected, as JSON.
    #[napi(catch_unwind)]
    pub fn status(&self) -> js::Result<String> {
        Ok(json(&self.slot.get()?.status()))
    }

    #[napi(catch_unwind)]
    pub fn wait_ready(&self, id: CallId, timeout: f64) -> js::Result<()> {
        self.begin(
            id,
            move |client| async move { client.wait_ready(millis(timeout)).await },
            revision,
        )
    }

    #[napi(catch_unwind)]
    pub fn wait_for_change(&self, id: CallId, known: BigInt, timeout: f64) -> js::Result<()> {
        let known = exact(&known, "revision")?;
        self.begin(
            id,
            move |client| async move { client.wait_for_change(known, millis(timeout)).await },
            revision,
        )
    }

    #[napi(catch_unwind)]
    pub fn wait_for_revision(&self, id: CallId, wanted: BigInt, timeout: f64) -> js::Result<()> {
        let wanted = exact(&wanted, "revision")?;
        self.begin(
            id,
            move |client| async move { client.wait_for_revision(wanted, millis(timeout)).await },
            |()| "null".to_owned(),
        )
    }

    #[napi(catch_unwind)]
    pub fn refresh(&self, id: CallId, timeout: f64) -> js::Result<()> {
        self.begin(
            id,
            move |client| async move { client.refresh(millis(timeout)).await },
            revision,
        )
    }

    #[napi(catch_unwind)]
    pub fn read_barrier(&self, id: CallId, timeout: f64) -> js::Result<()> {
        self.begin(
            id,
            move |client| async move { client.read_barrier(millis(timeout)).await },
            revision,
        )
    }

    #[napi(catch_unwind)]
    pub fn close(&self, id: CallId) -> js::Result<()> {
        self.begin(
            id,
            |client| async move { client.close().await },
            |()| "null".to_owned(),
        )
    }
}

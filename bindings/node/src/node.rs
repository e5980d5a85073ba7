//! A node: its life, its hooks, and the calls that manage a cluster. Every call that waits is told its outcome through the
//! mailbox, by the number that JavaScript gives it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use clusterkit::hooks::HookId;
use clusterkit::model::NodeHealthState;
use clusterkit::{AsyncClusterKit, ClusterKit, Error, ErrorCode, Result};
use napi::Env;
use napi::bindgen_prelude::{BigInt, Function};
use napi_derive::napi;

use crate::calls::{CallId, Calls};
use crate::error::{self as js, invalid, thrown};
use crate::hooks::{OpenHookCalls, filter_of, hook};
use crate::json::json;
use crate::log;
use crate::mailbox::Mailbox;
use crate::options::NativeOptions;
use crate::queue::{EventQueue, QueueOrder};
use crate::slot::Slot;
use crate::view::NativeView;

/// A node of a cluster, for the front's class `ClusterKit`.
#[napi]
pub struct NativeNode {
    pub(crate) slot: Slot<ClusterKit>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) calls: Calls,
    open: OpenHookCalls,
    queues: RefCell<HashMap<u32, EventQueue>>,
}

/// A duration in milliseconds, as the front passes it.
pub(crate) fn millis(milliseconds: f64) -> Duration {
    // More than fits is for ever, and what is no number, or below zero, takes no time.
    Duration::try_from_secs_f64(milliseconds / 1000.0).unwrap_or(if milliseconds > 0.0 {
        Duration::MAX / 4
    } else {
        Duration::ZERO
    })
}

/// The number in a `bigint`.
pub(crate) fn exact(number: &BigInt, what: &str) -> js::Result<u64> {
    match number.get_u64() {
        (false, value, true) => Ok(value),
        _ => Err(invalid(format!("{what} is a number from 0 to 2**64 - 1"))),
    }
}

impl NativeNode {
    /// The native part of a handle on `node`, whose mailbox `wake` drains.
    pub(crate) fn on(node: ClusterKit, wake: &Function<'_, (), ()>) -> js::Result<Self> {
        let mailbox = Arc::new(Mailbox::new(wake)?);
        Ok(NativeNode {
            slot: Slot::new(node),
            calls: Calls::new(mailbox.clone()),
            mailbox,
            open: OpenHookCalls::default(),
            queues: RefCell::default(),
        })
    }

    /// Begins a call of the node's that waits.
    pub(crate) fn begin<T, F>(
        &self,
        id: CallId,
        call: impl FnOnce(AsyncClusterKit) -> F,
        answer: impl FnOnce(T) -> String + Send + 'static,
    ) -> js::Result<()>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let node = self.slot.get()?;
        let call = call(node.clone().into_async());
        let call = Box::pin(async move { call.await.map(answer) });
        self.calls.begin(id, |future| node.spawn(future), call);
        Ok(())
    }

    /// Lets go of the node: nothing more is told, what waits is given up, and the node closes in the background where it has
    /// not stopped.
    fn abandon(&self) {
        self.mailbox.close();
        self.calls.abandon_all();
        self.open.close();
        self.queues.borrow_mut().clear();
        self.slot.empty();
    }
}

impl Drop for NativeNode {
    /// The object was collected, or its environment ends.
    fn drop(&mut self) {
        self.abandon();
    }
}

const NOTHING: &str = "null";

fn nothing(_: ()) -> String {
    NOTHING.to_owned()
}

pub(crate) fn revision(revision: u64) -> String {
    json(&revision)
}

#[napi]
impl NativeNode {
    /// Makes a node, which opens nothing.
    #[napi(constructor, catch_unwind)]
    pub fn new(options: &NativeOptions, wake: Function<'_, (), ()>) -> js::Result<Self> {
        let node = ClusterKit::new(options.options()).map_err(|error| thrown(&error))?;
        NativeNode::on(node, &wake)
    }

    // ---- the mailbox

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
        self.slot.ask(|node| node.on_log(callback));
    }

    // ---- life

    #[napi(catch_unwind)]
    pub fn start(&self, id: CallId) -> js::Result<()> {
        self.begin(id, |node| async move { node.start().await }, nothing)
    }

    #[napi(catch_unwind)]
    pub fn stop(&self, id: CallId) -> js::Result<()> {
        self.begin(id, |node| async move { node.stop().await }, nothing)
    }

    /// Closes the node. Lookups answer from now on what they answer of a node that has stopped.
    #[napi(catch_unwind)]
    pub fn close(&self, id: CallId) -> js::Result<()> {
        self.begin(
            id,
            |node| async move {
                // The other clones go when the slot is emptied and the calls have ended.
                node.close().await
            },
            nothing,
        )?;
        self.slot.empty();
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn leave(&self, id: CallId, timeout: f64) -> js::Result<()> {
        self.begin(
            id,
            move |node| async move { node.leave(millis(timeout)).await },
            nothing,
        )
    }

    /// True once the node has begun to start.
    #[napi(catch_unwind)]
    pub fn was_started(&self) -> bool {
        self.slot.ask(ClusterKit::was_started).unwrap_or(true)
    }

    /// True when everything is closed.
    #[napi(catch_unwind)]
    pub fn has_stopped(&self) -> bool {
        self.slot.ask(ClusterKit::has_stopped).unwrap_or(true)
    }

    #[napi(catch_unwind)]
    pub fn http_addr(&self) -> Option<String> {
        self.slot.ask(ClusterKit::http_addr).flatten()
    }

    #[napi(catch_unwind)]
    pub fn my_node_id(&self) -> js::Result<String> {
        Ok(self.slot.get()?.my_node_id().to_string())
    }

    #[napi(catch_unwind)]
    pub fn waiting_for(&self) -> js::Result<Option<String>> {
        self.slot.get()?.waiting_for().map_err(|error| thrown(&error))
    }

    // ---- hooks and events

    /// Adds a hook, which JavaScript knows by `number`; returns its id.
    #[napi(catch_unwind)]
    pub fn add_hook(&self, number: u32, mask: u32, observes: bool) -> js::Result<BigInt> {
        let node = self.slot.get()?;
        let filter = filter_of(mask)?;
        let hook = hook(self.mailbox.clone(), self.open.clone(), number);
        let added = if observes {
            node.try_observe(hook)
        } else {
            node.try_register_hook(filter, hook)
        };
        let id = added.map_err(|rejected| thrown(&rejected.into_error()))?;
        Ok(id.0.into())
    }

    /// Removes a hook. Waits for nothing: its function only leaves a message.
    #[napi(catch_unwind)]
    pub fn remove_hook(&self, id: BigInt) -> js::Result<bool> {
        let id = HookId(exact(&id, "id")?);
        Ok(self.slot.ask(|node| node.remove_hook(id)).unwrap_or(false))
    }

    /// Ends a call of a hook, or acknowledges an event of a queue.
    #[napi(catch_unwind)]
    pub fn end_hook_call(&self, call: u32, failure: Option<String>) {
        self.open.end(call, failure);
    }

    #[napi(catch_unwind)]
    pub fn hook_stats(&self) -> js::Result<String> {
        let stats = self.slot.get()?.hook_stats();
        let records: Vec<_> = stats
            .iter()
            .map(|stats| {
                serde_json::json!({
                    "hook": stats.hook.0, "calls": stats.calls, "failures": stats.failures, "retries": stats.retries,
                    "coalesced": stats.coalesced, "queued": stats.queued, "running": stats.running,
                })
            })
            .collect();
        Ok(json(&records))
    }

    /// Opens a queue of events, which JavaScript knows by `number`.
    #[napi(catch_unwind)]
    pub fn open_queue(&self, number: u32, mask: u32, confirms: bool, capacity: u32) -> js::Result<()> {
        let order = QueueOrder {
            number,
            filter: filter_of(mask)?,
            confirms,
            capacity: capacity as usize,
        };
        let queue = EventQueue::open(&self.slot.get()?, self.mailbox.clone(), self.open.clone(), &order)?;
        self.queues.borrow_mut().insert(number, queue);
        Ok(())
    }

    /// Up to `max` events of a queue; `None` where it was closed.
    #[napi(catch_unwind)]
    pub fn take_events(&self, number: u32, max: u32) -> Option<String> {
        self.queues
            .borrow()
            .get(&number)
            .map(|queue| queue.take(max as usize))
    }

    #[napi(catch_unwind)]
    pub fn close_queue(&self, number: u32) {
        let queue = self.queues.borrow_mut().remove(&number);
        if let Some(queue) = queue {
            queue.close();
        }
    }

    // ---- the cluster

    /// The present view.
    #[napi(catch_unwind)]
    pub fn view(&self) -> js::Result<NativeView> {
        Ok(NativeView::new(self.slot.get()?.view().into_owned()))
    }

    /// The epoch of a partition that this node takes the writes of.
    #[napi(catch_unwind)]
    pub fn primary_epoch(&self, partition: u32) -> js::Result<BigInt> {
        let node = self.slot.get()?;
        let epoch = node
            .primary_epoch(partition)
            .map_err(|error| not_started(&node).unwrap_or(error));
        epoch.map(BigInt::from).map_err(|error| thrown(&error))
    }

    #[napi(catch_unwind)]
    pub fn leader_epoch(&self) -> js::Result<BigInt> {
        let node = self.slot.get()?;
        node.leader_epoch()
            .map(BigInt::from)
            .map_err(|error| thrown(&error))
    }

    /// The leader as JSON; `null` where none is known.
    #[napi(catch_unwind)]
    pub fn leader(&self) -> js::Result<String> {
        Ok(json(&self.slot.get()?.leader()))
    }

    /// The whole cluster as JSON, with the replicated store.
    #[napi(catch_unwind)]
    pub fn cluster(&self) -> js::Result<String> {
        Ok(json(&self.slot.get()?.cluster()))
    }

    #[napi(catch_unwind)]
    pub fn metrics(&self) -> js::Result<String> {
        Ok(json(&self.slot.get()?.metrics()))
    }

    #[napi(catch_unwind)]
    pub fn health_check(&self) -> js::Result<String> {
        Ok(json(&self.slot.get()?.health_check()))
    }

    #[napi(catch_unwind)]
    pub fn consensus_stats(&self) -> js::Result<String> {
        Ok(json(&self.slot.get()?.consensus_stats()))
    }

    #[napi(catch_unwind)]
    pub fn node_health(&self, id: String) -> js::Result<String> {
        let health = self.slot.get()?.node_health(&id);
        health.map(|health| json(&health)).map_err(|error| thrown(&error))
    }

    #[napi(catch_unwind)]
    pub fn report_health(&self, health: String, reason: String) -> js::Result<()> {
        let health = match &*health {
            "healthy" => NodeHealthState::Healthy,
            "degraded" => NodeHealthState::Degraded,
            "failing" => NodeHealthState::Failing,
            other => {
                return Err(invalid(format!(
                    "health is healthy, degraded or failing, not {other:?}"
                )));
            }
        };
        self.slot.get()?.report_health(health, &reason);
        Ok(())
    }

    // ---- calls that wait

    #[napi(catch_unwind)]
    pub fn wait_for_leader(&self, id: CallId, timeout: f64) -> js::Result<()> {
        self.begin(
            id,
            move |node| async move { node.wait_for_leader(millis(timeout)).await },
            |leader| json(&leader),
        )
    }

    #[napi(catch_unwind)]
    pub fn step_down(&self, id: CallId) -> js::Result<()> {
        self.begin(
            id,
            |node| async move { node.step_down().await },
            |leader| json(&*leader),
        )
    }

    #[napi(catch_unwind)]
    pub fn promote(&self, id: CallId, to: String) -> js::Result<()> {
        self.begin(
            id,
            move |node| async move { node.promote(&to).await },
            |leader| json(&*leader),
        )
    }

    #[napi(catch_unwind)]
    pub fn demote(&self, id: CallId, cooldown: f64) -> js::Result<()> {
        self.begin(
            id,
            move |node| async move { node.demote(millis(cooldown)).await },
            |leader| json(&*leader),
        )
    }

    #[napi(catch_unwind)]
    pub fn maintenance(&self, id: CallId, reason: Option<String>, timeout: f64) -> js::Result<()> {
        self.begin(
            id,
            move |node| async move { node.maintenance(reason.as_deref(), millis(timeout)).await },
            revision,
        )
    }

    #[napi(catch_unwind)]
    pub fn remove_node(&self, id: CallId, node_id: String, force: bool, timeout: f64) -> js::Result<()> {
        self.begin(
            id,
            move |node| async move {
                match force {
                    true => node.force_remove_node(&node_id, millis(timeout)).await,
                    false => node.remove_node(&node_id, millis(timeout)).await,
                }
            },
            revision,
        )
    }

    #[napi(catch_unwind)]
    pub fn recover_partition(
        &self,
        id: CallId,
        partition: u32,
        from: String,
        force: bool,
        timeout: f64,
    ) -> js::Result<()> {
        self.begin(
            id,
            move |node| async move {
                node.recover_partition(partition, &from, force, millis(timeout))
                    .await
            },
            revision,
        )
    }

    #[napi(catch_unwind)]
    pub fn create_partitions(&self, id: CallId, timeout: f64) -> js::Result<()> {
        self.begin(
            id,
            move |node| async move { node.create_partitions(millis(timeout)).await },
            |done| json(&done),
        )
    }

    #[napi(catch_unwind)]
    pub fn rebalance(&self, id: CallId, timeout: f64) -> js::Result<()> {
        self.begin(
            id,
            move |node| async move { node.rebalance_partitions(millis(timeout)).await },
            |done| json(&done),
        )
    }

    #[napi(catch_unwind)]
    pub fn rebalance_status(&self, id: CallId, timeout: f64) -> js::Result<()> {
        self.begin(
            id,
            move |node| async move { node.rebalance_status(millis(timeout)).await },
            |status| json(&status),
        )
    }
}

/// What says more of a node that was not started than that it does not know something.
fn not_started(node: &ClusterKit) -> Option<Error> {
    let message = "the node was not started";
    (!node.was_started()).then(|| Error::new(ErrorCode::NotStarted, message))
}

//! Clusters in memory, for tests. Their calls block, so each has a thread of its own while it is under way.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};
use std::time::Duration;

use clusterkit::testing::{DiskFault, LinkFaults, TestCluster};
use clusterkit::{ClusterKit, Error, ErrorCode, Options, Result, env};
use napi::Env;
use napi::bindgen_prelude::{Function, Uint8Array};
use napi_derive::napi;
use parking_lot::Mutex;
use serde::Deserialize;

use crate::calls::{CallId, Calls};
use crate::error::{self as js, invalid, thrown};
use crate::json::json;
use crate::mailbox::Mailbox;
use crate::node::NativeNode;

/// What a cluster is made with.
#[derive(Deserialize)]
struct Recipe {
    nodes: Option<usize>,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    manual_clock: bool,
    /// Options of every node, as JSON.
    options: String,
    /// Whether JavaScript is asked for more options of each node.
    configures: bool,
}

/// A call that waits, with what belongs to it: the front gives each what it needs. Durations are milliseconds on the clock of the
/// cluster. One struct, because an enum's reader is fifty kilobytes of code.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Order {
    op: String,
    index: usize,
    one: usize,
    other: usize,
    from: usize,
    to: usize,
    one_side: Vec<usize>,
    delay: f64,
    loss: f64,
    fault: String,
    time: f64,
    timeout: f64,
    what: String,
}

/// Questions to JavaScript that a thread waits for the answer of.
struct Asks {
    mailbox: Arc<Mailbox>,
    open: Mutex<OpenAsks>,
}

#[derive(Default)]
struct OpenAsks {
    answers: HashMap<u32, SyncSender<Result<String>>>,
    /// Nodes that are to be prepared, by their question.
    nodes: HashMap<u32, ClusterKit>,
    last: u32,
}

impl Asks {
    /// Asks JavaScript; blocks until it has answered.
    fn ask(&self, what: &str, index: usize, node: Option<&ClusterKit>) -> Result<String> {
        let (sender, answer) = mpsc::sync_channel(1);
        let number = {
            let mut open = self.open.lock();
            open.last = open.last.wrapping_add(1);
            let number = open.last;
            open.answers.insert(number, sender);
            if let Some(node) = node {
                open.nodes.insert(number, node.clone());
            }
            number
        };
        if !self
            .mailbox
            .post(format!("[\"ask\",{number},\"{what}\",{index}]"))
        {
            self.answer(number, Err(gone()));
        }
        let answer = answer.recv().unwrap_or_else(|_| Err(gone()));
        self.open.lock().nodes.remove(&number);
        answer
    }

    fn answer(&self, number: u32, answer: Result<String>) {
        let sender = self.open.lock().answers.remove(&number);
        // Whoever asked may be gone.
        drop(sender.map(|sender| sender.send(answer)));
    }

    /// Leaves every question without an answer.
    fn close(&self) {
        drop(std::mem::take(&mut *self.open.lock()));
    }
}

fn gone() -> Error {
    Error::new(ErrorCode::Stopped, "the JavaScript environment has ended")
}

/// A test cluster, for the front's class `TestCluster`.
#[napi]
pub struct NativeTestCluster {
    shared: Arc<TestShared>,
    calls: Calls,
}

struct TestShared {
    mailbox: Arc<Mailbox>,
    asks: Arc<Asks>,
    cluster: Mutex<Option<Arc<TestCluster>>>,
}

impl TestShared {
    fn cluster(&self) -> Result<Arc<TestCluster>> {
        let cluster = self.cluster.lock().clone();
        cluster.ok_or_else(|| {
            Error::new(
                ErrorCode::Stopped,
                "the test cluster has ended, or was not started",
            )
        })
    }
}

impl Drop for NativeTestCluster {
    /// The object was collected, or its environment ends. Nothing waits for the end of the cluster.
    fn drop(&mut self) {
        self.shared.mailbox.close();
        self.calls.abandon_all();
        self.shared.asks.close();
        if let Some(cluster) = self.shared.cluster.lock().take() {
            // Where there is no thread to be had, the last call under way ends it, or the process.
            drop(env::spawn_thread("ck-test-end", move || drop(cluster)));
        }
    }
}

/// A duration on the clock of a cluster.
fn millis(milliseconds: f64) -> Duration {
    crate::node::millis(milliseconds)
}

fn start(recipe: &Recipe, asks: &Arc<Asks>) -> Result<TestCluster> {
    // What is refused while options are made is told by `prepare`, which follows, and may fail.
    let refused = Arc::new(Mutex::new(None));
    // Known to be right before a node is made of it.
    Options::default().merge_json(&recipe.options)?;
    let (of_all, configures) = (recipe.options.clone(), recipe.configures);
    let (told, asking) = (refused.clone(), asks.clone());
    let builder = TestCluster::builder()
        .seed(recipe.seed)
        .manual_clock(recipe.manual_clock);
    let builder = match recipe.nodes {
        Some(nodes) => builder.nodes(nodes),
        None => builder,
    };
    let builder = builder.options(move |index, options| {
        let mut configure = || {
            options.merge_json(&of_all)?;
            if configures {
                options.merge_json(&asking.ask("configure", index, None)?)?;
            }
            Ok(())
        };
        if let Err(error) = configure() {
            told.lock().get_or_insert(error);
        }
    });
    let asking = asks.clone();
    let builder = builder.prepare(move |index, node| match refused.lock().take() {
        Some(error) => Err(error),
        None => asking.ask("prepare", index, Some(node)).map(drop),
    });
    builder.start()
}

fn disk_fault(name: &str) -> Result<DiskFault> {
    Ok(match name {
        "full" => DiskFault::Full,
        "readOnly" => DiskFault::ReadOnly,
        "syncFails" => DiskFault::SyncFails,
        "hangs" => DiskFault::Hangs,
        other => {
            let message = format!("a disk is full, readOnly, syncFails or hangs, not {other:?}");
            return Err(Error::new(ErrorCode::InvalidArgument, message));
        }
    })
}

fn wait_until(cluster: &TestCluster, asks: &Asks, what: &str, timeout: Duration) -> Result<()> {
    let mut failed = None;
    cluster.wait_until(what, timeout, || match asks.ask("condition", 0, None) {
        Ok(answer) => answer == "true",
        Err(error) => {
            failed = Some(error);
            true
        }
    })?;
    failed.map_or(Ok(()), Err)
}

/// Carries an order out; returns the JSON of its answer.
fn carry_out(order: &Order, shared: &TestShared) -> Result<String> {
    let cluster = shared.cluster()?;
    let done = |()| "null".to_owned();
    let index_of = |index: usize| json(&index);
    let timeout = millis(order.timeout);
    match &*order.op {
        "addNode" => cluster.add_node().map(index_of),
        "createNode" => cluster.create_node().map(index_of),
        "restart" => cluster.restart(order.index).map(|_| "null".to_owned()),
        "recreate" => cluster.recreate(order.index).map(|_| "null".to_owned()),
        "stop" => cluster.stop(order.index).map(done),
        "kill" => cluster.kill(order.index).map(done),
        "wipe" => cluster.wipe(order.index).map(done),
        "pause" => cluster.pause(order.index).map(done),
        "resume" => cluster.resume(order.index).map(done),
        "cut" => cluster.cut(order.one, order.other).map(done),
        "cutOneWay" => cluster.cut_one_way(order.from, order.to).map(done),
        "restore" => cluster.restore(order.one, order.other).map(done),
        "isolate" => cluster.isolate(order.index).map(done),
        "split" => cluster.split(&order.one_side).map(done),
        "heal" => {
            cluster.heal();
            Ok(done(()))
        }
        "setLink" => {
            let mut faults = LinkFaults::delay(millis(order.delay));
            faults.loss = order.loss;
            cluster.set_link(order.from, order.to, faults).map(done)
        }
        "failDisk" => cluster
            .fail_disk(order.index, disk_fault(&order.fault)?)
            .map(done),
        "mendDisk" => cluster.mend_disk(order.index).map(done),
        "advance" => cluster.advance(millis(order.time)).map(done),
        "waitForLeader" => cluster.wait_for_leader(timeout).map(index_of),
        "waitForPrimaries" => cluster.wait_for_primaries(timeout).map(done),
        "waitSettled" => cluster.wait_settled(timeout).map(done),
        "waitUntil" => wait_until(&cluster, &shared.asks, &order.what, timeout).map(done),
        "close" => {
            drop(shared.cluster.lock().take());
            cluster.close().map(done)
        }
        other => Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("a test cluster has no call {other:?}"),
        )),
    }
}

impl NativeTestCluster {
    /// Begins a call on a thread of its own.
    fn begin(
        &self,
        id: CallId,
        call: impl FnOnce(&TestShared) -> Result<String> + Send + 'static,
    ) -> js::Result<()> {
        let (shared, teller) = (self.shared.clone(), self.calls.teller(id));
        let started = env::spawn_thread("ck-test-call", move || teller.tell(call(&shared)));
        started.map(drop).map_err(|error| {
            let message = format!("start a thread for the call: {error}");
            thrown(&Error::new(ErrorCode::Io, message))
        })
    }

    fn ask<T>(&self, ask: impl FnOnce(&TestCluster) -> T) -> js::Result<T> {
        let cluster = self.shared.cluster().map_err(|error| thrown(&error))?;
        Ok(ask(&cluster))
    }
}

#[napi]
impl NativeTestCluster {
    #[napi(constructor, catch_unwind)]
    pub fn new(wake: Function<'_, (), ()>) -> js::Result<Self> {
        let mailbox = Arc::new(Mailbox::new(&wake)?);
        Ok(NativeTestCluster {
            calls: Calls::new(mailbox.clone()),
            shared: Arc::new(TestShared {
                asks: Arc::new(Asks {
                    mailbox: mailbox.clone(),
                    open: Mutex::default(),
                }),
                mailbox,
                cluster: Mutex::default(),
            }),
        })
    }

    /// The messages that wait, as JSON.
    #[napi(catch_unwind)]
    pub fn drain(&self) -> String {
        self.shared.mailbox.drain()
    }

    /// Makes the handle keep the process alive, or not.
    #[napi(catch_unwind)]
    pub fn hold_process(&self, env: Env, hold: bool) {
        self.shared.mailbox.hold_process(env, hold);
    }

    /// Stops waiting for a call, which goes on.
    #[napi(catch_unwind)]
    pub fn abandon_call(&self, id: CallId) {
        self.calls.abandon(id);
    }

    #[napi(catch_unwind)]
    pub fn start(&self, id: CallId, recipe: String) -> js::Result<()> {
        let recipe: Recipe = serde_json::from_str(&recipe)
            .map_err(|error| invalid(format!("options of a test cluster: {error}")))?;
        self.begin(id, move |shared| {
            let cluster = start(&recipe, &shared.asks)?;
            *shared.cluster.lock() = Some(Arc::new(cluster));
            Ok("null".to_owned())
        })
    }

    /// Carries an order out, which is JSON.
    #[napi(catch_unwind)]
    pub fn call(&self, id: CallId, order: String) -> js::Result<()> {
        let order: Order = serde_json::from_str(&order).map_err(|error| invalid(error.to_string()))?;
        self.begin(id, move |shared| carry_out(&order, shared))
    }

    /// Answers a question: with JSON, or with why there is no answer.
    #[napi(catch_unwind)]
    pub fn answer(&self, number: u32, answer: Option<String>, code: Option<String>, failure: Option<String>) {
        let result = match failure {
            None => Ok(answer.unwrap_or_default()),
            Some(message) => {
                let code = code.as_deref().and_then(ErrorCode::from_name);
                Err(Error::new(code.unwrap_or(ErrorCode::Refused), message))
            }
        };
        self.shared.asks.answer(number, result);
    }

    /// The node that a question is about.
    #[napi(catch_unwind)]
    pub fn asked_node(&self, number: u32, wake: Function<'_, (), ()>) -> js::Result<NativeNode> {
        let node = self.shared.asks.open.lock().nodes.get(&number).cloned();
        let node = node.ok_or_else(|| invalid("the question was answered before"))?;
        NativeNode::on(node, &wake)
    }

    #[napi(catch_unwind)]
    pub fn node_count(&self) -> js::Result<u32> {
        // There are a thousand at most.
        self.ask(|cluster| cluster.node_count() as u32)
    }

    #[napi(catch_unwind)]
    pub fn index_of(&self, id: String) -> js::Result<Option<u32>> {
        self.ask(|cluster| cluster.index_of(&id).map(|index| index as u32))
    }

    #[napi(catch_unwind)]
    pub fn is_running(&self, index: u32) -> js::Result<bool> {
        self.ask(|cluster| cluster.is_running(index as usize))
    }

    #[napi(catch_unwind)]
    pub fn is_paused(&self, index: u32) -> js::Result<bool> {
        self.ask(|cluster| cluster.is_paused(index as usize))
    }

    /// Milliseconds on the clock of the cluster.
    #[napi(catch_unwind)]
    pub fn now(&self) -> js::Result<f64> {
        self.ask(|cluster| cluster.now().as_secs_f64() * 1000.0)
    }

    #[napi(catch_unwind)]
    pub fn leader(&self) -> js::Result<Option<u32>> {
        self.ask(|cluster| cluster.leader().map(|index| index as u32))
    }

    #[napi(catch_unwind)]
    pub fn primary_of(&self, key: Uint8Array) -> js::Result<Option<u32>> {
        self.ask(|cluster| cluster.primary_of(&key).map(|index| index as u32))
    }
}

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

/// A call that waits, with what belongs to it. Durations are milliseconds on the clock of the cluster.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Order {
    AddNode,
    CreateNode,
    Restart {
        index: usize,
    },
    Recreate {
        index: usize,
    },
    Stop {
        index: usize,
    },
    Kill {
        index: usize,
    },
    Wipe {
        index: usize,
    },
    Pause {
        index: usize,
    },
    Resume {
        index: usize,
    },
    Cut {
        one: usize,
        other: usize,
    },
    CutOneWay {
        from: usize,
        to: usize,
    },
    Restore {
        one: usize,
        other: usize,
    },
    Isolate {
        index: usize,
    },
    Split {
        one_side: Vec<usize>,
    },
    Heal,
    SetLink {
        from: usize,
        to: usize,
        delay: f64,
        loss: f64,
    },
    FailDisk {
        index: usize,
        fault: String,
    },
    MendDisk {
        index: usize,
    },
    Advance {
        time: f64,
    },
    WaitForLeader {
        timeout: f64,
    },
    WaitForPrimaries {
        timeout: f64,
    },
    WaitSettled {
        timeout: f64,
    },
    WaitUntil {
        what: String,
        timeout: f64,
    },
    Close,
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

fn wait_until(cluster: &TestCluster, asks: &Asks, what: &str, timeout: f64) -> Result<()> {
    let mut failed = None;
    cluster.wait_until(what, millis(timeout), || match asks.ask("condition", 0, None) {
        Ok(answer) => answer == "true",
        Err(error) => {
            failed = Some(error);
            true
        }
    })?;
    failed.map_or(Ok(()), Err)
}

/// Carries an order out; returns the JSON of its answer.
fn carry_out(order: Order, shared: &TestShared) -> Result<String> {
    let cluster = shared.cluster()?;
    let done = |()| "null".to_owned();
    let index_of = |index: usize| json(&index);
    match order {
        Order::AddNode => cluster.add_node().map(index_of),
        Order::CreateNode => cluster.create_node().map(index_of),
        Order::Restart { index } => cluster.restart(index).map(|_| "null".to_owned()),
        Order::Recreate { index } => cluster.recreate(index).map(|_| "null".to_owned()),
        Order::Stop { index } => cluster.stop(index).map(done),
        Order::Kill { index } => cluster.kill(index).map(done),
        Order::Wipe { index } => cluster.wipe(index).map(done),
        Order::Pause { index } => cluster.pause(index).map(done),
        Order::Resume { index } => cluster.resume(index).map(done),
        Order::Cut { one, other } => cluster.cut(one, other).map(done),
        Order::CutOneWay { from, to } => cluster.cut_one_way(from, to).map(done),
        Order::Restore { one, other } => cluster.restore(one, other).map(done),
        Order::Isolate { index } => cluster.isolate(index).map(done),
        Order::Split { one_side } => cluster.split(&one_side).map(done),
        Order::Heal => {
            cluster.heal();
            Ok(done(()))
        }
        Order::SetLink {
            from,
            to,
            delay,
            loss,
        } => {
            let mut faults = LinkFaults::delay(millis(delay));
            faults.loss = loss;
            cluster.set_link(from, to, faults).map(done)
        }
        Order::FailDisk { index, fault } => cluster.fail_disk(index, disk_fault(&fault)?).map(done),
        Order::MendDisk { index } => cluster.mend_disk(index).map(done),
        Order::Advance { time } => cluster.advance(millis(time)).map(done),
        Order::WaitForLeader { timeout } => cluster.wait_for_leader(millis(timeout)).map(index_of),
        Order::WaitForPrimaries { timeout } => cluster.wait_for_primaries(millis(timeout)).map(done),
        Order::WaitSettled { timeout } => cluster.wait_settled(millis(timeout)).map(done),
        Order::WaitUntil { what, timeout } => wait_until(&cluster, &shared.asks, &what, timeout).map(done),
        Order::Close => {
            drop(shared.cluster.lock().take());
            cluster.close().map(done)
        }
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
        self.begin(id, move |shared| carry_out(order, shared))
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

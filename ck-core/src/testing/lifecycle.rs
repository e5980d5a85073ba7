//! Starting, stopping and restarting nodes.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::builder::{MAX_NODES, address};
use super::member::Member;
use super::runtime::in_hook;
use super::{TestCluster, TestClusterShared};
use crate::clusterkit::ClusterKit;
use crate::env;
use crate::env::test_cluster::ClockOrder;
use crate::error::{Error, ErrorCode, Result};
use crate::hooks;

/// How long a call that is not done is left alone before the clock is looked at again. Real time.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
/// How long the end of a cluster waits for its nodes, at most. Real time: longer than a node waits for its hooks.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// A call of one node.
type NodeCall = BoxFuture<'static, Result<()>>;

impl TestCluster {
    /// Makes the first nodes and starts them: the first founds the cluster, the others join it at the same time.
    pub(super) fn found(&self) -> Result<()> {
        let nodes = self.shared.recipe.node_count();
        self.refuse_in_hook("start")?;
        let _changing = self.shared.changing.lock();
        for _ in 0..nodes {
            self.shared.append_node()?;
        }
        let members = self.shared.members();
        let (founder, others) = members.split_at(1);
        for group in [founder, others] {
            let starts = group.iter().map(|member| started(member.kit.clone())).collect();
            self.shared.drive(starts).into_iter().collect::<Result<()>>()?;
        }
        Ok(())
    }

    /// Adds a node and starts it: returns its index when it is a member. [`TestCluster::wait_settled`] waits until it has
    /// its partitions.
    ///
    /// # Errors
    /// Those of [`ClusterKit::start`]: then the node is there, and does not run. [`ErrorCode::Refused`] when there are
    /// 1000 nodes.
    pub fn add_node(&self) -> Result<usize> {
        let index = self.create_node()?;
        self.start_node(index)?;
        Ok(index)
    }

    /// Adds a node and does not start it: the application does, with [`ClusterKit::start`] of [`TestCluster::node`].
    /// Returns its index.
    ///
    /// # Errors
    /// [`ErrorCode::Refused`] when there are 1000 nodes; [`ErrorCode::InvalidOption`]; the errors of
    /// [`prepare`](super::TestClusterBuilder::prepare).
    pub fn create_node(&self) -> Result<usize> {
        let _changing = self.shared.changing.lock();
        self.shared.append_node()
    }

    /// Starts a new process of a node that was killed or stopped, on its disk. Returns its handle when it is a member
    /// again, or its `join_timeout` has passed, as [`ClusterKit::start`] does; the handle of the process before stays
    /// stopped.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`]; [`ErrorCode::Refused`] for a node that runs; those of [`ClusterKit::start`].
    pub fn restart(&self, index: usize) -> Result<ClusterKit> {
        let kit = self.recreate(index)?;
        self.start_node(index)?;
        Ok(kit)
    }

    /// Makes a new process of a node that was killed or stopped, on its disk, and does not start it: the application does,
    /// with [`ClusterKit::start`].
    ///
    /// # Errors
    /// As [`TestCluster::restart`].
    pub fn recreate(&self, index: usize) -> Result<ClusterKit> {
        self.refuse_in_hook("recreate")?;
        let _changing = self.shared.changing.lock();
        let member = self.member(index)?;
        if member.is_running() {
            return Err(Error::new(
                ErrorCode::Refused,
                format!("{} runs; stop it or kill it first", member.id()),
            ));
        }
        // One that was never started ends here, and one that is stopping is waited for.
        self.shared.drive(vec![closed(member.kit.clone())]);
        let renewed = member.renewed(&self.shared.runtime, &self.shared.network)?;
        let kit = renewed.kit.clone();
        self.shared.recipe.prepare_node(index, &kit)?;
        self.shared.replace(index, renewed);
        Ok(kit)
    }

    /// Stops a node gracefully: [`ClusterKit::stop`]. The others take over its roles at once. It keeps its disk.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`]; [`ErrorCode::Refused`] for a node that is paused, or does not run; those of
    /// [`ClusterKit::stop`].
    pub fn stop(&self, index: usize) -> Result<()> {
        self.refuse_in_hook("stop")?;
        let _changing = self.shared.changing.lock();
        let member = self.running_member(index)?;
        if member.process.is_paused() {
            return Err(Error::new(
                ErrorCode::Refused,
                format!(
                    "{} is paused, and cannot stop by itself; resume it or kill it",
                    member.id()
                ),
            ));
        }
        let kit = member.kit.into_async();
        self.shared
            .drive(vec![Box::pin(async move { kit.stop().await })])
            .into_iter()
            .collect()
    }

    /// Ends a node's process without a word, as SIGKILL and a loss of power do: the others find out by its silence. Its
    /// disk keeps what was durable, and parts of what was not; its hooks are not called any more, and one that runs goes
    /// on to its end. Its handle answers [`ErrorCode::Stopped`]. A paused node can be killed.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`]; [`ErrorCode::Refused`] for a node that does not run.
    pub fn kill(&self, index: usize) -> Result<()> {
        self.refuse_in_hook("kill")?;
        let _changing = self.shared.changing.lock();
        let member = self.running_member(index)?;
        self.shared.kill(&member);
        Ok(())
    }

    /// Gives a node an empty disk. A node that runs is killed first. [`TestCluster::restart`] then starts it as a process
    /// that has lost its data directory: under its old id it is a member again once the others have found its process
    /// before dead, and copies its partitions anew.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`].
    pub fn wipe(&self, index: usize) -> Result<()> {
        self.refuse_in_hook("wipe")?;
        let _changing = self.shared.changing.lock();
        let mut member = self.member(index)?;
        if member.is_running() {
            self.shared.kill(&member);
        }
        // A node without a disk joins, whoever founded the cluster.
        let others = self.shared.addresses_but(index);
        member.options = self.shared.recipe.options_of(index, others);
        member.disk = Arc::default();
        self.shared.replace(index, member);
        Ok(())
    }

    /// Ends everything, as dropping it does, and says how that went. May be called again.
    ///
    /// # Errors
    /// [`ErrorCode::InHook`] inside a hook: it ends in the background then. [`ErrorCode::Timeout`] when a hook does not
    /// return, while everything else has ended.
    pub fn close(&self) -> Result<()> {
        self.refuse_in_hook("close")?;
        self.shared.end()
    }

    fn start_node(&self, index: usize) -> Result<()> {
        self.refuse_in_hook("start")?;
        let _changing = self.shared.changing.lock();
        let kit = self.member(index)?.kit;
        self.shared.drive(vec![started(kit)]).into_iter().collect()
    }

    fn running_member(&self, index: usize) -> Result<Member> {
        let member = self.member(index)?;
        if member.is_running() {
            return Ok(member);
        }
        let message = format!("{} does not run", member.id());
        Err(Error::new(ErrorCode::Refused, message))
    }

    /// Refuses a call that waits where it would wait for itself.
    pub(super) fn refuse_in_hook(&self, what: &str) -> Result<()> {
        match hooks::on_hook_thread() || self.shared.runtime.is_driver() {
            true => Err(in_hook(what)),
            false => Ok(()),
        }
    }
}

fn started(kit: ClusterKit) -> NodeCall {
    let kit = kit.into_async();
    Box::pin(async move { kit.start().await })
}

fn closed(kit: ClusterKit) -> NodeCall {
    let kit = kit.into_async();
    Box::pin(async move { kit.close().await })
}

impl TestClusterShared {
    fn append_node(&self) -> Result<usize> {
        let index = self.members.lock().len();
        if index >= MAX_NODES {
            let message = format!("a test cluster has {MAX_NODES} nodes at most");
            return Err(Error::new(ErrorCode::Refused, message));
        }
        let others = self.addresses_but(index);
        let options = self.recipe.options_of(index, others);
        let member = Member::new(&self.runtime, &self.network, options)?;
        self.recipe.prepare_node(index, &member.kit)?;
        self.members.lock().push(member);
        Ok(index)
    }

    fn replace(&self, index: usize, member: Member) {
        // The earlier handle may be the last, and ends outside of the lock.
        let earlier = {
            let mut members = self.members.lock();
            members
                .get_mut(index)
                .map(|present| std::mem::replace(present, member))
        };
        drop(earlier);
    }

    /// The addresses of all nodes but this one.
    fn addresses_but(&self, index: usize) -> Vec<String> {
        let others = 0..self.members.lock().len();
        others.filter(|other| *other != index).map(address).collect()
    }

    fn kill(&self, member: &Member) {
        member.process.kill();
        self.network.unserve(member.addr());
        let kills = self.kills.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        member.disk.crash(self.recipe.seed_value().wrapping_add(kills));
        member.kit.silence();
        // What is left of it ends where nobody hears of it. A hook that does not return is no failure of a kill.
        drop(self.drive(vec![closed(member.kit.clone())]));
    }

    /// Makes calls of nodes, and moves the clock until all are done.
    fn drive(&self, calls: Vec<NodeCall>) -> Vec<Result<()>> {
        let (sender, outcomes) = mpsc::channel();
        let mut left = calls.len();
        let mut done: Vec<_> = calls.iter().map(|_| None).collect();
        for (number, call) in calls.into_iter().enumerate() {
            let sender = sender.clone();
            self.runtime.handle().spawn(async move {
                // The receiver lives until all are done.
                drop(sender.send((number, call.await)));
            });
        }
        drop(sender);
        let clock = self.runtime.clock();
        let hold = clock.hold();
        let mut jumps = 0;
        while left > 0 {
            let before = clock.now();
            let goes_on = hold.carry_out(ClockOrder { until: None, jumps });
            // Without a timer to wait for, what is waited for takes real time.
            let stands_still = !goes_on || (jumps > 0 && clock.now() == before);
            jumps = 1;
            loop {
                let outcome = match stands_still {
                    true => outcomes.recv_timeout(LOOK_INTERVAL).ok(),
                    false => outcomes.try_recv().ok(),
                };
                let Some((number, outcome)) = outcome else {
                    break;
                };
                left -= 1;
                if let Some(slot) = done.get_mut(number) {
                    *slot = Some(outcome);
                }
                if left == 0 {
                    break;
                }
            }
            if !goes_on && left > 0 {
                break;
            }
        }
        let ended = || Err(Error::new(ErrorCode::Stopped, "the test cluster has ended"));
        done.into_iter()
            .map(|outcome| outcome.unwrap_or_else(ended))
            .collect()
    }

    /// Ends all nodes, then their runtime. May be called again.
    fn end(&self) -> Result<()> {
        if self.runtime.clock().has_ended() {
            return Ok(());
        }
        // What waits for hooks waits in real time.
        self.manual.lock().take();
        let members = std::mem::take(&mut *self.members.lock());
        let (sender, outcomes) = mpsc::channel();
        for member in &members {
            member.process.resume();
            let (sender, kit) = (sender.clone(), member.kit.clone());
            self.runtime.handle().spawn(async move {
                drop(sender.send(closed(kit).await));
            });
        }
        drop(sender);
        let mut ended = Ok(());
        for _ in &members {
            let outcome = outcomes.recv_timeout(END_TIMEOUT).unwrap_or_else(|_| {
                let message = format!("a node did not end within {END_TIMEOUT:?}");
                Err(Error::new(ErrorCode::Timeout, message))
            });
            ended = ended.and(outcome);
        }
        drop(members);
        self.runtime.end();
        ended
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        if self.refuse_in_hook("drop").is_err() {
            let shared = self.shared.clone();
            // Where no thread can be had, the nodes end with their last handle.
            drop(env::spawn_thread("ck-test-end", move || shared.end()));
            return;
        }
        // Nobody is there to be told.
        drop(self.shared.end());
    }
}

//! The clock as the test moves it, and the calls that wait.

use std::time::{Duration, Instant as RealInstant};

use super::settled::Settling;
use super::{TestCluster, TestClusterShared};
use crate::env::Instant;
use crate::env::test_cluster::{ClockHold, ClockOrder};
use crate::error::{Error, ErrorCode, Result};

/// How long a call waits for a condition at least, where its timeout is longer: the application may need real time.
const REAL_PATIENCE: Duration = Duration::from_secs(10);
/// How often a condition is looked at while real time passes.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

impl TestCluster {
    /// Moves the clock of all nodes on by `time`, and returns when everything is done that follows from it: leases have run
    /// out, timeouts have fired, and what they caused has happened, except what needs hooks that still run.
    ///
    /// The clock goes from timer to timer, so it is as if the time had passed: a cluster that is well stays as it is, and
    /// whoever is paused or cut off is found dead. Takes about as long as the nodes need to compute what they do in that
    /// time, and no longer. Meanwhile no real time counts.
    ///
    /// # Errors
    /// [`ErrorCode::InHook`] inside a hook; [`ErrorCode::Stopped`] when the cluster ends meanwhile.
    pub fn advance(&self, time: Duration) -> Result<()> {
        self.refuse_in_hook("advance")?;
        let hold = self.shared.runtime.clock().hold();
        let order = ClockOrder {
            until: Some(self.shared.now() + time),
            jumps: usize::MAX,
        };
        ended_unless(hold.carry_out(order))
    }

    /// The time that has passed on the clock of the nodes since the cluster was made.
    pub fn now(&self) -> Duration {
        self.shared.runtime.clock().elapsed()
    }

    /// The node that leads, by its own word, and that a majority of the voters can go on following: it is neither paused
    /// nor cut off from them.
    pub fn leader(&self) -> Option<usize> {
        Settling::of(&self.shared.members(), &self.shared.network).leader()
    }

    /// The node that takes the writes of `key` at this moment, by its own word.
    pub fn primary_of(&self, key: &[u8]) -> Option<usize> {
        let members = self.shared.members();
        members
            .iter()
            .position(|member| member.kit.is_primary_for_key(key))
    }

    /// Waits until a node leads; returns it. See [`TestCluster::leader`]. Moves the clock, by `timeout` at most.
    ///
    /// # Errors
    /// As [`TestCluster::wait_until`].
    pub fn wait_for_leader(&self, timeout: Duration) -> Result<usize> {
        let mut leader = None;
        self.wait_while_missing("a leader", timeout, || {
            let members = self.shared.members();
            let settling = Settling::of(&members, &self.shared.network);
            leader = settling.leader();
            settling.missing_leader()
        })?;
        leader.ok_or_else(|| Error::internal("a leader that was found is gone"))
    }

    /// Waits until every partition has a primary that says so itself, whatever else is missing: the end of a failover.
    /// Moves the clock, by `timeout` at most.
    ///
    /// # Errors
    /// As [`TestCluster::wait_until`].
    pub fn wait_for_primaries(&self, timeout: Duration) -> Result<()> {
        self.wait_while_missing("a primary of every partition", timeout, || {
            let members = self.shared.members();
            Settling::of(&members, &self.shared.network).missing_primaries()
        })
    }

    /// Waits until the cluster is at rest, as its leader sees it: every node that runs and that the leader reaches is a
    /// member that has applied everything, every other is known to be down, each partition has all its copies on nodes
    /// that are up, and a primary that says so itself, and nothing moves or is about to. So after a kill it waits until the
    /// copies of the dead node have been made elsewhere (`rebalance_delay`). Moves the clock, by `timeout` at most.
    ///
    /// # Errors
    /// As [`TestCluster::wait_until`]; the message says what is missing.
    pub fn wait_settled(&self, timeout: Duration) -> Result<()> {
        self.wait_while_missing("rest", timeout, || {
            let members = self.shared.members();
            Settling::of(&members, &self.shared.network).missing()
        })
    }

    /// Waits until `condition` is true; `what` names it in the error. The condition is looked at after each timer of the
    /// nodes, so the clock moves by as little as is needed, and by `timeout` at most. Where that has passed before ten
    /// seconds of real time have, the rest of these is waited for too, in real time: an application may need it.
    ///
    /// # Errors
    /// [`ErrorCode::Timeout`] with what is missing; [`ErrorCode::InHook`] inside a hook; [`ErrorCode::Stopped`] when the
    /// cluster ends meanwhile.
    pub fn wait_until(
        &self,
        what: &str,
        timeout: Duration,
        mut condition: impl FnMut() -> bool,
    ) -> Result<()> {
        let missing = || match condition() {
            true => Vec::new(),
            false => vec![format!("{what} has not come about")],
        };
        self.wait_while_missing(what, timeout, missing)
    }

    /// Waits until nothing is missing.
    fn wait_while_missing(
        &self,
        what: &str,
        timeout: Duration,
        mut missing: impl FnMut() -> Vec<String>,
    ) -> Result<()> {
        self.refuse_in_hook("a call that waits")?;
        let began = RealInstant::now();
        let deadline = self.shared.now() + timeout;
        let hold = self.shared.runtime.clock().hold();
        let mut jumps = 0;
        while self.shared.now() < deadline || jumps == 0 {
            self.shared.step(&hold, deadline, jumps)?;
            jumps = 1;
            if missing().is_empty() {
                return Ok(());
            }
        }
        drop(hold);
        loop {
            // Without nodes there is no timer left, so the clock is at the deadline at once when the cluster ends.
            ended_unless(!self.shared.runtime.clock().has_ended())?;
            let missing = missing();
            if missing.is_empty() {
                return Ok(());
            }
            if began.elapsed() >= timeout.min(REAL_PATIENCE) {
                let message = format!("{what}: not within {timeout:?}: {}", missing.join("; "));
                return Err(Error::new(ErrorCode::Timeout, message));
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }
}

impl TestClusterShared {
    pub(super) fn now(&self) -> Instant {
        Instant::from_nanos(self.runtime.clock().now())
    }

    /// Does everything that can be done now, and with `jumps` after the next timer.
    fn step(&self, hold: &ClockHold, deadline: Instant, jumps: usize) -> Result<()> {
        let order = ClockOrder {
            until: Some(deadline),
            jumps,
        };
        ended_unless(hold.carry_out(order))
    }
}

fn ended_unless(goes_on: bool) -> Result<()> {
    match goes_on {
        true => Ok(()),
        false => Err(Error::new(ErrorCode::Stopped, "the test cluster has ended")),
    }
}

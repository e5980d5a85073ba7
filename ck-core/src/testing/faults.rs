//! What a test does to its nodes: pauses, cuts, slow links, disks that fail.

use std::time::Duration;

use super::TestCluster;
use crate::env::disk::Faults;
use crate::error::{Error, ErrorCode, Result};
use crate::net::memory::LinkConditions;

/// The conditions of a link in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct LinkFaults {
    /// How long a message takes. Default 0.
    pub delay: Duration,
    /// The probability that a message is lost, from 0 to 1. As over TCP it is sent again, and arrives 200 ms later.
    /// Default 0.
    pub loss: f64,
}

impl LinkFaults {
    /// A link on which every message takes so long.
    pub fn delay(delay: Duration) -> Self {
        LinkFaults { delay, loss: 0.0 }
    }

    /// A link that loses messages with this probability, from 0 to 1.
    pub fn loss(loss: f64) -> Self {
        LinkFaults {
            delay: Duration::ZERO,
            loss,
        }
    }
}

/// How a disk fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DiskFault {
    /// Nothing more can be written: it is full.
    Full,
    /// Nothing more can be written: it has turned read-only.
    ReadOnly,
    /// Writes that should have become durable have not: the next sync fails.
    SyncFails,
    /// Writes do not return until the disk is mended.
    Hangs,
}

impl TestCluster {
    /// Pauses a node, as SIGSTOP does: none of its tasks runs, it answers nobody and no hook of it is called. When this
    /// returns that holds, but for a hook that was called already and goes on to its end.
    ///
    /// Its handle still answers what needs no other node (lookups), by the clock: it is primary of nothing once its lease has
    /// run out. Calls that need other nodes wait until it is resumed, or for their timeout.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`]; [`ErrorCode::Refused`] for a node that does not run.
    pub fn pause(&self, index: usize) -> Result<()> {
        let member = self.member(index)?;
        if !member.is_running() {
            let message = format!("{} does not run", member.id());
            return Err(Error::new(ErrorCode::Refused, message));
        }
        member.process.pause();
        if !self.shared.runtime.is_driver() {
            self.shared.runtime.barrier();
        }
        Ok(())
    }

    /// Resumes a paused node: it goes on where it stood, with what it was sent meanwhile. Without effect on another.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`].
    pub fn resume(&self, index: usize) -> Result<()> {
        self.member(index)?.process.resume();
        Ok(())
    }

    /// Loses all messages between two nodes, in both directions.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`].
    pub fn cut(&self, one: usize, other: usize) -> Result<()> {
        self.cut_one_way(one, other)?;
        self.cut_one_way(other, one)
    }

    /// Loses all messages from one node to another. The answers to requests go the same way as other messages.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`].
    pub fn cut_one_way(&self, from: usize, to: usize) -> Result<()> {
        let (from, to) = (self.member(from)?, self.member(to)?);
        self.shared.network.cut(from.addr(), to.addr());
        Ok(())
    }

    /// Ends the cuts between two nodes, in both directions. An isolation stays.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`].
    pub fn restore(&self, one: usize, other: usize) -> Result<()> {
        let (one, other) = (self.member(one)?, self.member(other)?);
        self.shared.network.restore(one.addr(), other.addr());
        self.shared.network.restore(other.addr(), one.addr());
        Ok(())
    }

    /// Cuts a node off from all others, also from those that are added later, until [`TestCluster::heal`].
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`].
    pub fn isolate(&self, index: usize) -> Result<()> {
        let member = self.member(index)?;
        self.shared.network.isolate(member.addr());
        Ok(())
    }

    /// Divides the nodes: those that are named lose all messages to and from those that are not, until
    /// [`TestCluster::heal`].
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`]: nothing is cut then.
    pub fn split(&self, one_side: &[usize]) -> Result<()> {
        for index in one_side {
            self.member(*index)?;
        }
        let others = (0..self.node_count()).filter(|index| !one_side.contains(index));
        for other in others {
            for index in one_side {
                self.cut(*index, other)?;
            }
        }
        Ok(())
    }

    /// Sets the conditions of the link from one node to another; [`LinkFaults::default`] has none.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`]; [`ErrorCode::InvalidArgument`] when `loss` is no probability.
    pub fn set_link(&self, from: usize, to: usize, faults: LinkFaults) -> Result<()> {
        if !(0.0..=1.0).contains(&faults.loss) {
            let message = format!("loss is a probability from 0 to 1, not {}", faults.loss);
            return Err(Error::new(ErrorCode::InvalidArgument, message));
        }
        let (from, to) = (self.member(from)?, self.member(to)?);
        let conditions = LinkConditions {
            delay: faults.delay,
            loss: faults.loss,
        };
        self.shared.network.set_link(from.addr(), to.addr(), conditions);
        Ok(())
    }

    /// Mends the network: no cut, no isolation, no fault of a link is left. Paused nodes stay paused, disks as they are.
    pub fn heal(&self) {
        self.shared.network.heal();
    }

    /// Lets the disk of a node fail from now on, until [`TestCluster::mend_disk`] or the node's next process. A node whose
    /// log cannot be written leaves its leadership and its roles to others, and has to be restarted.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`].
    pub fn fail_disk(&self, index: usize, fault: DiskFault) -> Result<()> {
        let disk = self.member(index)?.disk;
        let mut faults = Faults::default();
        match fault {
            DiskFault::Full => faults.capacity = Some(0),
            DiskFault::ReadOnly => faults.read_only = true,
            DiskFault::SyncFails => faults.fail_sync = Some(0),
            DiskFault::Hangs => {}
        }
        disk.set_faults(faults);
        disk.hang(fault == DiskFault::Hangs);
        Ok(())
    }

    /// Mends the disk of a node. A node whose log has failed has to be restarted all the same.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`].
    pub fn mend_disk(&self, index: usize) -> Result<()> {
        let disk = self.member(index)?.disk;
        disk.set_faults(Faults::default());
        disk.hang(false);
        Ok(())
    }
}

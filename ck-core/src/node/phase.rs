//! The phases of a node's life.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use crate::env::{ChangeNotifier, Instant};

/// A phase of a node's life. A node passes through the phases in this order, never back, and may skip some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    Created,
    Starting,
    Running,
    /// The node no longer acts as primary or as leader.
    Stopping,
    Stopped,
}

impl Phase {
    const ALL: [Phase; 5] = [
        Phase::Created,
        Phase::Starting,
        Phase::Running,
        Phase::Stopping,
        Phase::Stopped,
    ];
}

/// The present phase of a node. Takes no lock.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    created: Instant,
    phase: AtomicU8,
    /// True once a call has taken it upon itself to close the node.
    is_closing: AtomicBool,
    changed: ChangeNotifier,
}

impl Lifecycle {
    pub(super) fn new() -> Self {
        Lifecycle {
            created: Instant::now(),
            phase: AtomicU8::new(Phase::Created as u8),
            is_closing: AtomicBool::new(false),
            changed: ChangeNotifier::default(),
        }
    }

    /// How long ago the node was created.
    pub(super) fn uptime(&self) -> Duration {
        self.created.elapsed()
    }

    /// The present phase.
    pub(crate) fn phase(&self) -> Phase {
        let number = self.phase.load(Ordering::Acquire);
        Phase::ALL
            .get(usize::from(number))
            .copied()
            .unwrap_or(Phase::Stopped)
    }

    /// Moves from phase `from` to phase `to`. Where the node is in another phase than `from`, fails with that phase.
    pub(super) fn advance(&self, from: Phase, to: Phase) -> Result<(), Phase> {
        let done = self
            .phase
            .compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire)
            .is_ok();
        if done {
            self.changed.notify();
            return Ok(());
        }
        Err(self.phase())
    }

    pub(super) fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
        self.changed.notify();
    }

    /// Begins to close the node. True for the first call, which closes it; the others wait until the node has stopped.
    pub(super) fn begin_closing(&self) -> bool {
        if self.is_closing.swap(true, Ordering::AcqRel) {
            return false;
        }
        // By the first call only: a later one must not take a node back that has stopped.
        self.set(Phase::Stopping);
        true
    }

    /// Notified when the phase changes, and when the cluster refuses this node.
    pub(super) fn changed(&self) -> &ChangeNotifier {
        &self.changed
    }

    /// True from the node's start until it begins to stop.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.phase(), Phase::Starting | Phase::Running)
    }

    /// True when everything is closed.
    pub(crate) fn has_stopped(&self) -> bool {
        self.phase() == Phase::Stopped
    }

    /// Resolves once everything is being closed: what an orderly stop hands over has been handed over by then.
    pub(super) async fn closing(&self) {
        let mut seen = self.changed.count();
        while !self.is_closing.load(Ordering::Acquire) {
            seen = self.changed.after(seen).await;
        }
    }

    /// Resolves once the node begins to stop.
    pub(super) async fn stopping(&self) {
        let mut seen = self.changed.count();
        while self.is_running() {
            seen = self.changed.after(seen).await;
        }
    }
}

//! A leader that lives and is connected is not replaced because timers are late, its own or others' (a node that
//! finds its own timers late takes that for no silence of others). Claimed where nothing else goes wrong.

use crate::plan::Plan;

#[derive(Default)]
pub(crate) struct LeaderStays {
    /// The highest epoch when the cluster had formed.
    formed: Option<u64>,
    highest: u64,
}

impl LeaderStays {
    /// From now on it counts.
    pub(crate) fn formed(&mut self) {
        self.formed = Some(self.highest);
    }

    /// From now on something else goes wrong.
    pub(crate) fn ends(&mut self) {
        self.formed = None;
    }

    pub(crate) fn check(&mut self, plan: &Plan, epoch: u64) -> Result<(), String> {
        self.highest = self.highest.max(epoch);
        match self.formed {
            Some(formed) if epoch > formed && plan.menu.is_late_only() => Err(format!(
                "epoch {epoch} began though the leader of epoch {formed} lives, and only timers were late"
            )),
            _ => Ok(()),
        }
    }
}

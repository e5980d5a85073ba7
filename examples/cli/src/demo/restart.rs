//! The tour's fourth stop: a node restarts.

use std::time::Instant;

use clusterkit::Expect;

use super::report::Restart;
use super::tour::{Tour, copies, time, wrong};
use crate::api::ClusterAnswer;
use crate::error::Result;
use crate::layout::Layout;

/// How many values are written before the restart.
const VALUES: usize = 10;

impl Tour<'_> {
    /// Stop 4: a node is stopped in order and started again on its data. Nothing is lost, nothing moves.
    pub(super) fn restart(&mut self, before: &ClusterAnswer) -> Result<Restart> {
        let old = Layout::new(&before.cluster);
        let place = self.whom_to_restart(before);
        let witness = usize::from(place == 0);
        let node = format!("node-{}", place + 1);
        self.title(&format!("{node} restarts"))?;
        let revision = self.write_values(place)?;
        let start = Instant::now();
        let stopped = self.cluster.stop_one(place)?;
        let away = Layout::new(&self.cluster.api(witness)?.cluster()?.cluster);
        let primaries = old.primaries().get(node.as_str()).copied().unwrap_or(0);
        let taken_over = led_by_others(&old, &away, &node);
        self.say(&format!("  stopped in order in {}", time(stopped.as_secs_f64())))?;
        if taken_over > 0 {
            self.say(&format!(
                "  other nodes took over {taken_over} of its {primaries} partitions meanwhile"
            ))?;
        }
        self.cluster.start_again(place)?;
        let started = self.wait_ready(1, start)?;
        let (after, at) = self.cluster.wait_spread(witness, self.cluster.len())?;
        let seconds = (at - start).as_secs_f64();
        let new = Layout::new(&after.cluster);
        let restart = Restart {
            node,
            stop_seconds: stopped.as_secs_f64(),
            ready_seconds: started.first().map_or(0.0, |node| node.took.as_secs_f64()),
            seconds,
            primaries,
            taken_over,
            written: VALUES,
            read_back: self.read_values(place, revision)?,
            moves: new.moves_since(&old),
        };
        self.judge_restart(&restart, &new)?;
        Ok(restart)
    }

    fn judge_restart(&mut self, restart: &Restart, layout: &Layout) -> Result<()> {
        let read = format!(
            "{} of {} values written before are read back",
            restart.read_back, restart.written
        );
        let total: u64 = layout.copies().into_values().sum();
        let stayed = format!(
            "{} of {} moved; all is whole again after {}",
            restart.moves,
            copies(total),
            time(restart.seconds)
        );
        if restart.read_back != restart.written {
            return Err(wrong(format!(
                "after the restart of {} only {read}",
                restart.node
            )));
        }
        if restart.moves != 0 {
            return Err(wrong(format!(
                "the restart of {} moved data: {stayed}",
                restart.node
            )));
        }
        self.good(&read)?;
        self.good(&stayed)
    }

    /// A node that does not lead, and not the first one either if another will do: people restart those first.
    fn whom_to_restart(&self, answer: &ClusterAnswer) -> usize {
        let leads = |place: &usize| *answer.cluster.leader == *format!("node-{}", place + 1);
        let formed = self.args.nodes as usize;
        (1..formed)
            .rev()
            .chain(formed..self.cluster.len())
            .find(|place| !leads(place))
            .unwrap_or(0)
    }

    /// Writes values through the node at `place`; returns the revision of the last.
    fn write_values(&mut self, place: usize) -> Result<u64> {
        let mut api = self.cluster.api(place)?;
        let mut revision = 0;
        for n in 0..VALUES {
            let (key, value) = value(n);
            revision = api.data_set(&key, value.as_bytes(), Expect::Any)?.revision;
        }
        Ok(revision)
    }

    /// Counts the values that the node at `place` has once it has applied `revision`.
    fn read_values(&mut self, place: usize, revision: u64) -> Result<usize> {
        let mut api = self.cluster.api(place)?;
        let mut right = 0;
        for n in 0..VALUES {
            let (key, value) = value(n);
            if api.data_get(&key, revision)?.value == value.as_bytes() {
                right += 1;
            }
        }
        Ok(right)
    }
}

fn value(n: usize) -> (String, String) {
    (
        format!("demo/{n}"),
        format!("written before the restart, number {n}"),
    )
}

/// Partitions that `node` led in `old` and that another node leads in `away`.
fn led_by_others(old: &Layout, away: &Layout, node: &str) -> usize {
    let pairs = old.partitions.iter().zip(&away.partitions);
    let taken = pairs.filter(|(then, now)| {
        then.primary.as_deref() == Some(node) && now.primary.as_deref().is_some_and(|id| id != node)
    });
    taken.count()
}

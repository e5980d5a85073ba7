//! Events are delivered in log order; partition changes of different partitions run concurrently, every other event is
//! a barrier; so a rejoining node's clean-up has returned before its first copy begins.

use std::collections::{BTreeMap, BTreeSet};

use clusterkit::model::{Event, EventKind, RoleChange};
use clusterkit::sim::Applied;

#[derive(Default)]
pub(crate) struct HookOrder {
    processes: BTreeMap<(String, u64), Calls>,
}

#[derive(Default)]
struct Calls {
    running: Vec<Call>,
    /// What has been begun once: what begins again is a retry, and comes when its delay is over.
    begun: BTreeSet<(u64, Option<u32>, &'static str, String)>,
    last_change: BTreeMap<(u32, String), u64>,
    last_barrier: u64,
    /// Revisions of this node's own rejoins that were told and whose hook has not returned.
    rejoins: BTreeSet<u64>,
}

#[derive(PartialEq)]
struct Call {
    revision: u64,
    partition: Option<u32>,
    kind: &'static str,
    about: String,
}

fn call_of(event: &Event) -> Call {
    let (partition, about) = match &event.kind {
        EventKind::PartitionChange(change) => (
            Some(change.number),
            format!("{} {:?}", change.node_id, change.change),
        ),
        EventKind::NodeRejoin(rejoin) => (None, rejoin.node.id.to_string()),
        EventKind::NodeJoin(join) => (None, join.node.id.to_string()),
        EventKind::NodeLeave(leave) => (None, leave.node.id.to_string()),
        _ => (None, String::new()),
    };
    Call {
        revision: event.revision,
        partition,
        kind: event.kind.name(),
        about,
    }
}

impl HookOrder {
    /// What was told, before any hook hears it.
    pub(crate) fn told(&mut self, applied: &Applied<'_>) {
        for event in applied.events {
            if let EventKind::NodeRejoin(rejoin) = &event.kind
                && *rejoin.node.id == *applied.node
            {
                let process = (applied.node.to_owned(), applied.process);
                self.processes
                    .entry(process)
                    .or_default()
                    .rejoins
                    .insert(event.revision);
            }
        }
    }

    /// A hook is called.
    pub(crate) fn begins(&mut self, id: &str, process: u64, event: &Event) -> Result<(), String> {
        let calls = self.processes.entry((id.to_owned(), process)).or_default();
        let call = call_of(event);
        let what = format!("on {id} the hook for {} of revision {}", call.kind, call.revision);
        let barrier = |call: &Call| call.partition.is_none();
        if let Some(other) = calls
            .running
            .iter()
            .find(|other| barrier(other) || barrier(&call) || other.partition == call.partition)
        {
            return Err(format!(
                "{what} runs beside the one for {} of revision {}",
                other.kind, other.revision
            ));
        }
        if let EventKind::PartitionChange(change) = &event.kind
            && change.change == RoleChange::GainedReplica
            && *change.node_id == *id
            && let Some(rejoin) = calls.rejoins.range(..=event.revision).next()
        {
            return Err(format!(
                "{what} copies before the rejoin of revision {rejoin} was cleaned up"
            ));
        }
        let key = (call.revision, call.partition, call.kind, call.about.clone());
        let is_local = matches!(
            event.kind,
            EventKind::BecomeLeader(_) | EventKind::LoseLeadership(_)
        );
        if calls.begun.insert(key) && !is_local {
            let last = match &event.kind {
                EventKind::PartitionChange(change) => calls
                    .last_change
                    .entry((change.number, change.node_id.to_string()))
                    .or_default(),
                _ => &mut calls.last_barrier,
            };
            if event.revision < *last {
                return Err(format!("{what} comes after one of revision {last}"));
            }
            *last = event.revision;
        }
        calls.running.push(call);
        Ok(())
    }

    /// It has returned.
    pub(crate) fn ends(&mut self, id: &str, process: u64, event: &Event) -> Result<(), String> {
        let calls = self.processes.entry((id.to_owned(), process)).or_default();
        let call = call_of(event);
        if let EventKind::NodeRejoin(rejoin) = &event.kind
            && *rejoin.node.id == *id
        {
            calls.rejoins = calls.rejoins.split_off(&(event.revision + 1));
        }
        let at = calls.running.iter().position(|other| *other == call);
        match at {
            Some(at) => {
                calls.running.remove(at);
                Ok(())
            }
            None => Err(format!("on {id} a hook returned that was not called")),
        }
    }
}

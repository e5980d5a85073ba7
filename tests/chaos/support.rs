//! A cluster with clients and a record of all claims, and how it ends.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use ck_tests::claims::{self, History, Subject};
use ck_tests::{Cluster, Holders, Load, copies, primaries};
use clusterkit::model::{Event, EventKind, LeaveReason, NodeLeaveEvent, NodeStatus};
use serde::Deserialize;
use tempfile::TempDir;

use crate::PROGRAM;

/// Partitions of every cluster here: enough for each node to lead some, few enough to be asked about all the time.
pub(crate) const PARTITIONS: u32 = 16;
/// Longer than every timeout of a node at `lan`: a lease of 1.5 s, failure after 2 s.
pub(crate) const LONG_OUTAGE: Duration = Duration::from_secs(3);
/// How long a client waits for an answer: there are nodes that will not give one.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// How many clients write at once.
const WRITERS: u64 = 5;

/// Two scenarios may run at once, and those that need the machine for themselves wait for that.
static MACHINE: RwLock<()> = RwLock::new(());

/// What a scenario holds for as long as it runs.
#[derive(Debug)]
#[expect(dead_code, reason = "held, and never looked at")]
pub(crate) enum Machine {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

impl Machine {
    pub(crate) fn shared() -> Self {
        Machine::Shared(MACHINE.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn alone() -> Self {
        Machine::Alone(MACHINE.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Says that something is not tested here, and why: past the test runner, which keeps what passing tests print.
pub(crate) fn skipped(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}: {why}");
}

/// An event as a process wrote it down, once it had done what there was to do.
#[derive(Debug, Deserialize)]
pub(crate) struct Told {
    pub(crate) at: u64,
    pub(crate) event: Event,
}

/// A cluster, its clients, and what its processes claim and are told.
pub(crate) struct Scene {
    pub(crate) cluster: Cluster,
    load: Option<Load>,
    folder: TempDir,
    _machine: Machine,
}

impl Scene {
    /// A cluster without a node yet, and without clients.
    pub(crate) fn empty(machine: Machine, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (claims, partitions) = (folder.path().display().to_string(), PARTITIONS.to_string());
        let all = [flags, &["--claims", &claims, "--partition-count", &partitions]].concat();
        Scene {
            cluster: Cluster::without_nodes(PROGRAM, &all),
            load: None,
            folder,
            _machine: machine,
        }
    }

    /// A cluster of `nodes` at rest, to which clients write.
    pub(crate) fn of(machine: Machine, nodes: usize, flags: &[&str]) -> Self {
        let mut scene = Scene::empty(machine, flags);
        scene.cluster.spawn();
        scene.cluster.node(0).wait_ready();
        for _ in 1..nodes {
            scene.cluster.spawn();
        }
        scene.cluster.wait_ready();
        scene.begin();
        scene
    }

    /// Waits until the cluster is at rest and everything is claimed, and starts the clients.
    pub(crate) fn begin(&mut self) {
        self.cluster.settle();
        self.served_since(claims::now());
        self.load = Some(Load::start_impatient(
            &self.cluster,
            WRITERS,
            claims::now(),
            ANSWER_TIMEOUT,
        ));
        self.progress();
    }

    /// Waits until clients get on.
    pub(crate) fn progress(&self) -> Duration {
        self.load.as_ref().unwrap().wait_progress(&self.cluster, 20)
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.load.as_ref().unwrap().acknowledged()
    }

    pub(crate) fn id(&self, place: usize) -> String {
        self.cluster.nodes()[place].id.clone()
    }

    /// Who holds each partition, once that is settled.
    pub(crate) fn copies(&self) -> Holders {
        copies(&self.cluster.settle_under_load().cluster)
    }

    /// Waits until the node at `through` says that nobody of `gone` leads a partition any more, and all are led.
    pub(crate) fn taken_over(&self, through: usize, gone: &[usize]) -> Duration {
        let gone: BTreeSet<String> = gone.iter().map(|place| self.id(*place)).collect();
        let led_by_others = || {
            let snapshot = self
                .cluster
                .api(through)
                .cluster()
                .map_err(|error| error.to_string())?;
            let primaries = primaries(&snapshot.cluster);
            let others = primaries.values().filter(|id| !gone.contains(*id)).count();
            let wanted = PARTITIONS as usize;
            (others == wanted)
                .then_some(())
                .ok_or_else(|| format!("{others} of {wanted}"))
        };
        self.cluster.until("others lead every partition", led_by_others).1
    }

    /// Waits until the node at `through` says that the one at `place` is what it should be.
    pub(crate) fn wait_status(&self, through: usize, place: usize, status: NodeStatus) {
        let id = self.id(place);
        self.cluster.until(&format!("{id} is {}", status.as_str()), || {
            let nodes = self
                .cluster
                .api(through)
                .nodes()
                .map_err(|error| error.to_string())?;
            match nodes.iter().find(|node| *node.id == *id).map(|node| node.status) {
                Some(found) if found == status => Ok(()),
                found => Err(format!("{found:?}")),
            }
        });
    }

    /// Kills the node at `place`, without a word to anybody.
    pub(crate) fn kill(&mut self, place: usize) {
        self.cluster.node(place).kill();
    }

    /// Starts the node at `place` again, where it was.
    pub(crate) fn restart(&mut self, place: usize) {
        self.cluster.node(place).spawn_again();
        self.cluster.node(place).wait_ready();
    }

    /// What all processes have claimed so far.
    pub(crate) fn history(&self) -> History {
        History::read(self.folder.path())
    }

    /// What the processes of a node were told, one after the other: when each began, and its events.
    pub(crate) fn told(&self, id: &str) -> Vec<(u64, Vec<Told>)> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let Some((node, began)) = name.strip_suffix(".events").and_then(|name| name.split_once('@'))
            else {
                continue;
            };
            if node == id {
                let text = std::fs::read_to_string(&path).unwrap();
                let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
                let events = whole.map(|line| serde_json::from_str(line).unwrap()).collect();
                found.push((began.parse().unwrap(), events));
            }
        }
        found.sort_by_key(|(began, _)| *began);
        found
    }

    /// Who was declared failed, as any process was told.
    pub(crate) fn failures(&self) -> BTreeSet<String> {
        let ids: Vec<String> = self.cluster.nodes().iter().map(|node| node.id.clone()).collect();
        let failed = |told: &Told| match &told.event.kind {
            EventKind::NodeLeave(NodeLeaveEvent {
                node,
                reason: LeaveReason::HealthCheckFailure,
                ..
            }) => Some(node.id.to_string()),
            _ => None,
        };
        let all = ids
            .iter()
            .flat_map(|id| self.told(id))
            .flat_map(|(_, events)| events);
        all.filter_map(|told| failed(&told)).collect()
    }

    /// Waits until some process has claimed each partition, in a sample from after `moment`.
    pub(crate) fn served_since(&self, moment: u64) {
        self.cluster.until("every partition is served", || {
            let history = self.history();
            let samples = history.records.iter().flat_map(|record| &record.samples);
            let claimed: BTreeSet<Subject> = samples
                .filter(|sample| sample.from > moment)
                .flat_map(|sample| sample.claims.keys().copied())
                .collect();
            let missing: Vec<u32> = (0..PARTITIONS)
                .filter(|number| !claimed.contains(&Subject::Partition(*number)))
                .collect();
            missing
                .is_empty()
                .then_some(())
                .ok_or_else(|| format!("{missing:?}"))
        });
    }

    /// Ends the clients, waits until the cluster is at rest, and checks everything: all acknowledged writes are there,
    /// none happened twice, all nodes agree, and no two processes ever claimed the same at once.
    pub(crate) fn finish(mut self, name: &str) -> History {
        let journal = self.load.take().unwrap().finish();
        self.cluster.settle();
        for api in self.cluster.apis() {
            journal.check(&api.cluster().unwrap().cluster);
            journal.check_revisions(&api);
        }
        let history = self.history();
        history.check();
        assert!(!history.is_empty());
        let (done, unknown) = journal.totals();
        println!(
            "{name}: {done} writes, {unknown} unknown, {} samples",
            history.len()
        );
        history
    }
}

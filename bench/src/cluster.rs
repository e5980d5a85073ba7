//! Clusters in this process: real data directories, real sockets on loopback.

use std::path::Path;
use std::time::{Duration, Instant};

use clusterkit::{ClusterKit, Options, TimingProfile};
use tempfile::TempDir;

use crate::Outcome;
use crate::protection::{Authority, Protection};

/// How long anything may take before the benchmark gives up.
pub(crate) const BENCH_TIMEOUT: Duration = Duration::from_secs(240);
/// Partitions of every cluster that is measured.
pub(crate) const PARTITIONS: u32 = 64;

/// Nodes of one cluster, and where they keep their data.
pub(crate) struct Nodes {
    pub(crate) nodes: Vec<ClusterKit>,
    dir: TempDir,
    kind: Kind,
    authority: Authority,
}

/// What kind of cluster.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) partitions: u32,
    pub(crate) profile: TimingProfile,
    /// What protects it.
    pub(crate) protection: Protection,
}

impl Default for Kind {
    fn default() -> Self {
        Kind {
            partitions: PARTITIONS,
            profile: TimingProfile::Lan,
            protection: Protection::None,
        }
    }
}

impl Nodes {
    /// A cluster without nodes, on the disk of `dir`.
    pub(crate) fn none(dir: &Path) -> Outcome<Self> {
        Nodes::none_of(dir, Kind::default())
    }

    /// The same, of another kind.
    pub(crate) fn none_of(dir: &Path, kind: Kind) -> Outcome<Self> {
        let dir = tempfile::Builder::new().prefix("ck-bench-").tempdir_in(dir)?;
        Ok(Nodes {
            nodes: Vec::new(),
            authority: Authority::new(kind.protection, dir.path())?,
            dir,
            kind,
        })
    }

    /// What hands a further node of it its secret and its certificate.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Where their data is.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A cluster of `count` nodes that all hold their share.
    pub(crate) fn formed(dir: &Path, count: usize) -> Outcome<Self> {
        let mut nodes = Nodes::none(dir)?;
        nodes.add(count)?;
        nodes.wait_until_formed()?;
        Ok(nodes)
    }

    /// Adds `count` nodes: a founder where there is none, and the others all at once.
    pub(crate) fn add(&mut self, count: usize) -> Outcome {
        let mut missing = count;
        if self.nodes.is_empty() {
            let founder = ClusterKit::new(self.options(0)?)?;
            founder.start()?;
            self.nodes.push(founder);
            missing -= 1;
        }
        let from = self.nodes.len();
        let new: Vec<_> = (from..from + missing)
            .map(|i| Ok(ClusterKit::new(self.options(i)?)?))
            .collect::<Outcome<_>>()?;
        std::thread::scope(|scope| -> Outcome {
            let starting: Vec<_> = new.iter().map(|node| scope.spawn(|| node.start())).collect();
            // Those behind a failed one are waited for by the scope.
            starting
                .into_iter()
                .try_for_each(|start| start.join().map_err(|_| "a start panicked")?.map_err(Into::into))
        })?;
        self.nodes.extend(new);
        Ok(())
    }

    /// Adds one node that is called `i`, which no node was before.
    pub(crate) fn add_as(&mut self, i: usize) -> Outcome {
        let node = ClusterKit::new(self.options(i)?)?;
        node.start()?;
        self.nodes.push(node);
        Ok(())
    }

    /// The options of node `i`.
    fn options(&self, i: usize) -> Outcome<Options> {
        let id = format!("node-{i:02}");
        let mut options = Options::new(&id, "127.0.0.1:0");
        options.data_dir = self.dir.path().join(format!("{i}")).display().to_string();
        options.join_timeout = BENCH_TIMEOUT;
        options.timing.profile = self.kind.profile;
        for (name, value) in self.authority.options_of(&id)? {
            options.set(name, &value)?;
        }
        match self.nodes.first().and_then(ClusterKit::http_addr) {
            Some(founder) => options.join_addrs = vec![founder],
            None => options.partition_count = Some(self.kind.partitions),
        }
        Ok(options)
    }

    /// Stops node `i` and starts it again on the same data; gives how long the start took.
    pub(crate) fn restart(&mut self, i: usize) -> Outcome<Duration> {
        self.nodes[i].stop()?;
        let started = Instant::now();
        self.nodes[i] = ClusterKit::new(self.options(i)?)?;
        self.nodes[i].start()?;
        Ok(started.elapsed())
    }

    /// Waits until every node sees every partition with all its copies in place and nothing left to move.
    pub(crate) fn wait_until_formed(&self) -> Outcome {
        self.wait_until_formed_with(0)
    }

    /// The same, where there are so many nodes in processes of their own too.
    pub(crate) fn wait_until_formed_with(&self, others: usize) -> Outcome {
        let members = self.nodes.len() + others;
        let copies = members.min(3);
        for node in &self.nodes {
            until("every partition with all its copies everywhere", || {
                let view = node.view();
                view.nodes().len() == members
                    && view.partition_count() == self.kind.partitions
                    && view.partitions().all(|partition| {
                        partition.nodes().count() == copies
                            && partition.pending().count() == 0
                            && partition.primary().is_some()
                    })
            })?;
        }
        Ok(())
    }

    /// Waits until node `i` holds a partition that counts: its data is confirmed.
    pub(crate) fn wait_until_owner(&self, i: usize) -> Outcome {
        let node = &self.nodes[i];
        until("a partition of its own", || {
            node.view()
                .partitions()
                .any(|partition| partition.role().is_some())
        })
    }

    /// The node that leads.
    pub(crate) fn leader(&self) -> Outcome<&ClusterKit> {
        let leader = self.nodes.iter().find(|node| node.is_leader());
        leader.ok_or_else(|| "nobody leads".into())
    }

    /// A node that does not lead.
    pub(crate) fn follower(&self) -> Outcome<&ClusterKit> {
        let follower = self.nodes.iter().find(|node| !node.is_leader());
        follower.ok_or_else(|| "nobody follows".into())
    }

    /// Stops all nodes, the last to come first.
    pub(crate) fn stop(self) -> Outcome {
        for node in self.nodes.iter().rev() {
            node.stop()?;
        }
        Ok(())
    }
}

/// Waits for a condition.
pub(crate) fn until(what: &str, condition: impl FnMut() -> bool) -> Outcome {
    until_every(Duration::from_micros(500), what, condition)
}

/// Waits for a condition, looking so often.
pub(crate) fn until_every(pause: Duration, what: &str, mut condition: impl FnMut() -> bool) -> Outcome {
    let deadline = Instant::now() + BENCH_TIMEOUT;
    while !condition() {
        if Instant::now() >= deadline {
            return Err(format!("{what}: did not come about within {BENCH_TIMEOUT:?}").into());
        }
        std::thread::sleep(pause);
    }
    Ok(())
}

//! One Raft node: opening, writing, membership, numbers, closing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{AbortHandle, abortable};
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{InitializeError, RaftError};
use openraft::raft::Precondition;
use openraft::{ChangeMembers, EmptyNode, ServerState, SnapshotPolicy};

use super::acks::Acks;
use super::disk_watch::watch_disk;
use super::election::ElectionTimer;
use super::growth::{Growth, bound_log};
use super::heartbeats::{Heartbeats, Mute};
use super::lateness::Lateness;
use super::log_store::LogStore;
use super::network::{Addresses, Network};
use super::pledge::Pledges;
use super::pledge_file::{PledgeFile, stretch_pledges};
use super::replica::Replica;
use super::server::Server;
use super::state_machine::{Raft, SnapshotStore, StateMachine};
use super::types::{LogId, RaftId, Vote, from_wal_id, stopped};
use super::wal::{self, Owner, Wal, WalOptions, WalThread};
use crate::env::disk::Disk;
use crate::env::{self, Instant, Signal};
use crate::error::{Error, ErrorCode, Result};
use crate::model::{ConsensusStats, NodeId, whole_millis};
use crate::net::Transport;
use crate::options::TimingValues;

/// The folder of the log in a data directory.
pub(crate) const LOG_DIR: &str = "wal.log";
/// The file of the snapshot in a data directory.
const SNAPSHOT: &str = "snapshot";

/// True when a data directory has a log.
pub(crate) fn has_log(disk: &dyn Disk, dir: &Path) -> Result<bool> {
    Wal::exists(disk, &dir.join(LOG_DIR))
}

/// True when a data directory has a snapshot.
pub(crate) fn has_snapshot(disk: &dyn Disk, dir: &Path) -> Result<bool> {
    Ok(disk.open(&dir.join(SNAPSHOT))?.is_some())
}

/// When snapshots are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SnapshotPace {
    /// After so many entries a snapshot is taken, but not before they have this many times the length of the last one: the
    /// state of tens of thousands of partitions costs as much to write as a hundred thousand small entries.
    pub(crate) entries: u64,
    pub(crate) times: u64,
    /// So many entries stay in the log behind a snapshot, for followers that are a little late.
    pub(crate) kept: u64,
}

impl Default for SnapshotPace {
    fn default() -> Self {
        SnapshotPace {
            entries: 50_000,
            times: 4,
            kept: 10_000,
        }
    }
}

/// What a Raft node is opened with.
pub(crate) struct ConsensusConfig {
    pub(crate) raft_id: RaftId,
    pub(crate) cluster_name: String,
    pub(crate) timing: TimingValues,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) addresses: Arc<dyn Addresses>,
    pub(crate) replica: Arc<Replica>,
    pub(crate) snapshots: SnapshotPace,
}

/// A Raft node that runs.
pub(crate) struct Consensus {
    raft: Raft,
    raft_id: RaftId,
    server: Server,
    wal: Arc<Wal>,
    writer: Mutex<Option<WalThread>>,
    replica: Arc<Replica>,
    pub(super) acks: Arc<Acks>,
    /// For how long this node may act as leader after a quorum heard of it.
    pub(crate) lease: Duration,
    pub(super) heartbeat: Duration,
    /// The vote of the leadership that this node is giving up: from then on it holds no lease.
    handing_over: Mutex<Option<Vote>>,
    /// Told when it begins to.
    pub(super) gave_up: Signal,
    pub(super) pledges: Arc<Pledges>,
    elections: Arc<ElectionTimer>,
    /// The delays that this node has seen.
    pub(crate) lateness: Arc<Lateness>,
    /// End the tasks beside openraft's own.
    tasks: Vec<AbortHandle>,
}

/// Who takes part in Raft, as this node knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RaftMembers {
    /// Who votes; while a change is under way, who will.
    pub(crate) voters: BTreeSet<RaftId>,
    /// Voters and learners.
    pub(crate) all: BTreeSet<RaftId>,
    /// A change of voters is half done.
    pub(crate) joint: bool,
}

/// A change of who votes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum VoterChange {
    /// Gives nodes the log, without a vote.
    AddLearners(BTreeSet<RaftId>),
    /// Makes exactly these vote; others become learners.
    Voters(BTreeSet<RaftId>),
    /// Takes nodes out altogether.
    Remove(BTreeSet<RaftId>),
}

impl Consensus {
    /// Opens the log and starts the node. Nothing is proposed yet.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupt`], [`ErrorCode::DataDirInUse`], [`ErrorCode::Io`] from the disk.
    pub(crate) async fn open(config: ConsensusConfig) -> Result<Arc<Self>> {
        let owner = Owner::new(&config.addresses.cluster_id(), config.raft_id)?;
        let options = WalOptions {
            seed: seed(),
            owner,
            ..WalOptions::default()
        };
        let (wal, writer) = Wal::open(config.disk.clone(), &config.dir.join(LOG_DIR), &options)?;
        let wal = Arc::new(wal);
        let writer = if env::runtime::simulated() {
            env::spawn(writer.run());
            None
        } else {
            Some(writer.spawn()?)
        };
        let voted_before = wal.vote().is_some();
        let store = SnapshotStore::new(config.disk.clone(), config.dir.join(SNAPSHOT), owner);
        let durable = store.durable();
        let growth = Arc::<Growth>::default();
        let pace = config.snapshots;
        let machine = StateMachine::open(config.replica.clone(), store, growth.clone(), pace)?;
        check_snapshot(&config.dir, wal.purged(), durable.load(Ordering::Acquire))?;
        let election_timeout_max = config.timing.election_max;
        let heartbeat = config.timing.heartbeat;
        let acks = Arc::new(Acks::new(election_timeout_max));
        let pledge_file = Arc::new(PledgeFile::new(config.disk.clone(), &config.dir));
        let stretch = pledge_file.load()?;
        let lateness = Arc::new(Lateness::new(heartbeat, election_timeout_max));
        let pledges = Arc::new(Pledges::new(
            wal.vote().map(|vote| (vote.term, vote.node)),
            election_timeout_max,
            stretch,
            lateness.clone(),
        ));
        let mute = Arc::<Mute>::default();
        let network = Network::new(
            config.raft_id,
            config.transport,
            config.addresses.clone(),
            acks.clone(),
            pledges.clone(),
            mute.clone(),
        );
        let raft_config = raft_config(config.cluster_name, config.timing, config.snapshots)?;
        let raft = Raft::new(
            config.raft_id,
            Arc::new(raft_config),
            network.clone(),
            LogStore::new(wal.clone()).behind(durable),
            machine,
        )
        .await
        .map_err(|error| Error::new(ErrorCode::Corrupt, format!("Raft cannot start: {error}")))?;
        let elections = Arc::new(ElectionTimer::new(
            raft.clone(),
            config.raft_id,
            config.timing,
            config.replica.clone(),
            pledges.clone(),
            lateness.clone(),
            voted_before.then_some(election_timeout_max * stretch),
        ));
        let heartbeats = Heartbeats {
            raft: raft.clone(),
            me: config.raft_id,
            timing: config.timing,
            replica: config.replica.clone(),
            acks: acks.clone(),
            lateness: lateness.clone(),
            mute,
            network,
        };
        let marked = wal.clone();
        let tasks = vec![
            spawn_abortable(bound_log(raft.clone(), growth)),
            spawn_abortable(async move { marked.keep_marked().await }),
            spawn_abortable(watch_disk(wal.clone(), raft.clone(), config.disk, config.dir)),
            spawn_abortable(elections.clone().run()),
            spawn_abortable(heartbeats.run()),
            spawn_abortable(stretch_pledges(
                pledge_file,
                pledges.clone(),
                config.replica.clone(),
                election_timeout_max,
                stretch,
            )),
        ];
        let server = Server::new(raft.clone(), config.raft_id, config.addresses, pledges.clone());
        Ok(Arc::new(Consensus {
            raft,
            raft_id: config.raft_id,
            server,
            wal,
            writer: Mutex::new(writer),
            replica: config.replica,
            lease: acks.lease(),
            acks,
            heartbeat,
            handing_over: Mutex::new(None),
            gave_up: Signal::default(),
            pledges,
            elections,
            lateness,
            tasks,
        }))
    }

    /// This node's number.
    pub(crate) fn raft_id(&self) -> RaftId {
        self.raft_id
    }

    /// The replicated state as applied here.
    pub(crate) fn replica(&self) -> &Arc<Replica> {
        &self.replica
    }

    pub(super) fn raft(&self) -> &Raft {
        &self.raft
    }

    /// True when this node has never been part of a cluster's Raft.
    pub(crate) async fn is_pristine(&self) -> Result<bool> {
        self.raft
            .is_initialized()
            .await
            .map(|initialized| !initialized)
            .map_err(stopped)
    }

    /// Makes this node the only voter of a new cluster.
    pub(crate) async fn initialize(&self) -> Result<()> {
        let members = BTreeMap::from([(self.raft_id, EmptyNode::new())]);
        match self.raft.initialize(members).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(error) => Err(Error::internal(format!("initialize Raft: {error}"))),
        }
    }

    /// Answers a Raft call of another node.
    pub(crate) async fn handle_peer(&self, body: &[u8]) -> Bytes {
        self.server.handle(body).await
    }

    /// Which leader last sent this node anything, and when.
    pub(crate) fn last_heard(&self) -> Option<(RaftId, Instant)> {
        self.pledges.heard()
    }

    /// The Raft node that leads as far as this one knows.
    pub(crate) fn leader(&self) -> Option<RaftId> {
        let metrics = self.raft.metrics();
        metrics.borrow_watched().current_leader
    }

    /// Begins to give up the leadership of `vote`. Before anybody is asked to take it over: who takes over is elected
    /// inside the old leader's lease, so there must be none any more.
    pub(super) fn give_up(&self, vote: Vote) {
        *self.handing_over.lock().unwrap_or_else(PoisonError::into_inner) = Some(vote);
        self.gave_up.notify();
    }

    /// True when this node is giving up the leadership of `vote`.
    pub(super) fn gives_up(&self, vote: Vote) -> bool {
        *self.handing_over.lock().unwrap_or_else(PoisonError::into_inner) == Some(vote)
    }

    /// The last entry of this node's log.
    pub(super) fn last_log_id(&self) -> Option<LogId> {
        self.wal.last().map(from_wal_id)
    }

    /// True when this node takes part in Raft no more: its log has failed, Raft has panicked, or it was closed.
    pub(crate) fn has_ended(&self) -> bool {
        let mut metrics = self.raft.metrics();
        // One that panicked says nothing, and is gone.
        metrics.borrow_and_update().running_state.is_err()
            || metrics
                .changed()
                .now_or_never()
                .is_some_and(|changed| changed.is_err())
    }

    /// Why the log takes nothing in any more, where it has failed.
    pub(crate) fn log_failure(&self) -> Option<Error> {
        self.wal
            .failure()
            .filter(|error| error.code() != ErrorCode::Stopped)
    }

    /// Where Raft is, in one line.
    #[cfg(feature = "sim")]
    pub(crate) fn describe(&self) -> String {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let voters: Vec<RaftId> = metrics.membership_config.voter_ids().collect();
        format!(
            "{} is {:?} in term {}, follows {:?}, log {:?}, committed {:?}, applied {:?}, voters {voters:?}",
            self.raft_id,
            metrics.state,
            metrics.current_term,
            metrics.current_leader,
            metrics.last_log_index,
            metrics.local_committed.map(|id| id.index),
            metrics.last_applied.map(|id| id.index),
        )
    }

    /// Raft's own numbers.
    pub(crate) fn stats(&self, node_of: impl Fn(RaftId) -> Option<NodeId>) -> ConsensusStats {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics
            .current_leader
            .and_then(node_of)
            .unwrap_or_else(|| "".into());
        let state = match metrics.state {
            ServerState::Leader => "Leader",
            ServerState::Follower => "Follower",
            ServerState::Candidate => "Candidate",
            ServerState::Learner => "Learner",
            ServerState::Shutdown => "Shutdown",
        };
        ConsensusStats {
            state: state.to_owned(),
            term: metrics.current_term,
            last_log_index: metrics.last_log_index.unwrap_or(0),
            last_log_term: self.wal.last().map_or(0, |id| id.term),
            commit_index: metrics
                .cluster_committed
                .or(metrics.local_committed)
                .map_or(0, |id| id.index),
            applied_index: metrics.last_applied.map_or(0, |id| id.index),
            num_peers: metrics
                .membership_config
                .nodes()
                .filter(|(id, _)| **id != self.raft_id)
                .count(),
            is_leader: metrics.state == ServerState::Leader && metrics.current_leader == Some(self.raft_id),
            current_term: metrics.current_term,
            current_leader: leader.clone(),
            leader,
        }
    }

    /// Who takes part in Raft.
    pub(crate) fn raft_members(&self) -> RaftMembers {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let configs = metrics.membership_config.get_joint_config();
        RaftMembers {
            voters: configs.last().cloned().unwrap_or_default(),
            all: metrics.membership_config.nodes().map(|(id, _)| *id).collect(),
            joint: configs.len() > 1,
        }
    }

    /// True when no other node takes part, or none is known.
    pub(crate) fn is_alone(&self) -> bool {
        self.raft_members().all.iter().all(|id| *id == self.raft_id)
    }

    /// The index of the last entry in this node's log.
    pub(crate) fn last_index(&self) -> u64 {
        self.wal.last().map_or(0, |id| id.index)
    }

    /// How far each follower's log is known to match the leader's; empty where this node does not lead.
    pub(crate) fn replication(&self) -> BTreeMap<RaftId, u64> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let Some(replication) = &metrics.replication else {
            return BTreeMap::new();
        };
        replication
            .iter()
            .map(|(id, matched)| (*id, matched.map_or(0, |id| id.index)))
            .collect()
    }

    /// Changes who takes part, if nothing else has changed that meanwhile; a change that was left half done is
    /// finished by the next one.
    pub(crate) async fn change_members(&self, change: VoterChange) -> Result<()> {
        let (based_on, change, retain) = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            let based_on = *metrics.membership_config.log_id();
            match change {
                VoterChange::AddLearners(ids) => {
                    let learners = ids.into_iter().map(|id| (id, EmptyNode::new()));
                    (based_on, ChangeMembers::AddNodes(learners.collect()), true)
                }
                VoterChange::Voters(voters) => (based_on, ChangeMembers::ReplaceAllVoters(voters), true),
                VoterChange::Remove(ids) => (based_on, ChangeMembers::RemoveNodes(ids), true),
            }
        };
        let unchanged = Precondition::LastMembershipLogId {
            last_membership_log_id: based_on,
        };
        match self.raft.change_membership_if(change, retain, [unchanged]).await {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(error)) => Err(Error::new(
                ErrorCode::Conflict,
                format!("the change of voters was refused: {error}"),
            )),
            Err(RaftError::Fatal(fatal)) => Err(stopped(fatal)),
        }
    }

    /// Does not stand for election by itself for `duration`: others are to lead.
    pub(crate) fn rest(&self, duration: Duration) {
        self.elections.rest(duration);
    }

    /// Stops Raft and closes the log; what was acknowledged is durable already.
    pub(crate) async fn close(&self) -> Result<()> {
        self.tasks.iter().for_each(AbortHandle::abort);
        let ended = self.raft.shutdown().await;
        let (tx, rx) = tokio::sync::oneshot::channel();
        self.wal.close(Box::new(move |result| drop(tx.send(result))));
        let closed = rx.await.unwrap_or(Ok(()));
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            match env::blocking(move || thread.join()).await {
                Ok(joined) => joined?,
                Err(error) => return Err(Error::internal(format!("close the log: {error}"))),
            }
        }
        self.replica.close();
        ended.map_err(stopped)?;
        closed
    }
}

fn spawn_abortable(task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    let (task, handle) = abortable(task);
    env::spawn(async move {
        // Aborted is how it ends.
        let _ = task.await;
    });
    handle
}

/// A log that begins behind its start stands on a snapshot. Without it what came before is unknown, and the node would
/// silently be one that never had it.
fn check_snapshot(dir: &Path, purged: Option<wal::LogId>, snapshot: u64) -> Result<()> {
    let Some(purged) = purged.filter(|purged| purged.index > snapshot) else {
        return Ok(());
    };
    let has = match snapshot {
        0 => "it is missing".to_owned(),
        index => format!("it ends with entry {index}"),
    };
    Err(Error::new(
        ErrorCode::Corrupt,
        format!(
            "{}: the log begins after entry {}, and what was before it is in the snapshot, but {has}; {}",
            dir.join(SNAPSHOT).display(),
            purged.index,
            wal::WHAT_TO_DO
        ),
    ))
}

fn raft_config(
    cluster_name: String,
    timing: TimingValues,
    snapshots: SnapshotPace,
) -> Result<openraft::Config> {
    let election_max = whole_millis(timing.election_max);
    let config = openraft::Config {
        cluster_name,
        heartbeat_interval: whole_millis(timing.heartbeat),
        election_timeout_min: whole_millis(timing.election_min),
        election_timeout_max: election_max,
        // When to stand is decided by the election timer of our own.
        enable_elect: false,
        enable_pre_vote: Some(true),
        // A leader sends entries before its own disk has them. One that is killed then and goes on leading in the
        // same term gives their places in the log to other entries, and nobody can tell the two apart: nodes apply
        // different commands. It stands for election like everybody else, in a new term and with a new epoch.
        enable_leader_restore: Some(false),
        // A leader that hears of no quorum falls silent by our own count: see heartbeats.rs.
        quorum_loss_probe_interval: None,
        // When one is due is for us to say: see growth.rs.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: snapshots.kept,
        replication_lag_threshold: snapshots.entries + snapshots.kept,
        // A snapshot goes in pieces, each with a deadline of its own; this bounds the whole.
        install_snapshot_timeout: 10 * 60 * 1000,
        ..openraft::Config::default()
    };
    config.validate().map_err(|error| {
        Error::new(
            ErrorCode::InvalidOption,
            format!("timing: Raft refuses it: {error}"),
        )
    })
}

fn seed() -> u64 {
    use rand::Rng;
    env::runtime::rng().next_u64()
}

//! Opens a Raft node: its log, its snapshot, and the background tasks that ClusterKit runs beside openraft's own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::{AbortHandle, abortable};
use openraft::SnapshotPolicy;
use parking_lot::Mutex;

use super::applied_state::AppliedState;
use super::election::election_timer::ElectionTimer;
use super::election::lateness::Lateness;
use super::election::pledge::Pledges;
use super::election::pledge_file::{PledgeFile, stretch_pledges};
use super::election::quorum_acks::QuorumAcks;
use super::match_index::MatchIndex;
use super::raft_node::RaftNode;
use super::storage::disk_watch::watch_disk;
use super::storage::log_compaction::{CompactionTrigger, run_compaction};
use super::storage::log_store::LogStore;
use super::storage::state_machine::{Raft, SnapshotStore, StateMachine};
use super::storage::wal::{self, Owner, Wal, WalOptions};
use super::transport::heartbeats::{LeaderHeartbeats, Mute};
use super::transport::network::Network;
use super::transport::rpc_server::RpcServer;
use super::transport::snapshot_receiver::SnapshotReceiver;
use super::types::RaftId;
use crate::env::disk::Disk;
use crate::env::{self, ChangeNotifier};
use crate::error::{Error, ErrorCode, Result};
use crate::model::whole_millis;
use crate::options::TimingValues;
use crate::rpc::PeerClient;

/// Name of the log folder inside a data directory.
pub(crate) const LOG_DIR: &str = "wal.log";
/// Name of the snapshot file inside a data directory.
const SNAPSHOT: &str = "snapshot";

/// True if the data directory holds a log.
pub(crate) fn has_log(disk: &dyn Disk, dir: &Path) -> Result<bool> {
    Wal::exists(disk, &dir.join(LOG_DIR))
}

/// True if the data directory holds a snapshot.
pub(crate) fn has_snapshot(disk: &dyn Disk, dir: &Path) -> Result<bool> {
    Ok(disk.open(&dir.join(SNAPSHOT))?.is_some())
}

/// Decides how often snapshots are taken, and how much of the log is kept after one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SnapshotPace {
    /// A snapshot is due after this many entries, provided their bytes are at least `times` the size of the last
    /// snapshot: the state of tens of thousands of partitions costs as much to write as a hundred thousand small
    /// entries.
    pub(crate) entries: u64,
    pub(crate) times: u64,
    /// This many entries stay in the log behind a snapshot, so that followers that lag a little need no snapshot.
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

/// The parameters of [`RaftNode::open`].
pub(crate) struct RaftConfig {
    pub(crate) raft_id: RaftId,
    pub(crate) cluster_name: String,
    pub(crate) timing: TimingValues,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) peers: PeerClient,
    pub(crate) applied: Arc<AppliedState>,
    pub(crate) snapshots: SnapshotPace,
}

impl RaftNode {
    /// Opens the log and starts the node. It proposes nothing yet.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupt`], [`ErrorCode::DataDirInUse`], [`ErrorCode::Io`] from the disk.
    pub(crate) async fn open(config: RaftConfig) -> Result<Arc<Self>> {
        let owner = Owner::new(&config.peers.cluster_id(), config.raft_id)?;
        let options = WalOptions {
            seed: seed(),
            owner,
            ..WalOptions::default()
        };
        let (disk, dir) = (config.disk.clone(), config.dir.join(LOG_DIR));
        let (wal, writer) = env::blocking(move || Wal::open(disk, &dir, &options)).await??;
        let wal = Arc::new(wal);
        let writer = if env::runs_in_place() {
            env::spawn(writer.run());
            None
        } else {
            Some(writer.spawn()?)
        };
        let voted_before = wal.vote().is_some();
        let store = SnapshotStore::new(config.disk.clone(), config.dir.join(SNAPSHOT), owner);
        let durable = store.durable();
        let compaction = Arc::<CompactionTrigger>::default();
        let (applied, trigger, pace) = (config.applied.clone(), compaction.clone(), config.snapshots);
        let machine = env::blocking(move || StateMachine::open(applied, store, trigger, pace)).await??;
        check_snapshot(&config.dir, wal.purged(), durable.load(Ordering::Acquire))?;
        let election_timeout_max = config.timing.election_max;
        let heartbeat = config.timing.heartbeat;
        let acks = Arc::new(QuorumAcks::new(election_timeout_max));
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
        let match_index = Arc::<MatchIndex>::default();
        let network = Network::new(
            config.raft_id,
            config.peers.clone(),
            acks.clone(),
            match_index.clone(),
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
            config.applied.clone(),
            pledges.clone(),
            lateness.clone(),
            voted_before.then_some(election_timeout_max * stretch),
        ));
        let heartbeats = LeaderHeartbeats {
            raft: raft.clone(),
            me: config.raft_id,
            timing: config.timing,
            applied: config.applied.clone(),
            acks: acks.clone(),
            lateness: lateness.clone(),
            mute,
            network,
        };
        let marked = wal.clone();
        let snapshots = Arc::<SnapshotReceiver>::default();
        let shut_down = Arc::<ChangeNotifier>::default();
        let (watched, ended) = (raft.clone(), shut_down.clone());
        let watch = watch_disk(wal.clone(), config.disk, config.dir);
        let tasks = vec![
            spawn_abortable(snapshots.clone().run()),
            spawn_abortable(run_compaction(raft.clone(), compaction)),
            spawn_abortable(async move { marked.keep_marked().await }),
            spawn_abortable(async move {
                watch.await;
                // The log has failed already, so an error of the shutdown changes nothing.
                drop(watched.shutdown().await);
                ended.notify();
            }),
            spawn_abortable(elections.clone().run()),
            spawn_abortable(heartbeats.run()),
            spawn_abortable(stretch_pledges(
                pledge_file,
                pledges.clone(),
                config.applied.clone(),
                election_timeout_max,
                stretch,
            )),
        ];
        let server = Arc::new(RpcServer::new(
            raft.clone(),
            config.raft_id,
            config.peers,
            pledges.clone(),
            wal.clone(),
            snapshots,
        ));
        Ok(Arc::new(RaftNode {
            raft,
            raft_id: config.raft_id,
            server,
            wal,
            writer: Mutex::new(writer),
            applied: config.applied,
            lease: acks.lease(),
            match_index,
            acks,
            heartbeat,
            handing_over: Mutex::new(None),
            gave_up: ChangeNotifier::default(),
            shut_down,
            pledges,
            elections,
            lateness,
            tasks,
        }))
    }
}

fn spawn_abortable(task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    let (task, handle) = abortable(task);
    env::spawn(async move {
        // Being aborted is the normal end of these tasks.
        let _ = task.await;
    });
    handle
}

/// Checks that the snapshot reaches the first entry of a purged log. If the snapshot is missing or too old, the entries
/// in between are lost, and the node would silently run with a state that never had them.
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
        // ClusterKit's own election timer decides when to campaign.
        enable_elect: false,
        enable_pre_vote: Some(true),
        // A leader sends entries to followers before its own disk has them. If it is killed at that moment and then
        // resumes leading in the same term, it gives the same log positions to other entries. The two versions have the
        // same term and index, so nodes cannot tell them apart and apply different commands. Therefore a restarted
        // leader campaigns like every other node, in a new term and with a new epoch.
        enable_leader_restore: Some(false),
        // ClusterKit itself decides when a leader without a quorum stops sending: see heartbeats.rs.
        quorum_loss_probe_interval: None,
        // ClusterKit itself decides when a snapshot is due: see log_compaction.rs.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: snapshots.kept,
        replication_lag_threshold: snapshots.entries + snapshots.kept,
        // A snapshot is sent in chunks, each with a deadline of its own. This bounds the whole transfer.
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

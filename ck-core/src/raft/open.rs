//! Opening a Raft node: its log, its snapshot, and the tasks beside openraft's own.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use futures_util::future::{AbortHandle, abortable};
use openraft::SnapshotPolicy;

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
use super::transport::heartbeats::{Heartbeats, Mute};
use super::transport::network::{Addresses, Network};
use super::transport::rpc_server::Server;
use super::transport::snapshot_receiver::SnapshotReceiver;
use super::types::RaftId;
use crate::env::disk::Disk;
use crate::env::{self, ChangeNotifier};
use crate::error::{Error, ErrorCode, Result};
use crate::model::whole_millis;
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
pub(crate) struct RaftConfig {
    pub(crate) raft_id: RaftId,
    pub(crate) cluster_name: String,
    pub(crate) timing: TimingValues,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) addresses: Arc<dyn Addresses>,
    pub(crate) applied: Arc<AppliedState>,
    pub(crate) snapshots: SnapshotPace,
}

impl RaftNode {
    /// Opens the log and starts the node. Nothing is proposed yet.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupt`], [`ErrorCode::DataDirInUse`], [`ErrorCode::Io`] from the disk.
    pub(crate) async fn open(config: RaftConfig) -> Result<Arc<Self>> {
        let owner = Owner::new(&config.addresses.cluster_id(), config.raft_id)?;
        let options = WalOptions {
            seed: seed(),
            owner,
            ..WalOptions::default()
        };
        let (disk, dir) = (config.disk.clone(), config.dir.join(LOG_DIR));
        let (wal, writer) = env::blocking(move || Wal::open(disk, &dir, &options)).await??;
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
            config.transport,
            config.addresses.clone(),
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
        let heartbeats = Heartbeats {
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
        let tasks = vec![
            spawn_abortable(snapshots.clone().run()),
            spawn_abortable(run_compaction(raft.clone(), compaction)),
            spawn_abortable(async move { marked.keep_marked().await }),
            spawn_abortable(watch_disk(wal.clone(), raft.clone(), config.disk, config.dir)),
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
        let server = Server::new(
            raft.clone(),
            config.raft_id,
            config.addresses,
            pledges.clone(),
            wal.clone(),
            snapshots,
        );
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
        // When one is due is for us to say: see log_compaction.rs.
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

//! One node of a cluster: composes all parts, on the runtime, network and disk that it is given.
//!
//! [`Node`] is asynchronous and runs unchanged in a process of its own and inside the simulator. The handle that
//! applications use ([`crate::ClusterKit`]) wraps it with a runtime.
//!
//! Every part owns what it changes, and holds the [`NodeContext`], which says who the node is and what it may do. Start
//! with `lifecycle`: `start_raft` is the list of the tasks that a node runs.
//!
//! - *Life.* `phase`, `lifecycle` (start, stop), `bootstrap` with `cluster_entry` and `discovery` (founding, joining,
//!   restarting), `rejoin`, `standing` (refused, removed, leaving), `graceful_shutdown`, `tasks`.
//! - *Tasks of every member.* `heartbeat`, `connection_keeper`, `state_file`, `disk_watch`, `secret_watch`; those of the leader are in
//!   [`crate::leader`], that of the copies is in [`crate::hooks`].
//! - *Calls.* `server` listens, `member_server` answers peers (`peer_audit` writes down what they changed), `leader_client` asks the leader; `client_api`,
//!   `operations` and `step_down` are what the application asks, and `http_api` hands the same to HTTP.
//! - *What a node knows.* `leader_contact`, `own_health`, `leased_view`, `ready`.
//!
//! Locks: each part locks its own fields for the length of one statement, and calls nothing while it does. The only lock
//! under which other code runs is that of the applied state, which `node_hooks` holds while it registers a hook.

mod bootstrap;
mod client_api;
mod cluster_entry;
mod connection_keeper;
mod context;
mod data_dir;
mod discovery;
mod disk_watch;
mod file_limit;
mod graceful_shutdown;
mod heartbeat;
mod http_api;
mod leader_client;
mod leader_contact;
mod leased_view;
mod lifecycle;
mod member_server;
mod node_hooks;
mod operations;
mod own_health;
mod peer_audit;
mod phase;
mod ready;
mod rejoin;
mod reload_report;
mod secret_watch;
mod server;
mod standing;
mod state_file;
mod step_down;
mod tasks;
mod tls_watch;

use std::sync::{Arc, OnceLock};

use rand::RngExt;

pub(crate) use data_dir::disk_for;
pub use leased_view::LeasedView;
pub(crate) use phase::Phase;
pub(crate) use secret_watch::security_of;
#[cfg(any(feature = "sim", feature = "testing"))]
pub(crate) use server::Close;
pub(crate) use server::{Listen, Listening, TcpServer};

use crate::env;
use crate::env::disk::Disk;
#[cfg(feature = "sim")]
use crate::error::Error;
use crate::error::Result;
use crate::hooks::{Driver, EventFilter, Hook, HookId, Hooks, Rejected};
use crate::http::Access;
use crate::logger::Logger;
use crate::membership::{AddressBook, Lease};
use crate::model::{NodeHealthState, NodeId};
use crate::net::{LocalIdentity, Security, Transport};
use crate::options::Options;
use crate::raft::{AppliedState, SnapshotPace};
use crate::rpc::{Dispatcher, PeerClient};

use cluster_entry::ClusterEntry;
use context::NodeContext;
#[cfg(feature = "sim")]
use context::RaftParts;
use data_dir::DataDir;
use leader_client::LeaderClient;
use leader_contact::LeaderContact;
use member_server::MemberServer;
use node_hooks::NodeHooks;
use own_health::OwnHealth;
use phase::Lifecycle;
use server::Server;
use standing::Standing;
use state_file::StateFiles;
use tasks::Tasks;

/// What a node is given from outside: disk, network, listeners, the driver of its hooks, and the pace of snapshots.
pub(crate) struct NodeDeps {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) transport: Arc<dyn Transport>,
    /// What connections prove.
    pub(crate) security: Security,
    pub(crate) listen: Arc<dyn Listen>,
    pub(crate) hooks: Driver,
    pub(crate) snapshots: SnapshotPace,
}

/// A node: one process that embeds ClusterKit, whether or not it is a member of a cluster yet.
pub(crate) struct Node {
    context: Arc<NodeContext>,
    server: Arc<Server>,
    /// Answers the calls of peers.
    dispatcher: Arc<Dispatcher>,
    entry: Arc<ClusterEntry>,
    leader: LeaderClient,
    contact: Arc<LeaderContact>,
    health: Arc<OwnHealth>,
    hooks: NodeHooks,
    state_files: Arc<StateFiles>,
    snapshots: SnapshotPace,
    tasks: Tasks,
}

impl Node {
    /// Creates a node that has not started. Opens nothing yet.
    pub(crate) fn new(options: Options, deps: NodeDeps, logger: Arc<Logger>) -> Result<Arc<Self>> {
        options.validate()?;
        let me: NodeId = options.node_id.as_str().into();
        let process = env::runtime::rng().random_range(1..u64::MAX);
        logger.set_level(options.log_level);
        let applied = Arc::new(AppliedState::new(me.clone(), process));
        let addresses = Arc::new(AddressBook::new(applied.clone()));
        let identity = Arc::new(LocalIdentity::new(me.clone()));
        deps.transport.identify(identity.clone());
        let context = Arc::new(NodeContext {
            me,
            process,
            logger: logger.clone(),
            data_dir: DataDir::new(&options.data_dir, deps.disk),
            peers: PeerClient::new(deps.transport, addresses.clone()),
            addresses: addresses.clone(),
            identity,
            security: deps.security.logging_to(logger),
            applied,
            lease: Lease::default(),
            lifecycle: Lifecycle::new(),
            standing: Standing::default(),
            raft: OnceLock::new(),
            options,
        });
        let hooks = NodeHooks::new(context.clone(), deps.hooks);
        let leader = LeaderClient::new(context.clone());
        let access = Access::new(&context.options, context.security.clone(), context.logger.clone());
        let server = Arc::new(Server::new(deps.listen, access));
        let entry = Arc::new(ClusterEntry::new(context.clone(), leader.clone(), server.clone()));
        let contact = Arc::new(LeaderContact::new(context.clone(), leader.clone()));
        let dispatcher = Arc::new(Dispatcher::new(addresses));
        let members = MemberServer::new(context.clone(), entry.clone(), leader.clone());
        dispatcher.add(Arc::new(members));
        Ok(Arc::new(Node {
            server,
            dispatcher,
            entry,
            leader,
            health: Arc::default(),
            hooks,
            state_files: Arc::new(StateFiles::new(context.clone(), contact.clone())),
            contact,
            snapshots: deps.snapshots,
            tasks: Tasks::default(),
            context,
        }))
    }

    /// This node's id.
    pub(crate) fn id(&self) -> &NodeId {
        &self.context.me
    }

    /// The random number of this process.
    #[cfg(feature = "sim")]
    pub(crate) fn process(&self) -> u64 {
        self.context.process
    }

    /// The incarnation that the log gave this process.
    #[cfg(feature = "sim")]
    pub(crate) fn incarnation(&self) -> Option<u64> {
        self.context.applied.incarnation()
    }

    /// The whole replicated state, encoded.
    #[cfg(feature = "sim")]
    pub(crate) fn state_bytes(&self) -> Vec<u8> {
        self.context.applied.state().encode().unwrap_or_default()
    }

    /// The options that the node was created with.
    pub(crate) fn options(&self) -> &Options {
        &self.context.options
    }

    /// The hooks of the application.
    pub(crate) fn hooks(&self) -> &Arc<Hooks> {
        &self.hooks.hooks
    }

    /// Adds a hook, at any time: see [`NodeHooks::register`].
    ///
    /// # Errors
    /// [`ErrorCode::Stopped`](crate::ErrorCode::Stopped), with the hook.
    pub(crate) fn register_hook(&self, filter: EventFilter, hook: Hook) -> Result<HookId, Rejected> {
        self.hooks.register(filter, hook)
    }

    /// Adds a hook that observes every event from now on.
    ///
    /// # Errors
    /// [`ErrorCode::Stopped`](crate::ErrorCode::Stopped).
    pub(crate) fn observe(&self, hook: Hook) -> Result<HookId> {
        self.try_observe(hook).map_err(Rejected::into_error)
    }

    /// [`Node::observe`], which on failure gives the hook back.
    ///
    /// # Errors
    /// [`ErrorCode::Stopped`](crate::ErrorCode::Stopped).
    pub(crate) fn try_observe(&self, hook: Hook) -> Result<HookId, Rejected> {
        self.hooks.hooks.try_observe(hook)
    }

    /// The addresses at which the node listens, once it does.
    pub(crate) fn listening(&self) -> Option<&Listening> {
        self.server.listening()
    }

    /// The present phase.
    pub(crate) fn phase(&self) -> Phase {
        self.context.lifecycle.phase()
    }

    /// True from the node's start until it begins to stop. Takes no lock.
    #[cfg(feature = "sim")]
    pub(crate) fn is_running(&self) -> bool {
        self.context.lifecycle.is_running()
    }

    /// True when everything is closed.
    pub(crate) fn has_stopped(&self) -> bool {
        self.context.lifecycle.has_stopped()
    }

    /// The components that need a Raft id.
    ///
    /// # Errors
    /// [`ErrorCode::NotStarted`](crate::ErrorCode::NotStarted) before there are any,
    /// [`ErrorCode::Stopped`](crate::ErrorCode::Stopped) once the node has stopped.
    #[cfg(feature = "sim")]
    pub(crate) fn raft_parts(&self) -> Result<&RaftParts> {
        self.context.raft_parts()
    }

    /// Why the cluster has refused this node, if it has.
    #[cfg(feature = "sim")]
    pub(crate) fn refusal(&self) -> Option<Error> {
        self.context.standing.refusal()
    }

    /// Records the health that the application reports.
    pub(crate) fn report_health(&self, health: NodeHealthState, reason: &str) {
        self.health.report(health, reason);
    }
}

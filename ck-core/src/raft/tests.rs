//! Tests of the storage contract of openraft, and of what ClusterKit's own storage guarantees beyond it.

mod forwarded;
mod hung_disk;
mod inbound;
mod lanes;
mod snapshots;
mod storage;
mod views;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::applied_state::AppliedState;
use super::types::RaftId;
use super::{RaftConfig, RaftNode, SnapshotPace};
use crate::env;
use crate::env::disk::MemDisk;
use crate::error::{Error, ErrorCode, Result};
use crate::net::{Lane, Transport};
use crate::options::TimingProfile;
use crate::rpc::{Addresses, Dispatcher, PeerClient, PeerService};

/// A network in which no other node can be reached.
#[derive(Debug)]
struct Nobody;

impl Transport for Nobody {
    fn call(&self, _: &str, _: Lane, _: Bytes, _: Duration) -> BoxFuture<'_, Result<Bytes>> {
        std::future::ready(Err(Error::new(ErrorCode::Unreachable, "nobody"))).boxed()
    }

    fn close(&self) {}
}

impl Addresses for Nobody {
    fn address_of(&self, _: RaftId) -> Option<String> {
        None
    }

    fn cluster_id(&self) -> String {
        "c".to_owned()
    }
}

/// A client that reaches no other node.
fn peers() -> PeerClient {
    PeerClient::new(Arc::new(Nobody), Arc::new(Nobody))
}

/// The encoded answer of a service to an encoded call of a peer.
async fn answer_of<S: PeerService>(service: Arc<S>, call: &[u8]) -> Bytes {
    let dispatcher = Dispatcher::new(Arc::new(Nobody));
    dispatcher.add(service);
    dispatcher
        .dispatch(&S::SERVICE.envelope(call), &Arc::default())
        .await
}

/// A Raft node that has not been initialized.
async fn open() -> Arc<RaftNode> {
    open_on(Arc::new(MemDisk::new())).await
}

/// The same, on a disk that may already have a log.
async fn open_on(disk: Arc<MemDisk>) -> Arc<RaftNode> {
    let applied = Arc::new(AppliedState::new("node-1".into(), 1));
    let config = RaftConfig {
        raft_id: 1,
        cluster_name: "c".to_owned(),
        timing: TimingProfile::Lan.values(),
        disk,
        dir: "/node".into(),
        peers: peers(),
        applied,
        snapshots: SnapshotPace::default(),
    };
    RaftNode::open(config).await.unwrap()
}

/// The leader of a cluster of one node.
async fn found() -> Arc<RaftNode> {
    let node = open().await;
    node.initialize().await.unwrap();
    leads(&node).await;
    node
}

async fn leads(node: &RaftNode) {
    while node.leader() != Some(node.raft_id()) {
        env::sleep(Duration::from_millis(5)).await;
    }
}

//! Tests which lane each call of openraft uses.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use openraft::EmptyNode;
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{AppendEntriesRequest, VoteRequest};
use openraft_rt::AsyncRuntime;
use parking_lot::Mutex;

use crate::env::Runtime;
use crate::error::{Error, ErrorCode, Result};
use crate::net::{Lane, Transport};
use crate::raft::storage::wal;
use crate::raft::transport::network::Network;
use crate::raft::types::{RaftId, from_wal_vote};
use crate::rpc::{Addresses, PeerClient};

/// Answers no call, and records the lane of each.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<Lane>>);

impl Transport for Recorder {
    fn call(&self, _: &str, lane: Lane, _: Bytes, _: Duration) -> BoxFuture<'_, Result<Bytes>> {
        self.0.lock().push(lane);
        std::future::ready(Err(Error::new(ErrorCode::Unreachable, "nobody"))).boxed()
    }

    fn close(&self) {}
}

struct Everywhere;

impl Addresses for Everywhere {
    fn address_of(&self, _: RaftId) -> Option<String> {
        Some("127.0.0.1:1".to_owned())
    }

    fn cluster_id(&self) -> String {
        "cluster".to_owned()
    }
}

#[test]
fn heartbeats_and_votes_do_not_wait_behind_entries() {
    Runtime::run(async {
        let recorder = Arc::new(Recorder::default());
        let mut network = Network::of_a_test(PeerClient::new(recorder.clone(), Arc::new(Everywhere)));
        let vote = from_wal_vote(wal::Vote {
            term: 1,
            node: 1,
            committed: true,
        });
        let append = || AppendEntriesRequest {
            vote,
            prev_log_id: None,
            entries: Vec::new(),
            leader_commit: None,
        };
        let option = || RPCOption::new(Duration::from_millis(50));
        let mut log = network.new_client(2, &EmptyNode::new()).await;
        let mut heartbeat = network.new_heartbeat_client(2, &EmptyNode::new()).await;
        let entries = log.append_entries(append(), option()).await;
        // The error for an unreachable peer is `Unreachable`, so that openraft backs off.
        assert!(matches!(entries, Err(openraft::errors::RPCError::Unreachable(_))));
        assert!(heartbeat.append_entries(append(), option()).await.is_err());
        assert!(log.vote(VoteRequest::new(vote, None), option()).await.is_err());
        assert!(
            log.pre_vote(VoteRequest::new(vote, None), option())
                .await
                .is_err()
        );
        assert_eq!(
            *recorder.0.lock(),
            [Lane::Log, Lane::Control, Lane::Control, Lane::Control]
        );
    });
}

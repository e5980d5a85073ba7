use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use openraft::EmptyNode;
use openraft::network::RaftNetworkFactory;
use openraft::raft::StreamAppendError;
use parking_lot::Mutex;
use tokio::sync::{Barrier, Notify};

use super::super::network::Network;
use super::super::wire::{Appended, RaftAnswer};
use super::*;
use crate::net::{Lane, Transport};
use crate::raft::storage::wal;
use crate::raft::types::{RaftId, from_wal_id, from_wal_vote};
use crate::rpc::{Addresses, PeerClient, encode};

/// A follower that answers by a script. The first `alone` answers come at once; each later answer waits until
/// `together` requests are in flight.
#[derive(Debug)]
struct Follower {
    script: Mutex<VecDeque<Appended>>,
    alone: usize,
    asked: Mutex<usize>,
    together: Barrier,
}

impl Follower {
    fn new(script: impl IntoIterator<Item = Appended>, alone: usize, together: usize) -> Arc<Self> {
        Arc::new(Follower {
            script: Mutex::new(script.into_iter().collect()),
            alone,
            asked: Mutex::new(0),
            together: Barrier::new(together),
        })
    }

    fn asked(&self) -> usize {
        *self.asked.lock()
    }
}

impl Transport for Follower {
    fn call(&self, _: &str, lane: Lane, _: Bytes, _: Duration) -> BoxFuture<'_, crate::Result<Bytes>> {
        assert_eq!(lane, Lane::Log);
        async move {
            let number = {
                let mut asked = self.asked.lock();
                *asked += 1;
                *asked
            };
            let answer = self.script.lock().pop_front().unwrap();
            if number > self.alone {
                self.together.wait().await;
            }
            encode(&RaftAnswer::Appended(answer))
        }
        .boxed()
    }

    fn close(&self) {}
}

struct Somewhere;

impl Addresses for Somewhere {
    fn address_of(&self, _: RaftId) -> Option<String> {
        Some("b:1".to_owned())
    }

    fn cluster_id(&self) -> String {
        "c".to_owned()
    }
}

fn id(index: u64) -> LogId {
    from_wal_id(wal::LogId {
        term: 1,
        node: 1,
        index,
    })
}

/// An append without entries after the entry `prev`. Its answer names that entry.
fn behind(prev: Option<u64>) -> AppendEntriesRequest<Types> {
    AppendEntriesRequest {
        vote: from_wal_vote(wal::Vote {
            term: 1,
            node: 1,
            committed: true,
        }),
        prev_log_id: prev.map(id),
        entries: Vec::new(),
        leader_commit: None,
    }
}

async fn outcomes(
    follower: Arc<Follower>,
    requests: impl IntoIterator<Item = Option<u64>>,
) -> Vec<Result<StreamAppendResult<Types>, RPCError<Types>>> {
    let mut network = Network::of_a_test(PeerClient::new(follower, Arc::new(Somewhere)));
    let peer = network.new_client(2, &EmptyNode::new()).await;
    let requests: Vec<_> = requests.into_iter().map(behind).collect();
    let answers = append_all(
        &peer,
        futures_util::stream::iter(requests),
        Duration::from_secs(60),
    );
    answers.collect().await
}

#[tokio::test]
async fn the_first_append_goes_alone_and_the_next_ones_together() {
    let follower = Follower::new(vec![Appended::All; IN_FLIGHT + 1], 1, IN_FLIGHT);
    let last = IN_FLIGHT as u64 + 1;
    let answers = outcomes(follower, (1..=last).map(Some)).await;
    let matched: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.unwrap().unwrap())
        .collect();
    assert_eq!(
        matched,
        (1..=last).map(|index| Some(id(index))).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_conflict_ends_the_stream() {
    let script = [Appended::All, Appended::Conflict, Appended::Conflict];
    let answers = outcomes(Follower::new(script, 1, 2), [Some(1), Some(2), Some(3)]).await;
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0].as_ref().unwrap().as_ref().unwrap(), &Some(id(1)));
    let conflict = answers[1].as_ref().unwrap().as_ref().unwrap_err();
    assert!(matches!(conflict, StreamAppendError::Conflict(at) if *at == id(2)));
}

/// A follower that answers each request when its gate is opened.
#[derive(Debug)]
struct Unordered {
    script: Mutex<VecDeque<(Appended, Arc<Notify>)>>,
}

impl Transport for Unordered {
    fn call(&self, _: &str, _: Lane, _: Bytes, _: Duration) -> BoxFuture<'_, crate::Result<Bytes>> {
        async move {
            let (answer, gate) = self.script.lock().pop_front().unwrap();
            gate.notified().await;
            encode(&RaftAnswer::Appended(answer))
        }
        .boxed()
    }

    fn close(&self) {}
}

/// The answer to the third append comes before that to the second, which acknowledges the entry before the third.
#[tokio::test]
async fn a_conflict_that_was_overtaken_is_none() {
    let gates = [(); 3].map(|()| Arc::new(Notify::new()));
    let answers = [Appended::All, Appended::All, Appended::Conflict];
    let follower = Arc::new(Unordered {
        script: Mutex::new(answers.into_iter().zip(gates.clone()).collect()),
    });
    let mut network = Network::of_a_test(PeerClient::new(follower, Arc::new(Somewhere)));
    let peer = network.new_client(2, &EmptyNode::new()).await;
    let requests = futures_util::stream::iter([Some(1), Some(2), Some(2)].map(behind));
    let mut answers = append_all(&peer, requests, Duration::from_secs(60));
    gates[0].notify_one();
    assert_eq!(answers.next().await.unwrap().unwrap().unwrap(), Some(id(1)));
    gates[2].notify_one();
    assert!(futures_util::poll!(answers.next()).is_pending());
    gates[1].notify_one();
    assert_eq!(answers.next().await.unwrap().unwrap().unwrap(), Some(id(2)));
    let last = answers.next().await.unwrap();
    assert!(matches!(last, Err(RPCError::Unreachable(_))), "{last:?}");
    assert!(answers.next().await.is_none());
}

#[tokio::test]
async fn nothing_is_sent_behind_a_first_append_that_fails() {
    let follower = Follower::new([Appended::UpTo(None), Appended::All], 2, 1);
    let answers = outcomes(follower.clone(), [Some(1), Some(2)]).await;
    assert_eq!(answers.len(), 1, "less than what was sent");
    assert_eq!(follower.asked(), 1);
}

#[tokio::test]
async fn a_conflict_before_the_first_entry_is_an_error_of_the_peer() {
    let answers = outcomes(Follower::new([Appended::Conflict], 1, 1), [None]).await;
    assert!(matches!(answers[..], [Err(RPCError::Network(_))]), "{answers:?}");
}

/// Tests, in simulated time, when the commit index is sent while entries arrive.
#[cfg(feature = "sim")]
mod in_time {
    use openraft::EntryPayload;
    use openraft::entry::RaftEntry;
    use tokio::sync::mpsc;

    use super::*;
    use crate::env;

    const GAP: Duration = Duration::from_micros(400);

    /// An append of the entry `index`, or an append without entries after it.
    fn request(index: u64, with_entry: bool) -> AppendEntriesRequest<Types> {
        let mut request = behind(Some(if with_entry { index - 1 } else { index }));
        if with_entry {
            request.entries = vec![RaftEntry::new(id(index), EntryPayload::Blank)];
        }
        request.leader_commit = Some(id(index - 1));
        request
    }

    /// How many requests the follower had received when `steps` had been sent [`GAP`] apart, and how many
    /// [`TELL_WITHIN`] later.
    fn asked(steps: &[(u64, bool)]) -> (usize, usize) {
        let steps = steps.to_vec();
        env::runtime::simulate(1, async move {
            let follower = Follower::new(vec![Appended::All; steps.len()], steps.len(), 1);
            let (sender, requests) = mpsc::unbounded_channel();
            let mut network = Network::of_a_test(PeerClient::new(follower.clone(), Arc::new(Somewhere)));
            env::spawn(async move {
                let peer = network.new_client(2, &EmptyNode::new()).await;
                let requests = futures_util::stream::unfold(requests, async |mut requests| {
                    Some((requests.recv().await?, requests))
                });
                let answers = append_all(&peer, Box::pin(requests), Duration::from_secs(60));
                answers
                    .for_each(async |answer| assert!(answer.unwrap().is_ok()))
                    .await;
            });
            for (index, with_entry) in steps {
                sender.send(request(index, with_entry)).unwrap();
                env::sleep(GAP).await;
            }
            let at_once = follower.asked();
            env::sleep(TELL_WITHIN).await;
            (at_once, follower.asked())
        })
    }

    #[test]
    fn what_one_write_committed_is_told_at_once() {
        assert_eq!(asked(&[(1, true), (1, false)]), (2, 2));
    }

    #[test]
    fn what_many_writes_committed_is_told_with_the_next_entries() {
        let steps = [(1, true), (2, true), (2, false), (3, true), (3, false), (4, true)];
        assert_eq!(asked(&steps), (4, 4));
    }

    #[test]
    fn what_the_last_of_many_writes_committed_is_told_soon() {
        assert_eq!(asked(&[(1, true), (2, true), (2, false)]), (2, 3));
    }
}

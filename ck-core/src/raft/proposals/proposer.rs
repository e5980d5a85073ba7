//! Commits commands from any node, exactly once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::oneshot;

use super::batcher::{PendingProposal, ProposalBatcher, SendState};
use super::forward::{ForwardAnswer, ForwardCall};
use super::forwarder::{FORWARD_TIMEOUT, ProposalForwarder};
use super::outcome::{Attempt, Outcome};
use super::retry::{LeaderRetry, RETRY_PAUSE};
use super::write::WriteOutcome;
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::raft::raft_node::RaftNode;
use crate::raft::transport::flow::{self, Flow};
use crate::raft::types::RaftId;
use crate::rpc::{PeerClient, encode};
use crate::state::{Command, Proposal, Response};

const NOT_COMMITTED: &str = "the log did not commit it in time";

/// A larger value is written to the log in pieces, so that other entries need not wait behind all of it.
const STAGED_FROM: usize = 32 << 10;

/// Proposes on behalf of this node. The proposals of one process form a session. A retry carries the number of the
/// first attempt, so that the state machine executes the command once.
pub(crate) struct Proposer {
    node: Arc<RaftNode>,
    forwarder: Arc<ProposalForwarder>,
    /// Sends proposals to the task that batches them. The task ends when this is dropped.
    queue: UnboundedSender<PendingProposal>,
    session: AtomicU64,
    numbers: Mutex<SequenceNumbers>,
    /// The reason why the cluster permanently refuses this node, once it is known.
    barred: OnceLock<Error>,
    /// Held while a large value is staged, so that one is staged at a time.
    staging: tokio::sync::Mutex<()>,
    /// Limits the bytes of a staged value that are in flight.
    flow: Mutex<Flow>,
}

#[derive(Default)]
struct SequenceNumbers {
    next: u64,
    open: BTreeSet<u64>,
}

/// A number in use. It is settled when this is dropped, whatever the outcome.
struct SequenceNumber<'a> {
    proposer: &'a Proposer,
    seq: u64,
    low: u64,
}

impl Drop for SequenceNumber<'_> {
    fn drop(&mut self) {
        self.proposer.numbers().open.remove(&self.seq);
    }
}

impl Proposer {
    pub(crate) fn new(node: Arc<RaftNode>, peers: PeerClient) -> Self {
        let forwarder = Arc::new(ProposalForwarder::new(node.clone(), peers));
        let (queue, waiting) = mpsc::unbounded_channel();
        env::spawn(ProposalBatcher::new(waiting, forwarder.clone()).run());
        Proposer {
            node,
            forwarder,
            queue,
            session: AtomicU64::new(0),
            numbers: Mutex::default(),
            barred: OnceLock::new(),
            staging: tokio::sync::Mutex::default(),
            flow: Mutex::default(),
        }
    }

    /// Stops all retries from now on, because the cluster permanently refuses this node.
    pub(crate) fn bar(&self, why: Error) {
        // The first reason is kept.
        self.barred.get_or_init(|| why);
    }

    /// True if this node can propose nothing any more, because Raft has ended on it.
    pub(crate) fn has_ended(&self) -> bool {
        self.node.has_ended()
    }

    /// The incarnation under which the cluster remembers the proposals of this process; 0 before it has one.
    pub(crate) fn session(&self) -> u64 {
        self.session.load(Ordering::Acquire)
    }

    /// Sets the incarnation under which the proposals of this process are remembered from now on.
    pub(crate) fn set_session(&self, incarnation: u64) {
        self.session.store(incarnation, Ordering::Release);
    }

    /// Proposes from now on under the incarnation that the log gave this process, if it gave one.
    pub(crate) fn adopt_session(&self) {
        if let Some(incarnation) = self.node.applied().incarnation() {
            self.set_session(incarnation);
        }
    }

    /// Commits `command` within `timeout`, whichever node leads.
    ///
    /// # Errors
    /// Those of the state machine; [`ErrorCode::NoLeader`] when nothing was appended anywhere; [`ErrorCode::Timeout`]
    /// when it may or may not have happened, or may still happen.
    pub(crate) async fn propose(&self, command: Command, timeout: Duration) -> Result<Response> {
        self.propose_under(None, command, timeout).await
    }

    /// [`Proposer::propose`] for a decision of the leader that depends on what only the leader knows. The state machine
    /// refuses it once a leadership other than that of `epoch` has been recorded.
    ///
    /// # Errors
    /// As [`Proposer::propose`]; [`ErrorCode::NotLeader`] from the state machine in that case.
    pub(crate) async fn propose_under(
        &self,
        epoch: Option<u64>,
        command: Command,
        timeout: Duration,
    ) -> Result<Response> {
        let session = self.session();
        self.propose_in(session, epoch, command, timeout).await
    }

    /// [`Proposer::propose_under`] outside the session of this process: for commands that may be executed twice without
    /// harm, even after the session has ended.
    ///
    /// # Errors
    /// As [`Proposer::propose_under`].
    pub(crate) async fn propose_without_session(
        &self,
        epoch: u64,
        command: Command,
        timeout: Duration,
    ) -> Result<Response> {
        self.propose_in(0, Some(epoch), command, timeout).await
    }

    /// Commits `command` through the local log or not at all, in one attempt and outside the session: for commands that
    /// only the leader itself may propose.
    ///
    /// # Errors
    /// As [`Proposer::propose`]; [`ErrorCode::NotLeader`] when this node does not lead.
    pub(crate) async fn propose_here(&self, command: Command, timeout: Duration) -> Result<Response> {
        let proposal = Proposal::without_session(command, env::wall_now());
        let body = encode(&proposal)?;
        let attempt = match env::timeout(timeout, self.node.write(body)).await {
            Ok(WriteOutcome::NotLeader(_)) => {
                Attempt::Refused(Error::new(ErrorCode::NotLeader, "this node does not lead"))
            }
            Ok(written) => written.into_attempt(timeout),
            Err(_) => Attempt::Unknown(NOT_COMMITTED.to_owned()),
        };
        let mut outcome = Outcome::new(timeout);
        match outcome.note(attempt) {
            Some(answer) => answer,
            None => Err(outcome.gave_up()),
        }
    }

    async fn propose_in(
        &self,
        session: u64,
        epoch: Option<u64>,
        command: Command,
        timeout: Duration,
    ) -> Result<Response> {
        let deadline = Instant::now() + timeout;
        let number = self.number();
        let command = match command {
            Command::SetData { key, value, expect }
                if session != 0 && value.len() > STAGED_FROM && !planted!("append-in-a-heartbeat") =>
            {
                let length = value.len() as u64;
                self.stage((session, number.seq), epoch, value, (deadline, timeout))
                    .await
                    .map_err(|error| not_staged(error, timeout))?;
                Command::SetStaged { key, length, expect }
            }
            command => command,
        };
        self.propose_as(session, &number, epoch, command, (deadline, timeout))
            .await
    }

    /// Writes a large value to the log in pieces, ahead of the command that refers to them. This node stages one value
    /// at a time, and keeps no more in flight than the cluster commits in a few milliseconds. So the writes of others
    /// wait behind that much, and not behind the whole value. After an error nothing is written, because only the
    /// command after the pieces writes the value.
    async fn stage(
        &self,
        (session, of): (u64, u64),
        epoch: Option<u64>,
        mut value: Bytes,
        (deadline, timeout): (Instant, Duration),
    ) -> Result<()> {
        let left = deadline.since(Instant::now());
        let Ok(_turn) = env::timeout(left, self.staging.lock()).await else {
            return Err(Outcome::new(timeout).gave_up());
        };
        let (mut offset, mut under_way) = (0, 0);
        let mut pieces = FuturesUnordered::new();
        loop {
            let (room, most) = {
                let mut flow = self.flow.lock();
                let most = flow.piece();
                (flow.has_room_for(most, under_way), most)
            };
            if room && !value.is_empty() {
                let bytes = value.split_to(value.len().min(most));
                let length = bytes.len();
                let command = Command::Stage { of, offset, bytes };
                offset += length as u64;
                under_way += length;
                pieces.push(async move {
                    let (sent, number) = (self.flow.lock().sends(length), self.number());
                    let staged = self
                        .propose_as(session, &number, epoch, command, (deadline, timeout))
                        .await;
                    staged.map(|_| (length, sent))
                });
                continue;
            }
            match pieces.next().await {
                Some(staged) => {
                    let (length, sent) = staged?;
                    self.flow.lock().answered(sent);
                    under_way -= length;
                }
                None => return Ok(()),
            }
        }
    }

    /// Proposes under a number: retries until the outcome is known or the deadline has passed.
    async fn propose_as(
        &self,
        session: u64,
        number: &SequenceNumber<'_>,
        epoch: Option<u64>,
        command: Command,
        (deadline, timeout): (Instant, Duration),
    ) -> Result<Response> {
        let proposal = Proposal {
            session,
            seq: number.seq,
            low: number.low,
            at: env::wall_now(),
            epoch,
            command,
        };
        let body = encode(&proposal)?;
        let mut hint = None;
        let mut retry = LeaderRetry::new(deadline, timeout);
        loop {
            let written = self.attempt(&body, hint.take(), deadline).await;
            hint = written.hint().filter(|id| *id != self.node.raft_id());
            let attempt = written.into_attempt(timeout);
            let barred = || self.barred.get().cloned();
            if let Some(answer) = retry.note(attempt, barred, hint.is_some()).await {
                return answer;
            }
        }
    }

    /// Makes one attempt: at the node of the hint or at the known leader, otherwise at this node.
    async fn attempt(&self, body: &Bytes, hint: Option<RaftId>, deadline: Instant) -> WriteOutcome {
        let me = self.node.raft_id();
        let to = hint.or_else(|| self.node.leader()).unwrap_or(me);
        let remaining = deadline.since(Instant::now());
        let (patience, silence) = if to == me {
            (remaining, NOT_COMMITTED)
        } else {
            (
                remaining.min(FORWARD_TIMEOUT + flow::time_for(body.len())),
                "the leader did not answer in time",
            )
        };
        let (answer, written) = oneshot::channel();
        let send_state = SendState::default();
        let waiting = PendingProposal {
            to,
            body: body.clone(),
            until: Instant::now() + patience,
            answer,
            send_state: send_state.clone(),
        };
        if self.queue.send(waiting).is_err() {
            return WriteOutcome::NotLeader(None);
        }
        match env::timeout(patience, written).await {
            Ok(Ok(written)) => written,
            // It was still in the queue, and will not be sent any more.
            _ if send_state.withdraw() => WriteOutcome::NotLeader(None),
            Ok(Err(_)) => WriteOutcome::Unknown("the proposal was dropped".to_owned()),
            Err(_) => WriteOutcome::Unknown(silence.to_owned()),
        }
    }

    /// Waits until this node has applied every entry that was committed when the call began.
    ///
    /// # Errors
    /// [`ErrorCode::NoLeader`] or [`ErrorCode::Timeout`] when the revision cannot be determined or reached in time.
    pub(crate) async fn read_barrier(&self, timeout: Duration) -> Result<u64> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.read_index(deadline).await {
                Ok(revision) => {
                    self.wait_for(revision, deadline.since(Instant::now())).await?;
                    return Ok(revision);
                }
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => {}
            }
            env::sleep(RETRY_PAUSE.min(deadline.since(Instant::now()))).await;
        }
    }

    async fn read_index(&self, deadline: Instant) -> Result<u64> {
        let remaining = deadline.since(Instant::now()).min(FORWARD_TIMEOUT);
        let no_leader = || Error::new(ErrorCode::NoLeader, "no leader is known");
        match self.node.leader() {
            Some(leader) if leader != self.node.raft_id() => {
                match self
                    .forwarder
                    .ask(leader, ForwardCall::ReadIndex, remaining)
                    .await?
                {
                    ForwardAnswer::ReadIndex(revision) => Ok(revision),
                    ForwardAnswer::Refused(error) => Err(error),
                    _ => Err(no_leader()),
                }
            }
            Some(_) => match env::timeout(remaining, self.node.read_index()).await {
                Ok(index) => index?.map_err(|_| no_leader()),
                Err(_) => Err(Error::new(ErrorCode::Timeout, "no quorum answered in time")),
            },
            None => Err(no_leader()),
        }
    }

    /// Waits until this node has applied `revision`.
    ///
    /// # Errors
    /// [`ErrorCode::Timeout`].
    pub(crate) async fn wait_for(&self, revision: u64, timeout: Duration) -> Result<()> {
        let applied = self.node.applied();
        match env::timeout(timeout, applied.wait_for(revision)).await {
            Ok(result) => result,
            Err(_) => Err(Error::new(
                ErrorCode::Timeout,
                format!(
                    "revision {revision} was not applied within {timeout:?}; this node is at {}",
                    applied.revision()
                ),
            )),
        }
    }

    fn numbers(&self) -> MutexGuard<'_, SequenceNumbers> {
        self.numbers.lock()
    }

    fn number(&self) -> SequenceNumber<'_> {
        let mut numbers = self.numbers();
        numbers.next += 1;
        let seq = numbers.next;
        numbers.open.insert(seq);
        let low = numbers.open.first().copied().unwrap_or(seq);
        drop(numbers);
        SequenceNumber {
            proposer: self,
            seq,
            low,
        }
    }
}

/// The error of a write whose value was not staged completely. Whatever the outcome of the pieces, the write never
/// happens.
fn not_staged(error: Error, timeout: Duration) -> Error {
    match error.code() {
        ErrorCode::Timeout => Error::new(
            ErrorCode::NoLeader,
            format!("the log did not take in the whole value within {timeout:?}; nothing was written"),
        ),
        _ => error,
    }
}

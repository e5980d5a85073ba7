//! Getting a command committed, from any node, exactly once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::oneshot;

use super::batcher::{PendingProposal, ProposalBatcher, SendState};
use super::forward::{ForwardAnswer, ForwardCall};
use super::forwarder::{FORWARD_TIMEOUT, ProposalForwarder};
use super::outcome::{Attempt, Outcome};
use super::write::WriteOutcome;
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::net::Transport;
use crate::planted::planted;
use crate::raft::codec;
use crate::raft::raft_node::RaftNode;
use crate::raft::transport::flow::{self, Flow};
use crate::raft::transport::network::Addresses;
use crate::raft::types::RaftId;
use crate::state::{Command, Proposal, Response};

const NOT_COMMITTED: &str = "the log did not commit it in time";

/// The pause between attempts while there is no leader.
const PAUSE: Duration = Duration::from_millis(20);

/// So many hints in a row are followed without a pause.
const MAX_HOPS: u32 = 3;

/// A value of more bytes goes into the log in pieces, so that other entries need not wait behind the whole.
const STAGED_FROM: usize = 32 << 10;

/// Proposes on behalf of this node. The proposals of one process form a session: a retry has the number of the
/// first attempt, so the state machine carries it out once.
pub(crate) struct Proposer {
    node: Arc<RaftNode>,
    forwarder: Arc<ProposalForwarder>,
    /// To the task that puts together what waits; it ends with this.
    queue: UnboundedSender<PendingProposal>,
    session: AtomicU64,
    numbers: Mutex<Numbers>,
    /// Why the cluster takes nothing from this node any more, once it has said so.
    barred: OnceLock<Error>,
    /// Held by who stages a large value.
    staging: tokio::sync::Mutex<()>,
    /// How much of one may be on its way.
    flow: Mutex<Flow>,
}

#[derive(Default)]
struct Numbers {
    next: u64,
    open: BTreeSet<u64>,
}

/// A number in use; it is settled when this is dropped, whatever the outcome.
struct Number<'a> {
    proposer: &'a Proposer,
    seq: u64,
    low: u64,
}

impl Drop for Number<'_> {
    fn drop(&mut self) {
        self.proposer.numbers().open.remove(&self.seq);
    }
}

impl Proposer {
    pub(crate) fn new(
        node: Arc<RaftNode>,
        transport: Arc<dyn Transport>,
        addresses: Arc<dyn Addresses>,
    ) -> Self {
        let forwarder = Arc::new(ProposalForwarder::new(node.clone(), transport, addresses));
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

    /// From now on nothing is tried again: the cluster refuses this node for good.
    pub(crate) fn bar(&self, why: Error) {
        // The first reason stays.
        self.barred.get_or_init(|| why);
    }

    /// True when nothing can be proposed here any more: Raft has ended on this node.
    pub(crate) fn has_ended(&self) -> bool {
        self.node.has_ended()
    }

    /// The incarnation under which proposals are remembered; 0 before there is one.
    pub(crate) fn session(&self) -> u64 {
        self.session.load(Ordering::Acquire)
    }

    /// From now on the proposals of this process are remembered under its incarnation.
    pub(crate) fn set_session(&self, incarnation: u64) {
        self.session.store(incarnation, Ordering::Release);
    }

    /// Commits `command`, wherever the leader is, within `timeout`.
    ///
    /// # Errors
    /// Those of the state machine; [`ErrorCode::NoLeader`] when nothing was appended anywhere;
    /// [`ErrorCode::Timeout`] when it may or may not have happened, or may yet happen.
    pub(crate) async fn propose(&self, command: Command, timeout: Duration) -> Result<Response> {
        self.propose_under(None, command, timeout).await
    }

    /// [`Proposer::propose`] for what a leader decided by what it alone knows: it is refused once another leadership
    /// than that of `epoch` has been recorded.
    ///
    /// # Errors
    /// As [`Proposer::propose`]; the state machine answers [`ErrorCode::NotLeader`] then.
    pub(crate) async fn propose_under(
        &self,
        epoch: Option<u64>,
        command: Command,
        timeout: Duration,
    ) -> Result<Response> {
        let session = self.session();
        self.propose_in(session, epoch, command, timeout).await
    }

    /// [`Proposer::propose_under`] outside this process's session: for what is harmless twice, also where the session is over.
    ///
    /// # Errors
    /// As [`Proposer::propose_under`].
    pub(crate) async fn propose_unremembered(
        &self,
        epoch: u64,
        command: Command,
        timeout: Duration,
    ) -> Result<Response> {
        self.propose_in(0, Some(epoch), command, timeout).await
    }

    /// Commits `command` through this node's own log or not at all, once, and without memory of retries: for
    /// what only the leader itself may say.
    ///
    /// # Errors
    /// As [`Proposer::propose`]; [`ErrorCode::NotLeader`] where this node does not lead.
    pub(crate) async fn propose_here(&self, command: Command, timeout: Duration) -> Result<Response> {
        let proposal = Proposal::unremembered(command, env::wall_now());
        let body = codec::encode(&proposal)?;
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
                if session != 0 && value.len() > STAGED_FROM && !planted("append-in-a-heartbeat") =>
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

    /// Sends a large value ahead in pieces. One at a time from this node, and no more at once than the cluster commits in a
    /// few milliseconds: what others write meanwhile stands behind that, not behind the whole. After an error nothing is
    /// written: that takes the command which comes after the pieces.
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
                let mut flow = flow::lock(&self.flow);
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
                    let (sent, number) = (flow::lock(&self.flow).sends(length), self.number());
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
                    flow::lock(&self.flow).answered(sent);
                    under_way -= length;
                }
                None => return Ok(()),
            }
        }
    }

    /// Proposes under a number: attempts until it is known what came of it, or the time is over.
    async fn propose_as(
        &self,
        session: u64,
        number: &Number<'_>,
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
        let body = codec::encode(&proposal)?;
        let mut hint = None;
        let mut outcome = Outcome::new(timeout);
        let mut hops = 0;
        loop {
            let written = self.attempt(&body, hint.take(), deadline).await;
            hint = written.hint().filter(|id| *id != self.node.raft_id());
            if let Some(answer) = outcome.note(written.into_attempt(timeout)) {
                return answer;
            }
            // Nobody takes anything from this node any more; what was sent before may have been written.
            let barred = self.barred.get().cloned();
            if let Some(answer) = barred.and_then(|error| outcome.note(Attempt::Refused(error))) {
                return answer;
            }
            // An attempt that has no time for its answer would make unknown what is known so far.
            if Instant::now() + 2 * PAUSE >= deadline {
                return Err(outcome.gave_up());
            }
            hops += 1;
            // Nodes that take each other for the leader would send a proposal round for ever.
            if hint.is_none() || hops % MAX_HOPS == 0 {
                env::sleep(PAUSE.min(deadline.since(Instant::now()))).await;
            }
        }
    }

    /// One attempt: at the leader, where that is another node, or here.
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
            // It stood in the queue all the while, and will not be sent any more.
            _ if send_state.withdraw() => WriteOutcome::NotLeader(None),
            Ok(Err(_)) => WriteOutcome::Unknown("the proposal was dropped".to_owned()),
            Err(_) => WriteOutcome::Unknown(silence.to_owned()),
        }
    }

    /// Waits until this node has everything that was committed when the call began.
    ///
    /// # Errors
    /// [`ErrorCode::NoLeader`] or [`ErrorCode::Timeout`] when that cannot be told or reached in time.
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
            env::sleep(PAUSE.min(deadline.since(Instant::now()))).await;
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

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn number(&self) -> Number<'_> {
        let mut numbers = self.numbers();
        numbers.next += 1;
        let seq = numbers.next;
        numbers.open.insert(seq);
        let low = numbers.open.first().copied().unwrap_or(seq);
        drop(numbers);
        Number {
            proposer: self,
            seq,
            low,
        }
    }
}

/// The error of a write whose value did not go ahead of it as a whole. Whatever became of the pieces, it never happens.
fn not_staged(error: Error, timeout: Duration) -> Error {
    match error.code() {
        ErrorCode::Timeout => Error::new(
            ErrorCode::NoLeader,
            format!("the log did not take in the whole value within {timeout:?}; nothing was written"),
        ),
        _ => error,
    }
}

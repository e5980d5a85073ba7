//! Writes to the local log, which succeeds only if this node leads.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use openraft::errors::ClientWriteError;
use serde::{Deserialize, Serialize};

use super::outcome::{Attempt, no_leader};
use crate::error::{Error, ErrorCode};
use crate::raft::raft_node::RaftNode;
use crate::raft::types::{Command, RaftId, Types, stopped};
use crate::rpc::decode;
use crate::state::{MAX_VALUE_BYTES, Proposal, Response};

/// The most bytes that may wait for the disk. Beyond that no proposal is accepted.
const MAX_UNWRITTEN: u64 = 64 << 20;
/// The most bytes of a proposal from another node: enough for a value, or for a confirmation of as many partitions as
/// there can be.
const MAX_PROPOSAL_BYTES: usize = 2 * MAX_VALUE_BYTES;

/// The outcome of a write that was attempted on this node. On the wire the variants keep their original names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum WriteOutcome {
    /// The proposal is committed and applied, and this is its response; or it was refused before it was appended.
    #[serde(rename = "Done")]
    Applied(Response),
    /// The proposal was not appended here. The leader as far as it is known.
    #[serde(rename = "NotHere")]
    NotLeader(Option<RaftId>),
    /// The proposal may or may not be committed, now or later.
    Unknown(String),
    /// The proposal was not appended, and this node will never append again: it has stopped, or its log has failed.
    #[serde(rename = "Ended")]
    Fatal(Error),
}

impl WriteOutcome {
    /// The node that may lead, if the node that was asked does not.
    pub(in crate::raft) fn hint(&self) -> Option<RaftId> {
        match self {
            WriteOutcome::NotLeader(leader) => *leader,
            WriteOutcome::Applied(_) | WriteOutcome::Unknown(_) | WriteOutcome::Fatal(_) => None,
        }
    }

    /// What this outcome means for the call that made the attempt.
    pub(in crate::raft) fn into_attempt(self, timeout: Duration) -> Attempt<Response> {
        match self {
            WriteOutcome::Applied(Response {
                settles: false,
                result: Err(error),
                ..
            })
            | WriteOutcome::Fatal(error) => Attempt::Refused(error),
            WriteOutcome::Applied(response) => Attempt::Answered(response),
            WriteOutcome::NotLeader(_) => Attempt::NotSent(no_leader(timeout)),
            WriteOutcome::Unknown(why) => Attempt::Unknown(why),
        }
    }

    fn applied(response: Option<Response>) -> Self {
        match response {
            Some(response) => WriteOutcome::Applied(response),
            None => WriteOutcome::Unknown("the entry gave no answer".to_owned()),
        }
    }

    fn failed(error: ClientWriteError<Types>) -> Self {
        match error {
            ClientWriteError::ForwardToLeader(forward) => WriteOutcome::NotLeader(forward.leader_id),
            other => WriteOutcome::Unknown(other.to_string()),
        }
    }
}

impl RaftNode {
    /// Tries to commit an encoded proposal on this node.
    pub(in crate::raft) async fn write(&self, proposal: Bytes) -> WriteOutcome {
        let mut outcome = WriteOutcome::Unknown("it gave no answer".to_owned());
        self.write_many(vec![proposal], |written| outcome = written).await;
        outcome
    }

    /// Tries to commit encoded proposals on this node, in this order and in one batch. `tell` is called with each
    /// outcome as soon as it is known, in the same order. The outcome of one proposal says nothing about the next.
    pub(in crate::raft) async fn write_many(
        &self,
        proposals: Vec<Bytes>,
        mut tell: impl FnMut(WriteOutcome) + Send,
    ) {
        let mut left = proposals.len();
        if let Some(ended) = self.ended() {
            (0..left).for_each(|_| tell(WriteOutcome::Fatal(ended.clone())));
            return;
        }
        if let Some(full) = self.queue_is_full() {
            (0..left).for_each(|_| tell(refused(full.clone())));
            return;
        }
        #[cfg(feature = "sim")]
        proposals
            .iter()
            .for_each(|proposal| crate::net::sim::report_sent(proposal));
        let mut why = "it gave no answer".to_owned();
        // Dropping the receiver of a channel drops what is in it, but not what is sent at that very moment: that lies there
        // until the last sender has gone, with what should have told its outcome.
        let mut shut_down = std::pin::pin!(self.shut_down.after(0));
        match self
            .raft()
            .client_write_many(proposals.into_iter().map(Command))
            .await
        {
            Ok(mut outcomes) => {
                while left > 0 {
                    let outcome = tokio::select! {
                        biased;
                        outcome = outcomes.next() => outcome,
                        _ = shut_down.as_mut() => break,
                    };
                    let Some(outcome) = outcome else { break };
                    match outcome {
                        Ok(Ok(done)) => tell(WriteOutcome::applied(done.response.0)),
                        Ok(Err(error)) => tell(WriteOutcome::failed(error)),
                        Err(fatal) => {
                            why = fatal.to_string();
                            break;
                        }
                    }
                    left -= 1;
                }
            }
            // Raft accepts nothing any more: these proposals never reached the log.
            Err(fatal) => {
                let ended = self.ended().unwrap_or_else(|| stopped(fatal));
                (0..left).for_each(|_| tell(WriteOutcome::Fatal(ended.clone())));
                return;
            }
        }
        // These may have been appended when Raft ended.
        for _ in 0..left {
            tell(WriteOutcome::Unknown(format!(
                "Raft has stopped on this node: {why}"
            )));
        }
    }

    /// The error if this node appends nothing any more.
    fn ended(&self) -> Option<Error> {
        if let Some(error) = self.log_failure() {
            return Some(Error::new(
                ErrorCode::Io,
                format!("the log of this node has failed; nothing was written: {error}"),
            ));
        }
        self.has_ended().then(|| {
            Error::new(
                ErrorCode::Stopped,
                "Raft has stopped on this node; nothing was written",
            )
        })
    }

    /// The error if this node appends nothing at present, because too many bytes wait for its disk. Followers may store
    /// and commit entries while the disk of this node does not answer, and every entry that waits for it takes memory.
    fn queue_is_full(&self) -> Option<Error> {
        let unwritten = self.wal.unwritten();
        (unwritten > MAX_UNWRITTEN).then(|| {
            let since = self.disk_silence().unwrap_or_default();
            Error::new(
                ErrorCode::Busy,
                format!(
                    "{unwritten} bytes wait for the disk of this node, which has not answered for {since:.1?}; \
                     nothing was written"
                ),
            )
        })
    }

    /// Writes a forwarded proposal. It is checked before it is appended, because an entry cannot be removed from the
    /// log again.
    pub(in crate::raft) async fn write_forwarded(
        &self,
        proposal: Bytes,
        check_session: &(dyn Fn(u64) -> Result<(), Error> + Sync),
    ) -> WriteOutcome {
        match check_forwarded(&proposal, check_session) {
            Ok(()) => self.write(proposal).await,
            Err(refused) => refused,
        }
    }

    /// Writes forwarded proposals. The result is the outcome of each, in order. A proposal that cannot be decoded does
    /// not prevent the others.
    pub(in crate::raft) async fn write_forwarded_many(
        &self,
        proposals: Vec<Bytes>,
        check_session: &(dyn Fn(u64) -> Result<(), Error> + Sync),
    ) -> Vec<WriteOutcome> {
        let mut outcomes = Vec::with_capacity(proposals.len());
        let mut appended = Vec::with_capacity(proposals.len());
        for proposal in proposals {
            match check_forwarded(&proposal, check_session) {
                Ok(()) => {
                    outcomes.push(None);
                    appended.push(proposal);
                }
                Err(refused) => outcomes.push(Some(refused)),
            }
        }
        let mut written = Vec::with_capacity(appended.len());
        if !appended.is_empty() {
            self.write_many(appended, |outcome| written.push(outcome)).await;
        }
        let mut written = written.into_iter();
        let missing = || WriteOutcome::Unknown("it gave no answer".to_owned());
        outcomes
            .into_iter()
            .map(|refused| refused.or_else(|| written.next()).unwrap_or_else(missing))
            .collect()
    }
}

/// The outcome of a proposal that was refused before it was appended.
fn refused(error: Error) -> WriteOutcome {
    WriteOutcome::Applied(Response {
        revision: 0,
        result: Err(error),
        settles: false,
    })
}

/// Refuses a proposal that could not be applied, and one that only the leader itself may make. A refused proposal was
/// not appended. `check_session` refuses one in a session that is not the caller's.
fn check_forwarded(
    proposal: &[u8],
    check_session: &(dyn Fn(u64) -> Result<(), Error> + Sync),
) -> Result<(), WriteOutcome> {
    let refused = |error| Err(refused(error));
    if proposal.len() > MAX_PROPOSAL_BYTES {
        return refused(Error::new(
            ErrorCode::TooLarge,
            format!(
                "a proposal of {} bytes; at most {MAX_PROPOSAL_BYTES} are taken from another node",
                proposal.len()
            ),
        ));
    }
    match decode::<Proposal>(proposal, "a forwarded proposal") {
        Ok(read) if read.epoch.is_none() && read.command.is_open_to_members() && read.low <= read.seq => {
            check_session(read.session).or_else(refused)
        }
        Ok(read) if read.low > read.seq => refused(Error::new(
            ErrorCode::InvalidArgument,
            format!(
                "proposal {} says that every one before {} is settled, itself too",
                read.seq, read.low
            ),
        )),
        Ok(_) => refused(Error::new(
            ErrorCode::NotLeader,
            "only the leader itself proposes that; it is not taken from another node",
        )),
        Err(error) => refused(error),
    }
}

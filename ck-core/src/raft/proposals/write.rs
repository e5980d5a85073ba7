//! Writing on this node, which succeeds only where the leader is.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use openraft::errors::ClientWriteError;
use serde::{Deserialize, Serialize};

use super::outcome::{Attempt, no_leader};
use crate::error::{Error, ErrorCode};
use crate::raft::codec;
use crate::raft::raft_node::RaftNode;
use crate::raft::types::{Command, RaftId, Types, stopped};
use crate::state::{MAX_VALUE_BYTES, Proposal, Response};

/// So many bytes may wait for the disk. Then nothing more is taken in.
const MAX_UNWRITTEN: u64 = 64 << 20;
/// The most bytes of a proposal that comes from another node: a value, or the confirmation of as many partitions as
/// there may be.
const MAX_PROPOSAL_BYTES: usize = 2 * MAX_VALUE_BYTES;

/// What came of a write that was tried on this node. On the wire the variants keep the names that they had first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum WriteOutcome {
    /// It is committed and applied, and this is its answer.
    #[serde(rename = "Done")]
    Applied(Response),
    /// It was not appended; perhaps that node leads.
    #[serde(rename = "NotHere")]
    NotLeader(Option<RaftId>),
    /// It may or may not be committed one day.
    Unknown(String),
    /// It was not appended, and nothing will be again on this node: it has stopped, or its log has failed.
    #[serde(rename = "Ended")]
    Fatal(Error),
}

impl WriteOutcome {
    /// The node that perhaps leads, where the one that was asked does not.
    pub(in crate::raft) fn hint(&self) -> Option<RaftId> {
        match self {
            WriteOutcome::NotLeader(leader) => *leader,
            WriteOutcome::Applied(_) | WriteOutcome::Unknown(_) | WriteOutcome::Fatal(_) => None,
        }
    }

    /// What it means for the call that it was an attempt at.
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
    /// Tries to commit an encoded proposal here.
    pub(in crate::raft) async fn write(&self, proposal: Bytes) -> WriteOutcome {
        let mut outcome = WriteOutcome::Unknown("it gave no answer".to_owned());
        self.write_many(vec![proposal], |written| outcome = written).await;
        outcome
    }

    /// Tries to commit encoded proposals here, in this order and in one go. `tell` hears what came of each as
    /// soon as that is known, in the same order: what comes of one says nothing of the next.
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
            .for_each(|proposal| crate::net::sim::show_sent(proposal));
        let mut why = "it gave no answer".to_owned();
        match self
            .raft()
            .client_write_many(proposals.into_iter().map(Command))
            .await
        {
            Ok(mut outcomes) => {
                while let Some(outcome) = outcomes.next().await {
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
            // Raft takes nothing in any more: this never came as far as the log.
            Err(fatal) => {
                let ended = self.ended().unwrap_or_else(|| stopped(fatal));
                (0..left).for_each(|_| tell(WriteOutcome::Fatal(ended.clone())));
                return;
            }
        }
        // Appended, perhaps, when Raft ended.
        for _ in 0..left {
            tell(WriteOutcome::Unknown(format!(
                "Raft has stopped on this node: {why}"
            )));
        }
    }

    /// Why nothing is appended here any more, if that is so.
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

    /// Why nothing more is appended at present, if that is so: others may have these entries, and commit them, while this
    /// node's disk answers nothing, and what waits for it is memory.
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

    /// A forwarded proposal: checked before it is appended, because what is in the log is there for good.
    pub(in crate::raft) async fn write_forwarded(&self, proposal: Bytes) -> WriteOutcome {
        match check_forwarded(&proposal) {
            Ok(()) => self.write(proposal).await,
            Err(refused) => refused,
        }
    }

    /// Forwarded proposals; what came of each, in their order. One that cannot be read does not keep the others.
    pub(in crate::raft) async fn write_forwarded_many(&self, proposals: Vec<Bytes>) -> Vec<WriteOutcome> {
        let mut outcomes = Vec::with_capacity(proposals.len());
        let mut appended = Vec::with_capacity(proposals.len());
        for proposal in proposals {
            match check_forwarded(&proposal) {
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

/// It was not appended, for this reason.
fn refused(error: Error) -> WriteOutcome {
    WriteOutcome::Applied(Response {
        revision: 0,
        result: Err(error),
        settles: false,
    })
}

/// Refuses what could not be applied, and what only the leader itself decides. What is refused was not appended.
fn check_forwarded(proposal: &[u8]) -> Result<(), WriteOutcome> {
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
    match codec::decode::<Proposal>(proposal, "a forwarded proposal") {
        Ok(read) if read.epoch.is_none() && read.command.is_anybodys() && read.low <= read.seq => Ok(()),
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

//! How a node without an identity enters a cluster: it joins one, or founds one where there is none.

use std::time::Duration;

use futures_util::future::join_all;

use super::cluster_entry::ClusterEntry;
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::membership::{BootstrapStep, Discovery, Found};
use crate::model::NodeId;
use crate::rpc::{JoinReply, MemberAnswer, MemberCall, MemberReply};

/// How long a node that may found a cluster alone searches for an existing one before it founds.
const BOOTSTRAP_QUIET: Duration = Duration::from_secs(1);
/// Timeout for another node to store its promise and answer.
const PROMISE_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause before the search continues after too few nodes gave their promise.
const BOOTSTRAP_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// The ways into a cluster that a node without an identity may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EntryPoint {
    /// It may join a cluster.
    Join,
    /// It may join a cluster, or found one alone.
    Alone,
    /// It may join a cluster, or found one together with others: so many nodes are expected, this one included.
    Together(u32),
}

/// The decision of a node that no cluster has admitted.
#[derive(Debug, Clone, PartialEq)]
enum JoinVerdict {
    /// The node gives up with this error.
    Refused(Error),
    /// The node founds a cluster if these nodes promise to let it: the id and address of each.
    Found(Vec<(NodeId, String)>),
}

/// How a node without an identity enters a cluster.
#[derive(Debug)]
pub(super) enum EntryDecision {
    /// A member has admitted it.
    Join(JoinReply),
    /// It founds a cluster.
    Bootstrap,
}

impl ClusterEntry {
    /// Searches for a cluster until one admits this node, or until the node is to found one.
    ///
    /// # Errors
    /// Why the node can do neither; [`ErrorCode::Stopped`].
    pub(super) async fn find_cluster(&self) -> Result<EntryDecision> {
        let context = &self.context;
        let options = &context.options;
        if options.join_addrs.is_empty() && options.may_bootstrap_alone() {
            return Ok(EntryDecision::Bootstrap);
        }
        let entrance = match (options.may_bootstrap_alone(), options.bootstrap_expect) {
            (true, _) => EntryPoint::Alone,
            (false, Some(expect)) => EntryPoint::Together(expect),
            (false, None) => EntryPoint::Join,
        };
        let deadline = Instant::now() + options.join_timeout;
        let mut discovery = Discovery::new();
        loop {
            match self.search(entrance, &mut discovery, deadline).await? {
                Found::Admitted(reply) => return Ok(EntryDecision::Join(reply)),
                Found::Decided(JoinVerdict::Refused(error)) => return Err(error),
                Found::Decided(JoinVerdict::Found(others)) => {
                    if self.is_elected_founder(&others).await? {
                        context.logger.info(format_args!(
                            "no address knows of a cluster: this node founds one"
                        ));
                        return Ok(EntryDecision::Bootstrap);
                    }
                    env::sleep(BOOTSTRAP_RETRY_PAUSE).await;
                }
            }
        }
    }

    /// Asks every address until the node is admitted, has a reason to found a cluster, or is refused by an answer that
    /// decides.
    async fn search(
        &self,
        entrance: EntryPoint,
        discovery: &mut Discovery,
        deadline: Instant,
    ) -> Result<Found<JoinVerdict>> {
        let joiner = self.joiner();
        let request = self.join_request(None);
        let decide = |discovery: &Discovery| {
            let verdict = self.verdict(entrance, discovery);
            if verdict.is_none() && entrance == EntryPoint::Join {
                self.waits_for(format!("a member to let this node in ({})", discovery.describe()));
            }
            verdict
        };
        let searching = joiner.search(&request, discovery, decide);
        let remaining = deadline.since(Instant::now());
        let limited = async { Ok(env::timeout(remaining, searching).await) };
        match self.context.until_stopped(limited).await? {
            Ok(found) => Ok(found),
            Err(_) => Err(self.entrance_failed(entrance, discovery)),
        }
    }

    /// The decision that follows from the answers so far; `None` while the node must go on asking. Founding is the last
    /// resort: every address must be silent or report that it has no cluster. A node that may found alone must also
    /// have searched for [`BOOTSTRAP_QUIET`], because a network may come up later than the node.
    fn verdict(&self, entrance: EntryPoint, discovery: &Discovery) -> Option<JoinVerdict> {
        let look = match entrance {
            // Only a node that may not found gives up when its join is refused: any other asks until the deadline.
            EntryPoint::Join => return discovery.settled_refusal().map(JoinVerdict::Refused),
            EntryPoint::Alone if !discovery.found_no_cluster() => BootstrapStep::Wait(discovery.describe()),
            EntryPoint::Alone if discovery.elapsed() < BOOTSTRAP_QUIET => BootstrapStep::Wait(
                "addresses that are silent, to be sure that there is no cluster".to_owned(),
            ),
            EntryPoint::Alone => self.bootstrap.next_step_alone(discovery),
            EntryPoint::Together(_) => self.bootstrap.next_step(discovery),
        };
        match look {
            BootstrapStep::Propose(others) => Some(JoinVerdict::Found(others)),
            BootstrapStep::Disagree(error) => Some(JoinVerdict::Refused(error)),
            BootstrapStep::Wait(why) => {
                self.waits_for(why);
                None
            }
        }
    }

    fn entrance_failed(&self, entrance: EntryPoint, discovery: &Discovery) -> Error {
        let error = discovery.failure(self.context.options.join_timeout);
        match entrance {
            EntryPoint::Join if error.code() == ErrorCode::JoinFailed => Error::new(
                ErrorCode::JoinFailed,
                format!(
                    "{}; if there is no cluster yet, set bootstrap_expect on all nodes or bootstrap on one",
                    error.message()
                ),
            ),
            EntryPoint::Join => error,
            EntryPoint::Alone | EntryPoint::Together(_) => {
                let waited = self.waiting().unwrap_or_default();
                error.context(format!("no cluster was founded; this node waited for: {waited}"))
            }
        }
    }

    /// True when this node founds the cluster: it may do so alone, or enough other nodes have promised to let it.
    async fn is_elected_founder(&self, others: &[(NodeId, String)]) -> Result<bool> {
        let Some(expect) = self.context.options.bootstrap_expect.filter(|expect| *expect > 1) else {
            return Ok(true);
        };
        if !self.promise(&self.context.me, expect).await? {
            return Ok(false);
        }
        let asked = others.iter().map(|(_, address)| {
            let call = MemberCall::Promise {
                founder: self.context.me.clone(),
                expect,
            };
            async move {
                let answer = self.leader.call(address, call, false, PROMISE_TIMEOUT).await;
                matches!(answer, Ok(MemberAnswer::Done(MemberReply::Promised)))
            }
        });
        let promised = join_all(asked)
            .await
            .into_iter()
            .filter(|promised| *promised)
            .count()
            + 1;
        if u32::try_from(promised).unwrap_or(u32::MAX) < expect {
            self.waits_for(format!(
                "the promises of {expect} nodes; {promised} have given theirs"
            ));
            return Ok(false);
        }
        let _turn = self.bootstrap.lock_turn().await;
        // This node may have promised another founder meanwhile.
        if self.bootstrap.promised().as_ref() != Some(&self.context.me) {
            return Ok(false);
        }
        self.bootstrap.close();
        Ok(true)
    }

    /// Promises durably to let `founder` found the cluster; false where this node may not give that promise.
    async fn promise(&self, founder: &NodeId, expect: u32) -> Result<bool> {
        let _turn = self.bootstrap.lock_turn().await;
        if self.bootstrap.may_promise(founder, expect).is_err() {
            return Ok(false);
        }
        if self.bootstrap.promised().as_ref() != Some(founder) {
            self.context.data_dir.store_promise(founder.clone()).await?;
            self.bootstrap.promise(founder.clone());
        }
        Ok(true)
    }

    /// Answers another node that asks for this node's promise.
    ///
    /// # Errors
    /// Why the promise is not given.
    pub(super) async fn answer_promise(&self, founder: &NodeId, expect: u32) -> Result<MemberReply> {
        self.bootstrap.may_promise(founder, expect)?;
        if self.promise(founder, expect).await? {
            return Ok(MemberReply::Promised);
        }
        Err(Error::new(
            ErrorCode::Refused,
            "this node has promised something else meanwhile",
        ))
    }
}

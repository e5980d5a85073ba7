//! What a node without a past does: it joins a cluster, or founds one where there is none.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::Node;
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::membership::{
    BootstrapStep, Discovery, Found, MemberAnswer, MemberCall, MemberReply, PromiseFile,
};
use crate::model::NodeId;

/// For how long nobody must have said that there is a cluster before a node that may found by itself does.
const BOOTSTRAP_QUIET: Duration = Duration::from_secs(1);
/// How long another node has to store its promise.
const PROMISE_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause after promises were not given.
const BOOTSTRAP_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// How a node without a past comes into a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EntryPoint {
    /// Joins one.
    Join,
    /// Joins one, or founds one by itself.
    Alone,
    /// Joins one, or founds one together with as many others as are expected.
    Together(u32),
}

/// What a node without a past does that was not let in.
#[derive(Debug, Clone, PartialEq)]
enum Verdict {
    /// It gives up.
    Refused(Error),
    /// It founds, with the promises of these.
    Found(Vec<(NodeId, String)>),
}

impl Node {
    /// A node without a past joins a cluster, or founds one where there is none.
    pub(super) async fn bootstrap_or_join(self: &Arc<Self>) -> Result<()> {
        let options = &self.options;
        if options.join_addrs.is_empty() && options.may_found_alone() {
            return self.bootstrap().await;
        }
        let entrance = match (options.may_found_alone(), options.bootstrap_expect) {
            (true, _) => EntryPoint::Alone,
            (false, Some(expect)) => EntryPoint::Together(expect),
            (false, None) => EntryPoint::Join,
        };
        let deadline = Instant::now() + options.join_timeout;
        let mut discovery = Discovery::new();
        loop {
            match self.search(entrance, &mut discovery, deadline).await? {
                Found::Admitted(reply) => return self.complete_join(reply).await,
                Found::Decided(Verdict::Refused(error)) => return Err(error),
                Found::Decided(Verdict::Found(others)) => {
                    if self.is_elected_founder(&others).await? {
                        self.logger.info(format_args!(
                            "no address knows of a cluster: this node founds one"
                        ));
                        return self.bootstrap().await;
                    }
                    env::sleep(BOOTSTRAP_RETRY_PAUSE).await;
                }
            }
        }
    }

    /// Asks everybody until there is a cluster to be in, a reason to found one, or a refusal that decides.
    async fn search(
        &self,
        entrance: EntryPoint,
        discovery: &mut Discovery,
        deadline: Instant,
    ) -> Result<Found<Verdict>> {
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
        match self.until_stopped(limited).await? {
            Ok(found) => Ok(found),
            Err(_) => Err(self.entrance_failed(entrance, discovery)),
        }
    }

    /// What the answers so far come to. Founding is the last resort: only where every address is silent or says that
    /// there is no cluster, and for a while, since a network may come up later than the node.
    fn verdict(&self, entrance: EntryPoint, discovery: &Discovery) -> Option<Verdict> {
        let look = match entrance {
            // Whoever may found waits for anything but a yes until time is up.
            EntryPoint::Join => return discovery.settled_refusal().map(Verdict::Refused),
            EntryPoint::Alone if !discovery.found_no_cluster() => BootstrapStep::Wait(discovery.describe()),
            EntryPoint::Alone if discovery.elapsed() < BOOTSTRAP_QUIET => BootstrapStep::Wait(
                "addresses that are silent, to be sure that there is no cluster".to_owned(),
            ),
            EntryPoint::Alone => self.bootstrap.next_step_alone(discovery),
            EntryPoint::Together(_) => self.bootstrap.next_step(discovery),
        };
        match look {
            BootstrapStep::Propose(others) => Some(Verdict::Found(others)),
            BootstrapStep::Disagree(error) => Some(Verdict::Refused(error)),
            BootstrapStep::Wait(why) => {
                self.waits_for(why);
                None
            }
        }
    }

    fn entrance_failed(&self, entrance: EntryPoint, discovery: &Discovery) -> Error {
        let error = discovery.failure(self.options.join_timeout);
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

    /// True when this node is to found the cluster: it may by itself, or the others have promised to let it.
    async fn is_elected_founder(&self, others: &[(NodeId, String)]) -> Result<bool> {
        let Some(expect) = self.options.bootstrap_expect.filter(|expect| *expect > 1) else {
            return Ok(true);
        };
        if !self.promise(&self.me, expect).await? {
            return Ok(false);
        }
        let asked = others.iter().map(|(_, address)| {
            let call = MemberCall::Promise {
                founder: self.me.clone(),
                expect,
            };
            async move {
                let answer = self.call_member(address, call, false, PROMISE_TIMEOUT).await;
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
        // It may have given itself up meanwhile.
        if self.bootstrap.promised().as_ref() != Some(&self.me) {
            return Ok(false);
        }
        self.bootstrap.close();
        Ok(true)
    }

    /// Promises durably to let `founder` found the cluster; false when something else was promised before.
    async fn promise(&self, founder: &NodeId, expect: u32) -> Result<bool> {
        let _turn = self.bootstrap.lock_turn().await;
        if self.bootstrap.may_promise(founder, expect).is_err() {
            return Ok(false);
        }
        if self.bootstrap.promised().as_ref() != Some(founder) {
            let file = PromiseFile::new(self.disk.clone(), &self.dir);
            let word = founder.clone();
            env::blocking(move || file.store(&word)).await??;
            self.bootstrap.promise(founder.clone());
        }
        Ok(true)
    }

    /// Another node asks for this node's promise.
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

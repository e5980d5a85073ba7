//! How a new copy comes to be, at both ends: the copier reads pages from the primary, which sends it at the same time what
//! is written meanwhile; then the primary compares, while nothing is written, and counts the copy from then on.

use std::sync::Arc;
use std::time::Duration;

use clusterkit::model::{Node, Role};
use tokio::time::{Instant, sleep, timeout};

use crate::config::Mode;
use crate::peers::{CallError, Check, CopyAnswer, Finish, Peer, digest_text};
use crate::replication::{Failure, Kv, RETRY_PAUSE};
use crate::store::{Copies, CopyState, StoreError};

/// How long a copy may take before its hook fails, and ClusterKit calls it again.
const COPY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a comparison may wait for writes that are under way.
const QUIET_TIMEOUT: Duration = Duration::from_millis(2500);
/// How long the copier waits for it.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is made while rows may still be on their way.
const MAX_CHECKS: usize = 5;

impl Kv {
    // ---- the copier ------------------------------------------------------------------------------------------

    /// Copies a partition, and returns when the primary has found the copy equal. What an earlier attempt left is compared,
    /// not copied again.
    pub(crate) async fn copy(self: &Arc<Self>, number: u32, sources: &[Arc<Node>]) -> Result<(), String> {
        let partition = self.partition(number);
        let _copying = partition.copying.lock().await;
        self.change(move |copies| copies.set_whole(number, false)).await?;
        let deadline = Instant::now() + COPY_TIMEOUT;
        let mut cursor = String::new();
        loop {
            let attempt = self.copy_once(number, sources, &mut cursor).await;
            let why = match attempt {
                Ok(true) => return Ok(()),
                // All pages were read; now they are compared.
                Ok(false) => continue,
                Err(why) => why,
            };
            if Instant::now() >= deadline || !self.is_copied_here(number) {
                return Err(why);
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    /// Compares, which returns true, or reads pages from where the cursor stands to the end.
    async fn copy_once(
        self: &Arc<Self>,
        number: u32,
        sources: &[Arc<Node>],
        cursor: &mut String,
    ) -> Result<bool, String> {
        let primary = self.primary_peer(number);
        if let (true, Some(primary)) = (cursor.is_empty(), &primary) {
            let node = self.node.my_node_id().to_string();
            let finish = Finish {
                partition: number,
                node,
            };
            let finished = primary.call_for::<CopyAnswer>(FINISH_TIMEOUT, "/kv/finish", &finish);
            match finished.await {
                Ok(_) => return Ok(true),
                Err(CallError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let source = primary.or_else(|| sources.iter().find_map(|node| self.peer(node)));
        let source = source.ok_or("nobody is known who has the partition")?;
        loop {
            let (page, epoch) = source.page(number, cursor).await?;
            let (after, next) = (cursor.clone(), page.next.clone());
            match epoch {
                Some(epoch) => {
                    let replace = move |copies: &mut Copies| copies.replace(number, epoch, &after, &page);
                    self.change(replace).await?
                }
                None => {
                    let absorb = move |copies: &mut Copies| copies.absorb(number, &page.rows);
                    self.change(absorb).await?
                }
            };
            *cursor = next.unwrap_or_default();
            if cursor.is_empty() {
                return Ok(false);
            }
        }
    }

    fn primary_peer(self: &Arc<Self>, number: u32) -> Option<Arc<Peer>> {
        let view = self.node.view();
        let primary = view.partition_by_number(number)?.primary()?;
        if primary.id == *view.my_id() {
            return None;
        }
        self.peer(primary)
    }

    /// True while this node is to have a copy, and is not the one that the others copy from.
    fn is_copied_here(&self, number: u32) -> bool {
        let view = self.node.view();
        let me = view.my_id();
        view.partition_by_number(number).is_some_and(|partition| {
            let mut holders = partition.replicas().chain(partition.pending());
            holders.any(|node| node.id == *me)
        })
    }

    /// Sees to a copy that no event is about: the view counts it, and it is not whole. It was being made when the primary
    /// changed.
    pub(crate) async fn copy_unfinished(self: &Arc<Self>, number: u32) {
        if self.node.role(number) != Some(Role::Replica) {
            return;
        }
        let is_whole = self.store.state(number).await.map_or(true, |copy| copy.whole);
        let is_copying = self.partition(number).copying.try_lock().is_err();
        if !is_whole && !is_copying {
            let kv = self.clone();
            tokio::spawn(async move {
                if let Err(why) = kv.copy(number, &[]).await {
                    kv.log(&format!("partition-{number} is not copied: {why}"));
                }
            });
        }
    }

    /// `POST /kv/check`: this copy becomes whole if it is what the primary has.
    pub(crate) async fn check(&self, check: Check) -> Result<CopyState, StoreError> {
        let compare = move |copies: &mut Copies| {
            let state = copies.fence(check.partition, check.epoch)?;
            match state.count == check.count && digest_text(state.digest) == check.digest {
                true => copies.set_whole(check.partition, true),
                false => Err(StoreError::Refused(state)),
            }
        };
        self.store.run(compare).await
    }

    // ---- the primary -----------------------------------------------------------------------------------------

    /// `POST /kv/finish`: compares a copy with this one while nothing is written. From then on each write waits for it,
    /// until the view counts it.
    pub(crate) async fn finish(
        self: &Arc<Self>,
        finish: Finish,
    ) -> Result<Result<CopyAnswer, CopyAnswer>, Failure> {
        let number = finish.partition;
        let unavailable = |why: &str| Failure::Unavailable(why.to_owned());
        let epoch = self.serving_epoch(number).await?;
        let holders = self
            .holders(number, epoch)
            .ok_or_else(|| unavailable("the primary has changed"))?;
        let holder = holders
            .others
            .into_iter()
            .find(|holder| *holder.peer.id == *finish.node);
        let peer = holder
            .ok_or_else(|| unavailable("it holds no copy in this node's view"))?
            .peer;
        let partition = self.partition(number);
        let quiet = timeout(QUIET_TIMEOUT, partition.writing.write()).await;
        let _quiet = quiet.map_err(|_| unavailable("writes are under way"))?;
        let mut checks = 0;
        loop {
            let own = self.store.state(number).await;
            let own: CopyAnswer = own.map_err(|error| Failure::Unavailable(error.into()))?.into();
            let check = Check {
                partition: number,
                epoch,
                count: own.count,
                digest: own.digest,
            };
            checks += 1;
            match peer.call("/kv/check", &check).await {
                Ok(copy) => {
                    partition.required.lock().insert(peer.id.clone());
                    return Ok(Ok(copy));
                }
                // In the mode `async` the queue still holds rows.
                Err(CallError::Conflict(_))
                    if self.mode == Mode::Async && peer.lag.lock().queued > 0 && checks < MAX_CHECKS =>
                {
                    sleep(RETRY_PAUSE).await;
                }
                Err(CallError::Conflict(copy)) => return Ok(Err(copy)),
                Err(error) => return Err(unavailable(&String::from(error))),
            }
        }
    }
}

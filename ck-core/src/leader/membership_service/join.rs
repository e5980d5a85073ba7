//! Joins: of a new member, or of a new process of a member.

use super::{MembershipService, not_leader};
#[cfg(doc)]
use crate::error::ErrorCode;
use crate::error::{Error, Result};
use crate::membership::{check_config, check_spec};
use crate::rpc::{JoinReply, JoinRequest};
use crate::state::{Command, Reply};

impl MembershipService {
    /// Admits a new node, or a new process of a member.
    ///
    /// # Errors
    /// [`ErrorCode::ClusterMismatch`] and [`ErrorCode::WrongCluster`] with both values, [`ErrorCode::DuplicateNode`],
    /// [`ErrorCode::JoinRefused`] when the node cannot be reached at its address, [`ErrorCode::Removed`]. Nothing has
    /// changed then.
    pub(crate) async fn join(&self, request: &JoinRequest) -> Result<JoinReply> {
        let epoch = self.context.leadership.epoch().ok_or_else(not_leader)?;
        let topology = self.context.applied.topology();
        check_spec(&request.spec)?;
        check_config(&topology.config, &topology.cluster_id, request)?;
        let known = topology.nodes.get(&request.spec.id);
        let duplicate = async {
            match known {
                Some(known) => self.check_duplicate(known, request).await,
                None => Ok(()),
            }
        };
        // Both checks run at the same time, because the address that the member had before may not answer.
        let (duplicate, dialled) = futures_util::join!(duplicate, self.dial_back(request));
        duplicate?;
        dialled?;
        // A process that brings the node's log holds the lock of its data directory, so the earlier process is dead.
        // Without the log the earlier process may be alive, and its leases are revoked first.
        let replaced = known.filter(|known| {
            known.status.is_up()
                && request.spec.raft_id.is_none()
                && self.context.applied.state().process_of(&known.id) != Some(request.spec.process)
        });
        let known = known.map(|known| known.incarnation);
        let join = async {
            let silent_ms = known.map_or(0, |known| self.silent_ms(&request.spec.id, known));
            let response = self
                .with_promotions(
                    epoch,
                    &request.spec.id,
                    known,
                    &[],
                    |promotions, planned_on, unleased_from| Command::Join {
                        node: request.spec.clone(),
                        promotions,
                        planned_on,
                        silent_ms,
                        unleased_from,
                    },
                )
                .await?;
            response.result.map(|reply| (response.revision, reply))
        };
        let (revision, reply) = self
            .with_leases_revoked(epoch, replaced.map(AsRef::as_ref), join)
            .await?;
        match reply {
            Reply::Joined {
                raft_id, incarnation, ..
            } => Ok(JoinReply {
                cluster_id: topology.cluster_id.clone(),
                config: topology.config.clone(),
                raft_id,
                incarnation,
                revision,
            }),
            other => Err(Error::internal(format!("a join was answered with {other:?}"))),
        }
    }
}

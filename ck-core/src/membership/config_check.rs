//! The settings that a joining node must have in common with the cluster.

use std::fmt::Display;
use std::time::Duration;

use crate::error::{Error, ErrorCode, Result};
use crate::model::ClusterConfig;
use crate::options::format_duration;
use crate::rpc::JoinRequest;

/// Checks the settings that must be equal in the whole cluster.
///
/// # Errors
/// [`ErrorCode::WrongCluster`] or [`ErrorCode::ClusterMismatch`], with both values.
pub(crate) fn check_config(config: &ClusterConfig, cluster_id: &str, request: &JoinRequest) -> Result<()> {
    let id = &request.spec.id;
    if request.cluster_name != config.cluster_name {
        return Err(Error::new(
            ErrorCode::WrongCluster,
            format!(
                "node {id:?} wants to join cluster {:?}, this is {:?}",
                request.cluster_name, config.cluster_name
            ),
        ));
    }
    if let Some(theirs) = &request.cluster_id
        && theirs != cluster_id
    {
        return Err(Error::new(
            ErrorCode::WrongCluster,
            format!(
                "node {id:?} brings the data_dir of another cluster named {:?}: its id is {theirs}, this one's {cluster_id}",
                config.cluster_name
            ),
        ));
    }
    let differ = |option: &str, theirs: &dyn Display, ours: &dyn Display| {
        Error::new(
            ErrorCode::ClusterMismatch,
            format!(
                "node {id:?} asks for {option} {theirs}, but the cluster has {ours}; leave the option out to take the cluster's"
            ),
        )
    };
    let agree = |option: &str, theirs: Option<u32>, ours: u32| match theirs {
        Some(theirs) if theirs != ours => Err(differ(option, &theirs, &ours)),
        _ => Ok(()),
    };
    let agree_on_time = |option: &str, theirs: Option<u64>, ours: u64| match theirs {
        Some(theirs) if theirs != ours => {
            let [theirs, ours] = [theirs, ours].map(|millis| format_duration(Duration::from_millis(millis)));
            Err(differ(option, &theirs, &ours))
        }
        _ => Ok(()),
    };
    agree("partition_count", request.partition_count, config.partition_count)?;
    agree(
        "replication_factor",
        request.replication_factor,
        config.replication_factor,
    )?;
    // Leases depend on these: with a leader or a voter that counts other times, two nodes could act at once.
    agree_on_time("lease_ttl", request.lease_ttl_ms, config.lease_ttl_ms)?;
    agree_on_time(
        "health_check.interval x failure_threshold",
        request.failure_timeout_ms,
        config.failure_timeout_ms,
    )?;
    agree_on_time(
        "timing.election_max",
        request.election_timeout_ms,
        config.election_timeout_ms,
    )
}

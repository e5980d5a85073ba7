//! The audit of what members and joining nodes ask of this one.

use super::context::NodeContext;
use crate::env;
use crate::error::{ErrorCode, Result};
use crate::http::AuditLine;
use crate::net::{PeerConnection, Role};
use crate::rpc::{MemberAnswer, MemberCall, MemberReply};

/// A call that changes something, and what it is about.
pub(super) struct AuditedCall {
    name: &'static str,
    target: Option<String>,
}

impl AuditedCall {
    /// `None` for a call that changes nothing, and for heartbeats and what belongs to them.
    pub(super) fn of(call: &MemberCall) -> Option<Self> {
        let (name, target) = match call {
            MemberCall::Join(join) => ("Join", Some(join.spec.id.to_string())),
            MemberCall::Stop { node, .. } => ("Stop", Some(node.to_string())),
            MemberCall::Failed { node, .. } => ("Failed", Some(node.to_string())),
            MemberCall::Leave { node, .. } => ("Leave", Some(node.to_string())),
            MemberCall::Remove { node, .. } => ("Remove", Some(node.to_string())),
            MemberCall::Recover { number, .. } => ("Recover", Some(number.to_string())),
            MemberCall::StepDown { to, .. } => ("StepDown", to.as_ref().map(ToString::to_string)),
            MemberCall::Rebalance => ("Rebalance", None),
            MemberCall::CreatePartitions => ("CreatePartitions", None),
            MemberCall::Maintenance { .. } => ("Maintenance", None),
            MemberCall::Ping
            | MemberCall::Sync(_)
            | MemberCall::GiveBack { .. }
            | MemberCall::RebalanceStatus
            | MemberCall::LastSeen
            | MemberCall::Promise { .. } => return None,
        };
        Some(AuditedCall { name, target })
    }

    /// Writes the call with its outcome.
    pub(super) fn write(
        &self,
        context: &NodeContext,
        connection: &PeerConnection,
        answer: &Result<MemberAnswer>,
    ) {
        let (error, revision) = match answer {
            Err(error) | Ok(MemberAnswer::Refused(error)) => (Some(error.code()), None),
            Ok(MemberAnswer::NotLeader(_)) => (Some(ErrorCode::NotLeader), None),
            Ok(MemberAnswer::Join(answer)) => match &answer.result {
                Ok(reply) => (None, Some(reply.revision)),
                Err(error) => (Some(error.code()), None),
            },
            Ok(MemberAnswer::Done(MemberReply::Revision { revision, .. })) => (None, Some(*revision)),
            Ok(MemberAnswer::Done(_)) => (None, None),
        };
        let principal = connection.principal();
        let line = AuditLine {
            time: env::wall_now(),
            principal: principal.map(|known| &*known.node).unwrap_or_default(),
            role: principal.map_or("none", |_| Role::Peer.name()),
            key_id: principal.and_then(|known| known.key_id.as_ref()),
            address: connection.remote().map(|address| address.to_string()),
            call: self.name,
            target: self.target.as_deref(),
            status: None,
            error: error.map(ErrorCode::name),
            revision,
        };
        context.logger.audit(&line, error.is_none());
    }
}

//! Which part of a node a peer's call is for.

use bytes::Bytes;

/// The first byte of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// Raft's own calls.
    Raft,
    /// Calls that only the leader can answer.
    Forward,
    /// Joining, syncing and the rest of membership.
    Member,
}

impl Service {
    const ALL: [Service; 3] = [Service::Raft, Service::Forward, Service::Member];

    const fn code(self) -> u8 {
        match self {
            Service::Raft => 1,
            Service::Forward => 2,
            Service::Member => 3,
        }
    }

    /// The call, marked as one for this part.
    pub(crate) fn envelope(self, body: &[u8]) -> Bytes {
        let mut call = Vec::with_capacity(1 + body.len());
        call.push(self.code());
        call.extend_from_slice(body);
        call.into()
    }

    /// What a call is for, and its body; `None` for a service that this build does not know.
    pub(crate) fn open(call: &[u8]) -> Option<(Self, &[u8])> {
        let (code, body) = call.split_first()?;
        let service = Self::ALL.into_iter().find(|service| service.code() == *code)?;
        Some((service, body))
    }
}

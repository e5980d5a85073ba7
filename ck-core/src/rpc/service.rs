//! The service of a node that a call from a peer addresses.

use bytes::Bytes;

/// The service of a call, encoded as its first byte. The order of the variants is that of [`Service::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// Raft RPCs.
    Raft,
    /// Calls that only the leader can answer, forwarded to it.
    Forward,
    /// Membership calls: join, sync and the others.
    Member,
}

impl Service {
    pub(super) const ALL: [Service; 3] = [Service::Raft, Service::Forward, Service::Member];

    const fn code(self) -> u8 {
        match self {
            Service::Raft => 1,
            Service::Forward => 2,
            Service::Member => 3,
        }
    }

    /// Encodes a call for this service.
    pub(crate) fn envelope(self, body: &[u8]) -> Bytes {
        let mut call = Vec::with_capacity(1 + body.len());
        call.push(self.code());
        call.extend_from_slice(body);
        call.into()
    }

    /// Decodes the service and the body of a call; `None` for a service that this build does not know.
    pub(crate) fn open(call: &[u8]) -> Option<(Self, &[u8])> {
        let (code, body) = call.split_first()?;
        let service = Self::ALL.into_iter().find(|service| service.code() == *code)?;
        Some((service, body))
    }
}

//! What most applications name: `use clusterkit::prelude::*;`.

pub use crate::hooks::{EventFilter, EventType, Hook, HookCompletion, HookId};
pub use crate::model::{Event, EventKind, NodeHealthState, NodeId, Role, RoleChange};
pub use crate::options::{LogLevel, TimingProfile};
pub use crate::{
    AsyncClient, AsyncClusterKit, Client, ClientOptions, ClusterKit, ErrorCode, Expect, Options,
    WeakClusterKit,
};

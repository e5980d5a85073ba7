// Part of include/clusterkit.hpp: Names for the numbers of the C interface.
#pragma once

#include "values.hpp"

namespace clusterkit {

// ---- Names for numbers. A later library may have more: what is none of them prints as "unknown".
// -----------------------

/// What a node is to a partition.
enum class Role : std::int32_t {
    /// The node holds nothing of the partition, or may not act on what it holds.
    None = CK_ROLE_NONE,
    /// The node takes the writes.
    Primary = CK_ROLE_PRIMARY,
    /// The node holds a copy.
    Replica = CK_ROLE_REPLICA,
};

/// Where a node is in its life.
enum class NodeStatus : std::int32_t {
    /// A status that this header does not know.
    Unknown = CK_NODE_STATUS_UNKNOWN,
    /// Admitted, and catching up with the log. Holds no partition yet.
    Joining = CK_NODE_JOINING,
    /// A full member.
    Active = CK_NODE_ACTIVE,
    /// Handing its partitions over before it is removed.
    Leaving = CK_NODE_LEAVING,
    /// Shut down in an orderly way; expected back.
    Stopped = CK_NODE_STOPPED,
    /// Declared dead after too long without a heartbeat; may come back.
    Failed = CK_NODE_FAILED,
};

/// What an application says of its own health.
enum class Health : std::int32_t {
    /// A state of health that this header does not know.
    Unknown = CK_HEALTH_UNKNOWN,
    /// All is well.
    Healthy = CK_HEALTH_HEALTHY,
    /// It works, with something to look at.
    Degraded = CK_HEALTH_DEGRADED,
    /// It cannot do its work.
    Failing = CK_HEALTH_FAILING,
};

/// The condition of a partition.
enum class PartitionState : std::int32_t {
    /// There is no such partition, or its state is one that this header does not know.
    Unknown = CK_PARTITION_UNKNOWN,
    /// It has a primary, nothing moves, and as many nodes that are up hold the data as the replication factor requires.
    Ok = CK_PARTITION_OK,
    /// It has a primary and enough copies, and a copy or the primary role is moving to another node.
    Moving = CK_PARTITION_MOVING,
    /// It has a primary, and fewer nodes that are up hold the data than the replication factor requires.
    UnderReplicated = CK_PARTITION_UNDER_REPLICATED,
    /// The primary role is between two holders, or no node has it yet.
    NoPrimary = CK_PARTITION_NO_PRIMARY,
    /// No node that is up holds the data.
    Lost = CK_PARTITION_LOST,
};

/// What a step of a migration does.
enum class MigrationState : std::int32_t {
    /// A state that this header does not know.
    Unknown = CK_MIGRATION_UNKNOWN,
    /// The node has as many copies in progress as it may.
    Queued = CK_MIGRATION_QUEUED,
    /// The node has to copy the data.
    Copying = CK_MIGRATION_COPYING,
    /// The node has to copy the data, its hook has failed, and the hook is called again.
    Retrying = CK_MIGRATION_RETRYING,
    /// No node that is up has the data.
    NoSource = CK_MIGRATION_NO_SOURCE,
    /// The copy is there; the primary role is taken from its holder and given to the other node.
    HandingOver = CK_MIGRATION_HANDING_OVER,
};

/// What a node gains or loses in a partition.
enum class RoleChange : std::int32_t {
    /// A change that this header does not know.
    Unknown = CK_CHANGE_UNKNOWN,
    /// The node is to hold a copy: copy the data, and return success when it is there.
    GainedReplica = CK_CHANGE_GAINED_REPLICA,
    /// The node takes the writes from now on.
    GainedPrimary = CK_CHANGE_GAINED_PRIMARY,
    /// The node takes writes no longer; it still holds its copy.
    LostPrimary = CK_CHANGE_LOST_PRIMARY,
    /// The node holds the partition no longer, and may delete the data.
    LostCopy = CK_CHANGE_LOST_COPY,
};

/// Why a partition's holders changed.
enum class ChangeReason : std::int32_t {
    /// A reason that this header does not know.
    Unknown = CK_REASON_UNKNOWN,
    /// A node joined.
    NodeJoin = CK_REASON_NODE_JOIN,
    /// A node stopped, failed or was removed.
    NodeLeave = CK_REASON_NODE_LEAVE,
    /// A better distribution was found.
    Rebalance = CK_REASON_REBALANCE,
    /// It was asked for.
    Manual = CK_REASON_MANUAL,
};

/// Why a node left.
enum class LeaveReason : std::int32_t {
    /// A reason that this header does not know.
    Unknown = CK_LEAVE_UNKNOWN,
    /// It sent no heartbeat for too long.
    HealthCheckFailure = CK_LEAVE_HEALTH_CHECK_FAILURE,
    /// It stopped or left in an orderly way.
    GracefulShutdown = CK_LEAVE_GRACEFUL_SHUTDOWN,
    /// An administrator removed it.
    RemovedByAdmin = CK_LEAVE_REMOVED_BY_ADMIN,
};

/// What made partitions move.
enum class RebalanceTrigger : std::int32_t {
    /// A trigger that this header does not know, or none.
    Unknown = CK_TRIGGER_UNKNOWN,
    /// Nodes joined.
    NodeJoin = CK_TRIGGER_NODE_JOIN,
    /// A node left.
    NodeLeave = CK_TRIGGER_NODE_LEAVE,
    /// It was asked for.
    Manual = CK_TRIGGER_MANUAL,
};

/// How much a message matters.
enum class LogLevel : std::int32_t {
    /// What needs a human.
    Error = CK_LOG_ERROR,
    /// What may need one.
    Warn = CK_LOG_WARN,
    /// What an operator wants to see: joins, leaders, moves.
    Info = CK_LOG_INFO,
    /// What helps to find a fault.
    Debug = CK_LOG_DEBUG,
    /// Everything.
    Trace = CK_LOG_TRACE,
};

/// What happened. Several with | are an EventMask.
enum class EventKind : std::uint32_t {
    /// A node gained or lost a partition, or a role in it: PartitionChange.
    PartitionChange = CK_EVENT_PARTITION_CHANGE,
    /// A node that was never a member has joined: NodeJoin.
    NodeJoin = CK_EVENT_NODE_JOIN,
    /// A member is back, or has restarted: NodeRejoin.
    NodeRejoin = CK_EVENT_NODE_REJOIN,
    /// A member stopped, failed, or was removed: NodeLeave.
    NodeLeave = CK_EVENT_NODE_LEAVE,
    /// Partitions begin to move: Rebalance.
    RebalanceStart = CK_EVENT_REBALANCE_START,
    /// Every partition is where it should be: Rebalance.
    RebalanceComplete = CK_EVENT_REBALANCE_COMPLETE,
    /// The cluster's health changed: ClusterHealth.
    ClusterHealthChange = CK_EVENT_CLUSTER_HEALTH_CHANGE,
    /// This node leads now: Leadership. Told on this node only.
    BecomeLeader = CK_EVENT_BECOME_LEADER,
    /// This node leads no longer: Leadership. Told on this node only.
    LoseLeadership = CK_EVENT_LOSE_LEADERSHIP,
    /// Another node leads now: Leadership.
    LeaderChange = CK_EVENT_LEADER_CHANGE,
};

/// The name of a role: "primary", "replica", "none".
inline std::string_view to_string(Role role) noexcept {
    switch (role) {
    case Role::None: return "none";
    case Role::Primary: return "primary";
    case Role::Replica: return "replica";
    }
    return "unknown";
}

/// The name of a status, as over HTTP.
inline std::string_view to_string(NodeStatus status) noexcept {
    switch (status) {
    case NodeStatus::Joining: return "joining";
    case NodeStatus::Active: return "active";
    case NodeStatus::Leaving: return "leaving";
    case NodeStatus::Stopped: return "stopped";
    case NodeStatus::Failed: return "failed";
    case NodeStatus::Unknown: break;
    }
    return "unknown";
}

/// The name of a state of health, as over HTTP.
inline std::string_view to_string(Health health) noexcept {
    switch (health) {
    case Health::Healthy: return "healthy";
    case Health::Degraded: return "degraded";
    case Health::Failing: return "failing";
    case Health::Unknown: break;
    }
    return "unknown";
}

/// The name of a partition's state, as over HTTP.
inline std::string_view to_string(PartitionState state) noexcept {
    switch (state) {
    case PartitionState::Ok: return "ok";
    case PartitionState::Moving: return "moving";
    case PartitionState::UnderReplicated: return "under_replicated";
    case PartitionState::NoPrimary: return "no_primary";
    case PartitionState::Lost: return "lost";
    case PartitionState::Unknown: break;
    }
    return "unknown";
}

/// The name of a migration's state, as over HTTP.
inline std::string_view to_string(MigrationState state) noexcept {
    switch (state) {
    case MigrationState::Queued: return "queued";
    case MigrationState::Copying: return "copying";
    case MigrationState::Retrying: return "retrying";
    case MigrationState::NoSource: return "no_source";
    case MigrationState::HandingOver: return "handing_over";
    case MigrationState::Unknown: break;
    }
    return "unknown";
}

/// The name of a change, as over HTTP.
inline std::string_view to_string(RoleChange change) noexcept {
    switch (change) {
    case RoleChange::GainedReplica: return "gained_replica";
    case RoleChange::GainedPrimary: return "gained_primary";
    case RoleChange::LostPrimary: return "lost_primary";
    case RoleChange::LostCopy: return "lost_copy";
    case RoleChange::Unknown: break;
    }
    return "unknown";
}

/// The name of a reason, as over HTTP.
inline std::string_view to_string(ChangeReason reason) noexcept {
    switch (reason) {
    case ChangeReason::NodeJoin: return "node_join";
    case ChangeReason::NodeLeave: return "node_leave";
    case ChangeReason::Rebalance: return "rebalance";
    case ChangeReason::Manual: return "manual";
    case ChangeReason::Unknown: break;
    }
    return "unknown";
}

/// The name of a reason, as over HTTP.
inline std::string_view to_string(LeaveReason reason) noexcept {
    switch (reason) {
    case LeaveReason::HealthCheckFailure: return "health_check_failure";
    case LeaveReason::GracefulShutdown: return "graceful_shutdown";
    case LeaveReason::RemovedByAdmin: return "removed_by_admin";
    case LeaveReason::Unknown: break;
    }
    return "unknown";
}

/// The name of a trigger, as over HTTP.
inline std::string_view to_string(RebalanceTrigger trigger) noexcept {
    switch (trigger) {
    case RebalanceTrigger::NodeJoin: return "node_join";
    case RebalanceTrigger::NodeLeave: return "node_leave";
    case RebalanceTrigger::Manual: return "manual";
    case RebalanceTrigger::Unknown: break;
    }
    return "unknown";
}

/// The name of a level, as the option log_level takes it.
inline std::string_view to_string(LogLevel level) noexcept {
    switch (level) {
    case LogLevel::Error: return "error";
    case LogLevel::Warn: return "warn";
    case LogLevel::Info: return "info";
    case LogLevel::Debug: return "debug";
    case LogLevel::Trace: return "trace";
    }
    return "unknown";
}

/// The name of an event, as over HTTP.
inline std::string_view to_string(EventKind kind) noexcept {
    switch (kind) {
    case EventKind::PartitionChange: return "partition_change";
    case EventKind::NodeJoin: return "node_join";
    case EventKind::NodeRejoin: return "node_rejoin";
    case EventKind::NodeLeave: return "node_leave";
    case EventKind::RebalanceStart: return "rebalance_start";
    case EventKind::RebalanceComplete: return "rebalance_complete";
    case EventKind::ClusterHealthChange: return "cluster_health_change";
    case EventKind::BecomeLeader: return "become_leader";
    case EventKind::LoseLeadership: return "lose_leadership";
    case EventKind::LeaderChange: return "leader_change";
    }
    return "unknown";
}

/// A set of events.
class EventMask {
  public:
    /// One kind.
    constexpr EventMask(EventKind kind) noexcept : bits_(static_cast<std::uint32_t>(kind)) {}
    /// As the C interface has it: a sum of CK_EVENT_*, or CK_EVENT_ALL.
    constexpr explicit EventMask(std::uint32_t bits) noexcept : bits_(bits) {}
    /// Every event, kinds that later libraries add included.
    static constexpr EventMask all() noexcept { return EventMask(CK_EVENT_ALL); }

    /// As the C interface has it.
    constexpr std::uint32_t bits() const noexcept { return bits_; }
    /// True when the set has this kind.
    constexpr bool contains(EventKind kind) const noexcept { return (bits_ & static_cast<std::uint32_t>(kind)) != 0; }
    friend constexpr bool operator==(EventMask a, EventMask b) noexcept { return a.bits_ == b.bits_; }
    friend constexpr bool operator!=(EventMask a, EventMask b) noexcept { return a.bits_ != b.bits_; }

  private:
    std::uint32_t bits_;
};

/// Both sets.
constexpr EventMask operator|(EventMask a, EventMask b) noexcept {
    return EventMask(a.bits() | b.bits());
}
/// Both kinds.
constexpr EventMask operator|(EventKind a, EventKind b) noexcept {
    return EventMask(a) | EventMask(b);
}

/// Writes the name of a number that has one: an ErrorCode, a Role, ...
template <class Traits, class Named, class = std::enable_if_t<std::is_enum_v<Named>>,
          class = decltype(to_string(std::declval<Named>()))>
std::basic_ostream<char, Traits> &operator<<(std::basic_ostream<char, Traits> &out, Named value) {
    return out << to_string(value);
}

/// Writes code and message.
template <class Traits>
std::basic_ostream<char, Traits> &operator<<(std::basic_ostream<char, Traits> &out, const Error &error) {
    return out << to_string(error);
}

/// Writes the text.
template <class Traits>
std::basic_ostream<char, Traits> &operator<<(std::basic_ostream<char, Traits> &out, const Text &text) {
    return out << text.view();
}

} // namespace clusterkit

// Part of include/clusterkit.hpp: What a node knows of itself and others, as values.
#pragma once

#include "names.hpp"

namespace clusterkit {

// ---- What a node knows of itself and others, as values.
// -----------------------------------------------------------------

/// The leader.
struct LeaderInfo {
    /// The leader's node id.
    std::string leader_id;
    /// Its name for people.
    std::string leader_name;
    /// The "host:port" at which others reach it.
    std::string leader_ip;
    /// The leader epoch, a fencing token: it only grows.
    std::uint64_t epoch = 0;
    /// The Raft term that it was elected in; no fencing token.
    std::uint64_t term = 0;
    /// When it was elected.
    TimePoint elected_at;
};

/// One step of a partition's migration.
struct Migration {
    /// The partition's number.
    std::uint32_t partition = 0;
    /// The state of the step.
    MigrationState state = MigrationState::Unknown;
    /// The nodes that it can be copied from, or the node that gives up the role.
    std::vector<std::string> from;
    /// The node that gets the copy or the role.
    std::string to;
    /// What the step waits for, or why its hook failed last; empty when it makes progress.
    std::string reason;
    /// How often the hook of the node that copies has failed.
    std::uint32_t attempts = 0;
    /// When the step began, by the leader's clock. None when it has not begun, and when the answer is not the leader's.
    std::optional<TimePoint> since;
};

/// A member that is away and keeps its copies for now.
struct AwayNode {
    /// The member.
    std::string node_id;
    /// When its absence began.
    TimePoint since;
    /// When its copies are made elsewhere. None when the answer is not the leader's.
    std::optional<TimePoint> replaced_after;
};

/// An abandoned copy, which is not planned on that node for a while.
struct AvoidedCopy {
    /// The node that failed to copy it.
    std::string node_id;
    /// The partition's number.
    std::uint32_t partition = 0;
    /// How often the copy was abandoned; each time the node is avoided for twice as long.
    std::uint32_t times = 0;
    /// The time until which the node is avoided.
    TimePoint until;
};

/// How partitions move.
struct RebalanceStatus {
    /// The node that this information comes from.
    std::string answered_by;
    /// True when that is the leader. Other nodes know neither times nor attempts nor avoided copies.
    bool from_leader = false;
    /// The revision of this information.
    std::uint64_t revision = 0;
    /// True while partitions are moving.
    bool running = false;
    /// What caused the rebalance; Unknown when nothing moves.
    RebalanceTrigger trigger = RebalanceTrigger::Unknown;
    /// The node that caused it; empty for one that was asked for, and when nothing moves.
    std::string trigger_node_id;
    /// When the rebalance began. None when none runs.
    std::optional<TimePoint> started_at;
    /// The number of partitions that were to change a holder or their primary.
    std::size_t partitions_to_move = 0;
    /// The number of those that are where they should be, or were given up.
    std::size_t moved = 0;
    /// The steps in progress, then the waiting ones: at most a thousand.
    std::vector<Migration> migrations;
    /// The number of all steps.
    std::size_t migrations_total = 0;
    /// The members that are away.
    std::vector<AwayNode> away;
    /// The abandoned copies, which are not tried again for a while.
    std::vector<AvoidedCopy> avoided;
    /// The reason of the maintenance during which nothing is moved, while there is one.
    std::optional<std::string> maintenance;
};

/// Raft statistics of this node.
struct ConsensusStats {
    /// "Leader", "Follower", "Candidate", "Learner" or "Shutdown".
    std::string state;
    /// The leader's node id; empty when none is known.
    std::string leader;
    /// True when this node leads.
    bool is_leader = false;
    /// The Raft term.
    std::uint64_t term = 0;
    /// The index of the last entry in the log.
    std::uint64_t last_log_index = 0;
    /// The term of that entry.
    std::uint64_t last_log_term = 0;
    /// The last index known to be committed.
    std::uint64_t commit_index = 0;
    /// The last index applied here.
    std::uint64_t applied_index = 0;
    /// The number of other nodes that take part in Raft.
    std::size_t num_peers = 0;
};

/// Counters and gauges of this node.
struct Metrics {
    /// The number of members.
    std::size_t node_count = 0;
    /// The number of partitions.
    std::size_t partition_count = 0;
    /// The number of HTTP requests answered by this node.
    std::uint64_t request_count = 0;
    /// The number of those that were answered with a 4xx or 5xx status.
    std::uint64_t error_count = 0;
    /// When this node last heard from the leader, or led. None before it has.
    std::optional<TimePoint> last_sync;
    /// How long ago this node started.
    std::chrono::seconds uptime{0};
    /// As in ConsensusStats.
    std::string raft_state;
    /// True when this node leads.
    bool is_leader = false;
};

/// The health of this node.
struct HealthStatus {
    /// True when it is a member, knows a leader and applies the log.
    bool healthy = false;
    /// Why it is not; empty when it is.
    std::string message;
    /// This node's id.
    std::string node_id;
    /// Its name for people.
    std::string node_name;
    /// As in ConsensusStats.
    std::string raft_state;
    /// True when it leads.
    bool is_leader = false;
    /// How long it has been running, such as "1h2m3.5s".
    std::string uptime;
    /// The number of members.
    std::size_t node_count = 0;
    /// The number of partitions.
    std::size_t partition_count = 0;
    /// When this node last heard from the leader, or led. None before it has.
    std::optional<TimePoint> last_sync;
    /// How late this node's timers and messages from the leader were recently.
    std::chrono::milliseconds delay{0};
    /// The factor by which the cluster stretches election timeouts: 1 on quiet machines.
    std::uint32_t election_stretch = 0;
};

/// The health of a member, which the leader knows best.
struct NodeHealth {
    /// The member.
    std::string node_id;
    /// True when it is up and healthy.
    bool healthy = false;
    /// When it was last heard from.
    TimePoint last_seen;
    /// The number of heartbeats missed in a row.
    std::uint32_t failures = 0;
};

/// Names a hook to ClusterRef::remove_hook.
enum class HookId : std::uint64_t {};

/// Statistics of one hook since it was added.
struct HookStats {
    /// The hook.
    HookId hook{};
    /// The events that it is called for.
    EventMask events = EventMask::all();
    /// Calls that have ended, however.
    std::uint64_t calls = 0;
    /// Ended calls that were no success.
    std::uint64_t failures = 0;
    /// Failed calls of hooks of other languages that ended with a panic.
    std::uint64_t panics = 0;
    /// Calls that were made again for a partition that this node gains.
    std::uint64_t retries = 0;
    /// Events that were removed before they were told, because a later one made them pointless.
    std::uint64_t coalesced = 0;
    /// Events that wait to be told.
    std::size_t queued = 0;
    /// Calls that run.
    std::size_t running = 0;
};

/// What creating partitions, or planning a rebalance, came to.
struct PlanOutcome {
    /// The revision of it.
    std::uint64_t revision = 0;
    /// How many partitions there are, or move.
    std::size_t partitions = 0;
};

/// What deleting a value came to.
struct Deletion {
    /// The revision of the deletion.
    std::uint64_t revision = 0;
    /// Whether there was a value.
    bool existed = false;
};

/// What a write expects to find.
class Expect {
  public:
    /// Write whatever is there.
    static constexpr Expect any() noexcept { return Expect(CK_EXPECT_ANY); }
    /// Write only where there is no such key.
    static constexpr Expect absent() noexcept { return Expect(CK_EXPECT_ABSENT); }
    /// Write only where this revision wrote the present value: compare and set.
    static constexpr Expect revision(std::uint64_t revision) noexcept { return Expect(revision); }

    /// As the C interface takes it.
    constexpr std::uint64_t get() const noexcept { return revision_; }

  private:
    constexpr explicit Expect(std::uint64_t revision) noexcept : revision_(revision) {}

    std::uint64_t revision_;
};

/// Whether a call goes on where data is lost by it.
enum class Force : bool { No = false, Yes = true };

/// What is known of one address of a client.
struct ClientAddr {
    /// The address, "host:port".
    std::string addr;
    /// Why it failed last. None once it has answered since, and where it was never asked.
    std::optional<std::string> last_error;
    /// The code of that error; ErrorCode::Ok where there is none.
    ErrorCode last_error_code = ErrorCode::Ok;
    /// The number of failures since it last answered.
    std::uint32_t failures = 0;
    /// True where the options name it, false where the cluster does.
    bool is_given = false;
};

/// How a client is connected, and how old its view may be.
struct ClientStatus {
    /// The address of the member that is followed at present. None while none is.
    std::optional<std::string> connected;
    /// The id of the cluster that is followed; empty before its first answer.
    std::string cluster_id;
    /// Its name; empty before its first answer.
    std::string cluster_name;
    /// What failed last, with the address; it stays when all is well again. None where nothing has.
    std::optional<std::string> last_error;
    /// The code of that error: WrongCluster where another cluster answers; ErrorCode::Ok where there is none.
    ErrorCode last_error_code = ErrorCode::Ok;
    /// Every address that may be asked, the given ones first.
    std::vector<ClientAddr> addrs;
    /// The revision of the view; 0 before the first answer.
    std::uint64_t revision = 0;
    /// The time since the last answer of a member that knew a leader: it grows up to the option poll_timeout while the
    /// cluster is quiet. None before the first.
    std::optional<std::chrono::milliseconds> last_contact;
    /// True when the view may be older than the cluster by more than a moment: no member is followed, the one that is
    /// has lost contact with the leader, or nothing was heard for longer than a poll and its answer may take.
    bool is_stale = false;
    /// True from Client::close on.
    bool is_closed = false;
};

namespace detail {

// What C's records say, as values.

inline LeaderInfo value_of(const ck_leader_info_t &leader) {
    LeaderInfo value;
    value.leader_id = text(leader.leader_id);
    value.leader_name = text(leader.leader_name);
    value.leader_ip = text(leader.leader_ip);
    value.epoch = leader.epoch;
    value.term = leader.term;
    value.elected_at = time_point(leader.elected_at_ms);
    return value;
}

inline Migration value_of(const ck_migration_t &migration) {
    Migration value;
    value.partition = migration.partition;
    value.state = static_cast<MigrationState>(migration.state);
    for (std::size_t i = 0; i < migration.from_count; i++) {
        value.from.emplace_back(text(migration.from[i]));
    }
    value.to = text(migration.to);
    value.reason = text(migration.reason);
    value.attempts = migration.attempts;
    value.since = optional_time_point(migration.since_ms);
    return value;
}

inline AwayNode value_of(const ck_away_node_t &away) {
    AwayNode value;
    value.node_id = text(away.node_id);
    value.since = time_point(away.since_ms);
    value.replaced_after = optional_time_point(away.replaced_after_ms);
    return value;
}

inline AvoidedCopy value_of(const ck_avoided_copy_t &avoided) {
    AvoidedCopy value;
    value.node_id = text(avoided.node_id);
    value.partition = avoided.partition;
    value.times = avoided.times;
    value.until = time_point(avoided.until_ms);
    return value;
}

/// A text of C's that may be missing, as one of our own.
inline std::optional<std::string> optional_string(const char *text) {
    return text != nullptr ? std::optional<std::string>(text) : std::nullopt;
}

inline ClientAddr value_of(const ck_client_addr_t &addr) {
    ClientAddr value;
    value.addr = text(addr.addr);
    value.last_error = optional_string(addr.last_error);
    value.last_error_code = static_cast<ErrorCode>(addr.last_error_code);
    value.failures = addr.failures;
    value.is_given = addr.is_given;
    return value;
}

/// Every record of an array of C's, as a value.
template <class Record>
auto values_of(const Record *const *records, std::size_t count) {
    std::vector<decltype(value_of(**records))> values;
    values.reserve(count);
    for (std::size_t i = 0; i < count; i++) {
        values.push_back(value_of(*records[i]));
    }
    return values;
}

inline RebalanceStatus value_of(const ck_rebalance_status_t &status) {
    RebalanceStatus value;
    value.answered_by = text(status.answered_by);
    value.from_leader = status.from_leader;
    value.revision = status.revision;
    value.running = status.running;
    value.trigger = static_cast<RebalanceTrigger>(status.trigger);
    value.trigger_node_id = text(status.trigger_node_id);
    value.started_at = optional_time_point(status.started_at_ms);
    value.partitions_to_move = status.partitions_to_move;
    value.moved = status.moved;
    value.migrations = values_of(status.migrations, status.migration_count);
    value.migrations_total = status.migrations_total;
    value.away = values_of(status.away, status.away_count);
    value.avoided = values_of(status.avoided, status.avoided_count);
    if (status.maintenance != nullptr) {
        value.maintenance = status.maintenance;
    }
    return value;
}

inline ConsensusStats value_of(const ck_consensus_stats_t &stats) {
    ConsensusStats value;
    value.state = text(stats.state);
    value.leader = text(stats.leader);
    value.is_leader = stats.is_leader;
    value.term = stats.term;
    value.last_log_index = stats.last_log_index;
    value.last_log_term = stats.last_log_term;
    value.commit_index = stats.commit_index;
    value.applied_index = stats.applied_index;
    value.num_peers = stats.num_peers;
    return value;
}

inline Metrics value_of(const ck_metrics_t &metrics) {
    Metrics value;
    value.node_count = metrics.node_count;
    value.partition_count = metrics.partition_count;
    value.request_count = metrics.request_count;
    value.error_count = metrics.error_count;
    value.last_sync = optional_time_point(metrics.last_sync_ms);
    value.uptime = std::chrono::seconds(static_cast<std::chrono::seconds::rep>(metrics.uptime_seconds));
    value.raft_state = text(metrics.raft_state);
    value.is_leader = metrics.is_leader;
    return value;
}

inline HealthStatus value_of(const ck_health_status_t &health) {
    HealthStatus value;
    value.healthy = health.healthy;
    value.message = text(health.message);
    value.node_id = text(health.node_id);
    value.node_name = text(health.node_name);
    value.raft_state = text(health.raft_state);
    value.is_leader = health.is_leader;
    value.uptime = text(health.uptime);
    value.node_count = health.node_count;
    value.partition_count = health.partition_count;
    value.last_sync = optional_time_point(health.last_sync_ms);
    value.delay = milliseconds(health.delay_ms);
    value.election_stretch = health.election_stretch;
    return value;
}

inline NodeHealth value_of(const ck_node_health_t &health) {
    NodeHealth value;
    value.node_id = text(health.node_id);
    value.healthy = health.healthy;
    value.last_seen = time_point(health.last_seen_ms);
    value.failures = health.failures;
    return value;
}

inline ClientStatus value_of(const ck_client_status_t &status) {
    ClientStatus value;
    value.connected = optional_string(status.connected);
    value.cluster_id = text(status.cluster_id);
    value.cluster_name = text(status.cluster_name);
    value.last_error = optional_string(status.last_error);
    value.last_error_code = static_cast<ErrorCode>(status.last_error_code);
    value.addrs = values_of(status.addrs, status.addr_count);
    value.revision = status.revision;
    if (status.last_contact_ms != UINT64_MAX) {
        value.last_contact = milliseconds(status.last_contact_ms);
    }
    value.is_stale = status.is_stale;
    value.is_closed = status.is_closed;
    return value;
}

inline HookStats value_of(const ck_hook_stats_t &stats) {
    HookStats value;
    value.hook = HookId{stats.hook};
    value.events = EventMask(stats.events);
    value.calls = stats.calls;
    value.failures = stats.failures;
    value.panics = stats.panics;
    value.retries = stats.retries;
    value.coalesced = stats.coalesced;
    value.queued = stats.queued;
    value.running = stats.running;
    return value;
}

/// Asks C for a record, and makes it a value: ask(&record) is a call of C's.
template <class Record, auto Free, class Ask>
auto fetch(Ask ask) -> Result<decltype(value_of(std::declval<const Record &>()))> {
    Record *raw = nullptr;
    if (ck_error_t *error = ask(&raw)) {
        return Error::take(error);
    }
    const Owned<Record, Free> record(raw);
    return value_of(*record);
}

} // namespace detail

} // namespace clusterkit

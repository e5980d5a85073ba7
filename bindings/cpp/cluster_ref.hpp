// Part of include/clusterkit.hpp: A node: every call that there is.
#pragma once

#include "async.hpp"
#include "hooks.hpp"
#include "options.hpp"
#include "view.hpp"

namespace clusterkit {

// ---- A node.
// ------------------------------------------------------------------------------------------------------------

class Cluster;

/// A node of a cluster, embedded in this process, borrowed from the Cluster that owns it: every call that there is. A
/// pointer in size, to be copied freely, into hooks above all, which must not keep their own node alive; valid as long
/// as its Cluster, also where that is moved.
class ClusterRef : public HookCalls {
  public:
    /// No node; calls fail with InvalidArgument.
    ClusterRef() noexcept = default;
    /// A node of the C interface, borrowed.
    explicit ClusterRef(ck_cluster_t *cluster) noexcept : HookCalls(cluster) {}

    /// True when there is a node.
    explicit operator bool() const noexcept { return cluster_ != nullptr; }
    /// Another share of the node, for another owner: the last of them ends it.
    Cluster share() const noexcept;
    /// The calls that do not wait.
    AsyncRef async() const noexcept { return AsyncRef(cluster_); }
    /// The node for the C interface, borrowed.
    ck_cluster_t *get() const noexcept { return cluster_; }

    // -- Its life.

    /// Starts the node: it bootstraps a cluster, joins one, or rejoins its own, as its options and its data_dir say.
    /// Returns when it is a member. A node starts once; after a failure end it. Blocks for at most the option
    /// join_timeout and a little; a node that was a member before then returns success and goes on trying. A hook may
    /// not call it.
    ///
    /// Errors: AlreadyStarted, Stopped, JoinFailed with what every address answered, JoinRefused, AddressInUse,
    /// DataDirInUse, WrongCluster, ClusterMismatch, DuplicateNode, Removed, Corrupt, Io, InHook.
    Result<void> start() const { return detail::outcome(ck_cluster_start(cluster_)); }

    /// Stops the node in an orderly way: the other nodes take over what it has, then everything is closed. After
    /// success no hook of this node runs or will, and all of them are destroyed; the log callback stays until the node
    /// ends. Stopping again is legal and waits for the first. Blocks for at most timeout. A hook may not call it; it
    /// may end the node.
    ///
    /// Errors: InHook; Timeout when time is up (stopping goes on and can be waited for by another call), or when a hook
    /// has not returned after 5 s, everything else being closed: the message names the hook and its event; Io.
    Result<void> stop(Duration timeout) const { return detail::outcome(ck_cluster_stop(cluster_, timeout.count())); }

    /// Leaves the cluster for ever: leadership and all copies of this node move to other nodes, then it is removed and
    /// stops. Blocks for at most timeout. A hook may not call it.
    ///
    /// Errors: NotStarted; InHook; Refused when no node could take over; Timeout with what is left to move: the node
    /// goes on leaving, and the call may be made again; Stopped.
    Result<void> leave(Duration timeout) const { return detail::outcome(ck_cluster_leave(cluster_, timeout.count())); }

    /// The address at which others reach this node, "host:port": what another node is given as join_addrs.
    ///
    /// Errors: NotStarted.
    Result<std::string> http_addr() const {
        std::array<char, CK_ADDRESS_SIZE> buffer;
        if (ck_error_t *error = ck_cluster_http_addr(cluster_, buffer.data(), buffer.size())) {
            return Error::take(error);
        }
        return std::string(buffer.data());
    }

    /// This node's id; valid as long as the node. Empty where there is no node.
    std::string_view my_node_id() const noexcept { return detail::text(ck_my_node_id(cluster_)); }

    /// What this node waits for before it is ready, in words for people: none when it is ready, a member that knows a
    /// leader and holds a lease. A node that was a member before returns from start() when join_timeout has passed,
    /// ready or not.
    ///
    /// Errors: why it will never be ready and has to be started anew or given up: Removed, DuplicateNode and the like,
    /// Io, Stopped.
    Result<std::optional<Text>> waiting_for() const {
        ck_text_t *text = nullptr;
        if (ck_error_t *error = ck_waiting_for(cluster_, &text)) {
            return Error::take(error);
        }
        return text != nullptr ? std::optional<Text>(text) : std::optional<Text>();
    }

    // -- The hot calls: what this node is to a key at this moment, its lease included.
    //
    // They never block, take no lock, and allocate nothing where they succeed.

    /// Where a key belongs: its partition, and what this node is to it. The route names its primary by number only.
    ///
    /// Errors: InvalidArgument; NotStarted; NotFound before there are partitions.
    Result<KeyRoute> lookup(std::string_view key) const { return lookup(key, nullptr); }
    /// The same, with the view that the answer was taken from: view is refreshed (see refresh), and the route's primary
    /// is a node of it. view: of this cluster, or none; no other thread uses it meanwhile.
    ///
    /// Errors: InvalidArgument; NotStarted; NotFound before there are partitions.
    Result<KeyRoute> lookup(std::string_view key, View &view) const { return lookup(key, &view.view_); }
    /// The partition that a key belongs to; none before partitions exist.
    std::optional<std::uint32_t> partition_for_key(std::string_view key) const noexcept {
        return detail::optional_partition(ck_partition_for_key(cluster_, key.data(), key.size()));
    }
    /// True when this node takes the writes of a partition: it is the primary, and its lease runs.
    bool is_primary(std::uint32_t partition) const noexcept { return ck_is_primary(cluster_, partition); }
    /// True when this node takes the writes of a key.
    bool is_primary_for_key(std::string_view key) const noexcept {
        return ck_is_primary_for_key(cluster_, key.data(), key.size());
    }
    /// What this node is to a partition.
    Role role(std::uint32_t partition) const noexcept { return static_cast<Role>(ck_role(cluster_, partition)); }
    /// What this node is to a key.
    Role role_for_key(std::string_view key) const noexcept {
        return static_cast<Role>(ck_role_for_key(cluster_, key.data(), key.size()));
    }
    /// The epoch of a partition that this node takes the writes of: the fencing token with which the application's
    /// storage refuses an earlier primary. Ask right before the write, and hand the number to the storage with it.
    ///
    /// Errors: NotStarted; LeaseExpired when this node would be primary but holds no lease; Conflict when another node
    /// is primary, or none; NotFound when there is no such partition.
    Result<std::uint64_t> primary_epoch(std::uint32_t partition) const {
        std::uint64_t epoch = 0;
        if (ck_error_t *error = ck_primary_epoch(cluster_, partition, &epoch)) {
            return Error::take(error);
        }
        return epoch;
    }
    /// True while this node holds a lease, without which it is primary of nothing.
    bool is_leased() const noexcept { return ck_is_leased(cluster_); }

    // -- Views.

    /// The present view of the cluster.
    ///
    /// Errors: InvalidArgument.
    Result<View> view() const {
        ck_view_t *view = nullptr;
        if (ck_error_t *error = ck_view_acquire(cluster_, &view)) {
            return Error::take(error);
        }
        return View(view);
    }
    /// Sees to it that view is the present view of the cluster. Where it is already, this costs a few nanoseconds and
    /// changes nothing; otherwise it is replaced, and what was borrowed from it ends, unless there is another share.
    /// For loops that ask again and again. view: of this cluster, or none; no other thread uses it meanwhile. On
    /// failure it stays as it is.
    ///
    /// Errors: InvalidArgument.
    Result<void> refresh(View &view) const { return detail::outcome(ck_view_refresh(cluster_, &view.view_)); }
    /// The whole cluster as a JSON object, custom data included: as GET /cluster?include=custom_data has it. Its leader
    /// is empty when this node has had no contact with one for the duration of a lease. Takes time in proportion to all
    /// of it.
    ///
    /// Errors: InvalidArgument.
    Result<Text> json() const {
        ck_text_t *text = nullptr;
        if (ck_error_t *error = ck_cluster_json(cluster_, &text)) {
            return Error::take(error);
        }
        return Text(text);
    }

    // -- Leadership.

    /// True when this node leads the cluster at this moment: its leader lease runs, so nobody else can lead.
    bool is_leader() const noexcept { return ck_is_leader(cluster_); }
    /// The leader epoch with which this node leads: a fencing token.
    ///
    /// Errors: NotStarted, Stopped, LeaseExpired when it does not lead.
    Result<std::uint64_t> leader_epoch() const {
        std::uint64_t epoch = 0;
        if (ck_error_t *error = ck_leader_epoch(cluster_, &epoch)) {
            return Error::take(error);
        }
        return epoch;
    }
    /// The leader, as this node knows it: none when it has had no contact with one for the duration of a lease.
    ///
    /// Errors: InvalidArgument.
    Result<std::optional<LeaderInfo>> leader() const {
        ck_leader_info_t *raw = nullptr;
        if (ck_error_t *error = ck_leader(cluster_, &raw)) {
            return Error::take(error);
        }
        const detail::Owned<ck_leader_info_t, ck_leader_info_free> leader(raw);
        return leader != nullptr ? std::optional<LeaderInfo>(detail::value_of(*leader)) : std::nullopt;
    }
    /// Waits until a leader is known. Blocks for at most timeout.
    ///
    /// Errors: NotStarted, NoLeader when there is none in time, Stopped.
    Result<LeaderInfo> wait_for_leader(Duration timeout) const {
        return detail::fetch<ck_leader_info_t, ck_leader_info_free>(
            [&](ck_leader_info_t **leader) { return ck_wait_for_leader(cluster_, timeout.count(), leader); });
    }
    /// Asks the leader to hand leadership to another voter; the id of the leader afterwards. Blocks for a few seconds
    /// at most.
    ///
    /// Errors: NotStarted; Refused with the reason when no voter could take over; NoLeader; Timeout.
    Result<std::string> step_down() const {
        return node_id([&](char *buffer, std::size_t size) { return ck_step_down(cluster_, buffer, size); });
    }
    /// Asks the leader to hand leadership to a certain voter; the id of the leader afterwards. Blocks for a few seconds
    /// at most.
    ///
    /// Errors: as step_down(); NotFound when there is no such member.
    Result<std::string> promote(std::string_view id) const {
        return node_id(
            [&](char *buffer, std::size_t size) { return ck_promote(cluster_, id.data(), id.size(), buffer, size); });
    }
    /// step_down(), after which the former leader does not stand for election by itself for the cooldown, an hour at
    /// most. Blocks for a few seconds at most.
    ///
    /// Errors: as step_down().
    Result<std::string> demote(Duration cooldown) const {
        return node_id(
            [&](char *buffer, std::size_t size) { return ck_demote(cluster_, cooldown.count(), buffer, size); });
    }

    // -- How it is.

    /// Raft statistics of this node.
    ///
    /// Errors: InvalidArgument.
    Result<ConsensusStats> consensus_stats() const {
        return detail::fetch<ck_consensus_stats_t, ck_consensus_stats_free>(
            [&](ck_consensus_stats_t **stats) { return ck_consensus_stats(cluster_, stats); });
    }
    /// Counters and gauges of this node.
    ///
    /// Errors: InvalidArgument.
    Result<Metrics> metrics() const {
        return detail::fetch<ck_metrics_t, ck_metrics_free>(
            [&](ck_metrics_t **metrics) { return ck_metrics(cluster_, metrics); });
    }
    /// The health of this node.
    ///
    /// Errors: InvalidArgument.
    Result<HealthStatus> health_check() const {
        return detail::fetch<ck_health_status_t, ck_health_status_free>(
            [&](ck_health_status_t **health) { return ck_health_check(cluster_, health); });
    }
    /// The health of a member, which the leader knows best.
    ///
    /// Errors: NotStarted; NotFound when there is no such member.
    Result<NodeHealth> node_health(std::string_view id) const {
        return detail::fetch<ck_node_health_t, ck_node_health_free>(
            [&](ck_node_health_t **health) { return ck_node_health(cluster_, id.data(), id.size(), health); });
    }
    /// Tells every node how this node's application is: the next heartbeat carries it. It counts for the health of the
    /// cluster, not for the placement of partitions. reason: for people, cut after 256 characters.
    ///
    /// Errors: InvalidArgument.
    Result<void> report_health(Health health, std::string_view reason = {}) const {
        return detail::outcome(
            ck_report_health(cluster_, static_cast<std::int32_t>(health), reason.data(), reason.size()));
    }
    /// Statistics of every hook of this node, in the order in which they were added.
    ///
    /// Errors: InvalidArgument.
    Result<std::vector<HookStats>> hook_stats() const {
        ck_hook_stats_list_t *raw = nullptr;
        if (ck_error_t *error = ck_hook_stats(cluster_, &raw)) {
            return Error::take(error);
        }
        const detail::Owned<ck_hook_stats_list_t, ck_hook_stats_free> list(raw);
        std::vector<HookStats> stats;
        for (std::size_t i = 0; i < ck_hook_stats_count(raw); i++) {
            stats.push_back(detail::value_of(*ck_hook_stats_get(raw, i)));
        }
        return stats;
    }

    // -- Managing the cluster.

    /// Begins maintenance, in which no partitions are moved and primaries still fail over; the revision. reason: for
    /// people. The cluster begins it by itself when more than half of its members have failed. Blocks for at most
    /// timeout.
    ///
    /// Errors: InvalidArgument, NotStarted, NoLeader, Timeout, Stopped.
    Result<std::uint64_t> begin_maintenance(std::string_view reason, Duration timeout) const {
        return detail::revision([&](std::uint64_t *out) {
            const char *words = reason.data() != nullptr ? reason.data() : "";
            return ck_maintenance(cluster_, words, reason.size(), timeout.count(), out);
        });
    }
    /// Ends maintenance; the revision. Blocks for at most timeout.
    ///
    /// Errors: NotStarted, NoLeader, Timeout, Stopped.
    Result<std::uint64_t> end_maintenance(Duration timeout) const {
        return detail::revision(
            [&](std::uint64_t *out) { return ck_maintenance(cluster_, nullptr, 0, timeout.count(), out); });
    }
    /// Removes a member for ever; the revision. force: also where partitions lose their data by it. Blocks for at most
    /// timeout.
    ///
    /// Errors: InvalidArgument, NotStarted; NotFound; Refused for the leader, for the last member, and without force
    /// for the last one that counts as holding a partition's data; NoLeader, Timeout, Stopped.
    Result<std::uint64_t> remove_node(std::string_view id, Duration timeout, Force force = Force::No) const {
        return detail::revision([&](std::uint64_t *out) {
            return ck_remove_node(cluster_, id.data(), id.size(), force == Force::Yes, timeout.count(), out);
        });
    }
    /// Makes the copy on a member the data of a partition that is lost: docs/operations.md, "A partition is lost"; the
    /// revision. force: also where a node that is up holds the data, or where that member holds no copy. Blocks for at
    /// most timeout.
    ///
    /// Errors: InvalidArgument, NotStarted; NotFound; Refused where that member is not up, and without force where a
    /// node that is up holds the data or that member holds no copy; NoLeader, Timeout, Stopped.
    Result<std::uint64_t> recover_partition(std::uint32_t partition, std::string_view from, Duration timeout,
                                            Force force = Force::No) const {
        return detail::revision([&](std::uint64_t *out) {
            return ck_recover_partition(cluster_, partition, from.data(), from.size(), force == Force::Yes,
                                        timeout.count(), out);
        });
    }
    /// Creates the partitions where there are none, which a leader also does by itself. Blocks for at most timeout.
    ///
    /// Errors: NotStarted, NoLeader, Timeout, Stopped.
    Result<PlanOutcome> create_partitions(Duration timeout) const {
        PlanOutcome made;
        if (ck_error_t *error = ck_create_partitions(cluster_, timeout.count(), &made.revision, &made.partitions)) {
            return Error::take(error);
        }
        return made;
    }
    /// Plans a rebalance and begins it, which a leader also does by itself. The partitions move afterwards. Blocks for
    /// at most timeout.
    ///
    /// Errors: NotStarted, NoLeader, Timeout, Stopped.
    Result<PlanOutcome> rebalance(Duration timeout) const {
        PlanOutcome made;
        if (ck_error_t *error = ck_rebalance(cluster_, timeout.count(), &made.revision, &made.partitions)) {
            return Error::take(error);
        }
        return made;
    }
    /// How partitions move: as the leader knows it, or, when it does not answer in time, as this node does. The answer
    /// says which. Blocks for at most timeout.
    ///
    /// Errors: NotStarted, Stopped.
    Result<RebalanceStatus> rebalance_status(Duration timeout) const {
        return detail::fetch<ck_rebalance_status_t, ck_rebalance_status_free>(
            [&](ck_rebalance_status_t **status) { return ck_rebalance_status(cluster_, timeout.count(), status); });
    }

    // -- The replicated store.

    /// Writes a value that every node has; the revision of the write. When it returns success, the write is on the
    /// disks of a majority. key: 1 to 1024 bytes. value: any bytes, at most 1 MiB. Blocks for at most timeout.
    ///
    /// Errors: InvalidArgument, TooLarge; Conflict when what is there is not as expected; NotStarted, Stopped,
    /// NoLeader, Io: it has not happened; Timeout: it may or may not have happened (Error::is_ambiguous).
    Result<std::uint64_t> set_custom_data(std::string_view key, std::string_view value, Duration timeout,
                                          Expect expect = Expect::any()) const {
        return detail::revision([&](std::uint64_t *out) {
            return ck_custom_data_set(cluster_, key.data(), key.size(), value.data(), value.size(), expect.get(),
                                      timeout.count(), out);
        });
    }
    /// A value as this node has applied it; another node may be ahead (see wait_for_revision and read_barrier).
    ///
    /// Errors: InvalidArgument; NotStarted; NotFound when there is no such key.
    Result<Data> custom_data(std::string_view key) const {
        ck_data_t *data = nullptr;
        if (ck_error_t *error = ck_custom_data_get(cluster_, key.data(), key.size(), &data)) {
            return Error::take(error);
        }
        return Data(data);
    }
    /// Deletes a value. Deleting what is not there is no error unless a revision was expected. Blocks for at most
    /// timeout.
    ///
    /// Errors: as set_custom_data.
    Result<Deletion> delete_custom_data(std::string_view key, Duration timeout, Expect expect = Expect::any()) const {
        Deletion made;
        if (ck_error_t *error = ck_custom_data_delete(cluster_, key.data(), key.size(), expect.get(), timeout.count(),
                                                      &made.existed, &made.revision)) {
            return Error::take(error);
        }
        return made;
    }
    /// The keys that begin with a prefix and come after another key, in order, as this node has applied them: limit of
    /// them at most.
    ///
    /// Errors: InvalidArgument; NotStarted.
    Result<Strings> custom_data_keys(std::string_view prefix, std::string_view after, std::size_t limit) const {
        ck_strings_t *keys = nullptr;
        if (ck_error_t *error =
                ck_custom_data_keys(cluster_, prefix.data(), prefix.size(), after.data(), after.size(), limit, &keys)) {
            return Error::take(error);
        }
        return Strings(keys);
    }
    /// Waits until this node has applied a revision: read your writes, also those made through another node. Blocks for
    /// at most timeout.
    ///
    /// Errors: NotStarted, Stopped, Timeout.
    Result<void> wait_for_revision(std::uint64_t revision, Duration timeout) const {
        return detail::outcome(ck_wait_for_revision(cluster_, revision, timeout.count()));
    }
    /// Waits until this node has applied everything that any node acknowledged before this call: a read that follows is
    /// linearizable. The revision that is applied. Blocks for at most timeout.
    ///
    /// Errors: NotStarted, NoLeader, Timeout, Stopped.
    Result<std::uint64_t> read_barrier(Duration timeout) const {
        return detail::revision([&](std::uint64_t *out) { return ck_read_barrier(cluster_, timeout.count(), out); });
    }

  private:
    Result<KeyRoute> lookup(std::string_view key, ck_view_t **view) const {
        KeyRoute route;
        if (ck_error_t *error =
                ck_lookup_key(cluster_, key.data(), key.size(), view, &route.route_, sizeof route.route_)) {
            return Error::take(error);
        }
        return route;
    }

    /// A call of C's that fills a buffer with a node's id.
    template <class Call>
    static Result<std::string> node_id(Call call) {
        std::array<char, CK_NODE_ID_SIZE> buffer;
        if (ck_error_t *error = call(buffer.data(), buffer.size())) {
            return Error::take(error);
        }
        return std::string(buffer.data());
    }
};

} // namespace clusterkit

// Part of include/clusterkit.hpp: Events, what each kind tells, and how calls of hooks end.
#pragma once

#include "node.hpp"

namespace clusterkit {

// ---- Events.
// ----------------------------------------------------------------------------------------------------------

/// A node gained or lost a partition, or a role in it: EventKind::PartitionChange. Borrowed from its event.
class PartitionChange {
  public:
    /// A change of the C interface, not NULL: borrowed.
    explicit PartitionChange(const ck_partition_change_t *told) noexcept : told_(told) {}
    /// What an event tells, where it tells of this.
    static std::optional<PartitionChange> of(const ck_event_t *event) noexcept {
        const ck_partition_change_t *told = ck_event_partition_change(event);
        return told != nullptr ? std::optional<PartitionChange>(told) : std::nullopt;
    }

    /// The partition's name, such as "partition-5".
    std::string_view partition_id() const noexcept { return detail::text(told_->partition_id); }
    /// The partition's number.
    std::uint32_t partition() const noexcept { return told_->partition; }
    /// The node that gains or loses: every node is told of everything, so compare it with your own id.
    std::string_view node_id() const noexcept { return detail::text(told_->node_id); }
    /// That node as a member, whether it gains or loses; none when it is none any more.
    std::optional<Node> node() const noexcept { return detail::optional_node(told_->node); }
    /// What it gains or loses.
    RoleChange change() const noexcept { return static_cast<RoleChange>(told_->change); }
    /// Why.
    ChangeReason reason() const noexcept { return static_cast<ChangeReason>(told_->reason); }
    /// Live nodes that hold the data, where the node has to copy it; none where it has nothing to copy.
    Range<detail::Pointers<ck_node_t, Node>> copy_from() const noexcept {
        return {{told_->copy_from}, told_->copy_from_count};
    }
    /// The primary before; empty when there was none.
    std::string_view old_primary() const noexcept { return detail::text(told_->old_primary); }
    /// The primary after; empty when there is none.
    std::string_view new_primary() const noexcept { return detail::text(told_->new_primary); }
    /// The partition's epoch after the change.
    std::uint64_t epoch() const noexcept { return told_->epoch; }

  private:
    const ck_partition_change_t *told_;
};

/// A node that was never a member has joined: EventKind::NodeJoin. Borrowed from its event.
class NodeJoin {
  public:
    /// A join of the C interface, not NULL: borrowed.
    explicit NodeJoin(const ck_node_join_t *told) noexcept : told_(told) {}
    /// What an event tells, where it tells of this.
    static std::optional<NodeJoin> of(const ck_event_t *event) noexcept {
        const ck_node_join_t *told = ck_event_node_join(event);
        return told != nullptr ? std::optional<NodeJoin>(told) : std::nullopt;
    }

    /// The new member.
    Node node() const noexcept { return Node(told_->node); }
    /// The number of members, this one included.
    std::size_t cluster_size() const noexcept { return told_->cluster_size; }
    /// True for the first node of a new cluster.
    bool is_bootstrap() const noexcept { return told_->is_bootstrap; }

  private:
    const ck_node_join_t *told_;
};

/// A member is back, after an absence or a restart: EventKind::NodeRejoin. Borrowed from its event.
class NodeRejoin {
  public:
    /// A return of the C interface, not NULL: borrowed.
    explicit NodeRejoin(const ck_node_rejoin_t *told) noexcept : told_(told) {}
    /// What an event tells, where it tells of this.
    static std::optional<NodeRejoin> of(const ck_event_t *event) noexcept {
        const ck_node_rejoin_t *told = ck_event_node_rejoin(event);
        return told != nullptr ? std::optional<NodeRejoin>(told) : std::nullopt;
    }

    /// The member, with its new address and incarnation.
    Node node() const noexcept { return Node(told_->node); }
    /// How long it was away.
    std::chrono::milliseconds offline() const noexcept { return detail::milliseconds(told_->offline_ms); }
    /// When it stopped or was last heard from.
    TimePoint last_seen_at() const noexcept { return detail::time_point(told_->last_seen_at_ms); }
    /// The numbers of the partitions that it held when it left.
    Span<const std::uint32_t> partitions() const noexcept { return {told_->partitions, told_->partition_count}; }

  private:
    const ck_node_rejoin_t *told_;
};

/// A member stopped, failed, or was removed: EventKind::NodeLeave. Borrowed from its event.
class NodeLeave {
  public:
    /// A leave of the C interface, not NULL: borrowed.
    explicit NodeLeave(const ck_node_leave_t *told) noexcept : told_(told) {}
    /// What an event tells, where it tells of this.
    static std::optional<NodeLeave> of(const ck_event_t *event) noexcept {
        const ck_node_leave_t *told = ck_event_node_leave(event);
        return told != nullptr ? std::optional<NodeLeave>(told) : std::nullopt;
    }

    /// The member as it was.
    Node node() const noexcept { return Node(told_->node); }
    /// Why.
    LeaveReason reason() const noexcept { return static_cast<LeaveReason>(told_->reason); }
    /// The numbers of the partitions that it took the writes of.
    Span<const std::uint32_t> primaries() const noexcept { return {told_->primaries, told_->primary_count}; }
    /// The numbers of the partitions that it held another copy of.
    Span<const std::uint32_t> replicas() const noexcept { return {told_->replicas, told_->replica_count}; }

  private:
    const ck_node_leave_t *told_;
};

/// Partitions begin to move, or have moved: EventKind::RebalanceStart, EventKind::RebalanceComplete. Borrowed from its
/// event.
class Rebalance {
  public:
    /// A rebalance of the C interface, not NULL: borrowed.
    explicit Rebalance(const ck_rebalance_t *told) noexcept : told_(told) {}
    /// What an event tells, where it tells of this.
    static std::optional<Rebalance> of(const ck_event_t *event) noexcept {
        const ck_rebalance_t *told = ck_event_rebalance(event);
        return told != nullptr ? std::optional<Rebalance>(told) : std::nullopt;
    }

    /// What caused it.
    RebalanceTrigger trigger() const noexcept { return static_cast<RebalanceTrigger>(told_->trigger); }
    /// The node that caused it; empty for one that was asked for.
    std::string_view trigger_node_id() const noexcept { return detail::text(told_->trigger_node_id); }
    /// The number of partitions that change a holder or their primary.
    std::size_t partitions_to_move() const noexcept { return told_->partitions_to_move; }
    /// The ids of the nodes that gain or lose something, sorted.
    Range<detail::Texts> nodes_affected() const noexcept {
        return {{told_->nodes_affected}, told_->nodes_affected_count};
    }
    /// How long it took; 0 at the start.
    std::chrono::milliseconds duration() const noexcept { return detail::milliseconds(told_->duration_ms); }

  private:
    const ck_rebalance_t *told_;
};

/// The health of the cluster: EventKind::ClusterHealthChange. Borrowed from its event.
class ClusterHealth {
  public:
    /// A state of health of the C interface, not NULL: borrowed.
    explicit ClusterHealth(const ck_cluster_health_t *told) noexcept : told_(told) {}
    /// What an event tells, where it tells of this.
    static std::optional<ClusterHealth> of(const ck_event_t *event) noexcept {
        const ck_cluster_health_t *told = ck_event_cluster_health(event);
        return told != nullptr ? std::optional<ClusterHealth>(told) : std::nullopt;
    }

    /// "healthy", "degraded" (some members are not) or "critical" (more than half are not, or partitions are lost).
    std::string_view status() const noexcept { return detail::text(told_->status); }
    /// The number of members that are up and say that they are healthy.
    std::size_t healthy_nodes() const noexcept { return told_->healthy_nodes; }
    /// The number of the other members.
    std::size_t unhealthy_nodes() const noexcept { return told_->unhealthy_nodes; }
    /// The number of all members.
    std::size_t total_nodes() const noexcept { return told_->total_nodes; }
    /// The ids of the unhealthy members, sorted.
    Range<detail::Texts> unhealthy_node_ids() const noexcept {
        return {{told_->unhealthy_node_ids}, told_->unhealthy_nodes};
    }
    /// The numbers of the partitions of which no node that is up holds the data.
    Span<const std::uint32_t> lost_partitions() const noexcept {
        return {told_->lost_partitions, told_->lost_partition_count};
    }

  private:
    const ck_cluster_health_t *told_;
};

/// Leadership began, ended, or moved to another node: EventKind::BecomeLeader, LoseLeadership, LeaderChange. Borrowed
/// from its event.
class Leadership {
  public:
    /// A leadership of the C interface, not NULL: borrowed.
    explicit Leadership(const ck_leadership_t *told) noexcept : told_(told) {}
    /// What an event tells, where it tells of this.
    static std::optional<Leadership> of(const ck_event_t *event) noexcept {
        const ck_leadership_t *told = ck_event_leadership(event);
        return told != nullptr ? std::optional<Leadership>(told) : std::nullopt;
    }

    /// A leader change: the new leader's node id. Else none: it is about this node.
    std::optional<std::string_view> node_id() const noexcept { return detail::optional_text(told_->node_id); }
    /// The leader epoch, a fencing token: it only grows.
    std::uint64_t epoch() const noexcept { return told_->epoch; }

  private:
    const ck_leadership_t *told_;
};

/// How a call of a hook ended: well, or not and why. A failed call is logged, and where this node gains a copy of a
/// partition it is made again later.
class [[nodiscard]] HookResult {
  public:
    /// It ended well.
    HookResult() noexcept = default;
    /// It failed with this error.
    HookResult(const Error &error) : words_(to_string(error)), is_ok_(false) {}
    /// It ended as this call did.
    template <class T>
    HookResult(const Result<T> &result) {
        if (!result) {
            *this = HookResult(result.error());
        }
    }
    /// It ended well.
    static HookResult ok() noexcept { return HookResult(); }
    /// It failed. words: why, for people.
    static HookResult failure(std::string words) noexcept {
        HookResult result;
        result.is_ok_ = false;
        result.words_ = std::move(words);
        return result;
    }

    /// True where it ended well.
    bool is_ok() const noexcept { return is_ok_; }
    /// Why it failed.
    const std::string &words() const noexcept { return words_; }

  private:
    std::string words_;
    bool is_ok_ = true;
};

/// Ends a call of a hook that has returned before its work was done: Event::defer. It may be moved to any thread and be
/// ended there. One that is destroyed without that ends the call as failed, so that nothing waits for ever.
class [[nodiscard]] Completion {
  public:
    /// Of no call.
    Completion() noexcept = default;
    /// Owns a completion of the C interface. completion: consumed.
    explicit Completion(ck_completion_t *completion) noexcept : completion_(completion) {}
    Completion(Completion &&other) noexcept : completion_(std::exchange(other.completion_, nullptr)) {}
    Completion &operator=(Completion other) noexcept {
        std::swap(completion_, other.completion_);
        return *this;
    }
    ~Completion() { fail("its completion was dropped"); }

    /// True while the call has not been ended by this.
    explicit operator bool() const noexcept { return completion_ != nullptr; }
    /// Ends the call. Does nothing where it has been ended, or where the node has stopped meanwhile. Never blocks.
    void end(const HookResult &result) noexcept {
        if (result.is_ok()) {
            succeed();
        } else {
            fail(result.words());
        }
    }
    /// Ends the call well: where this node gains a copy, the data is here.
    void succeed() noexcept { ck_completion_end(std::exchange(completion_, nullptr), 0, nullptr, 0); }
    /// Ends the call as failed. words: why.
    void fail(std::string_view words) noexcept {
        ck_completion_end(std::exchange(completion_, nullptr), 1, words.data(), words.size());
    }

    /// Gives it away: end it with ck_completion_end.
    [[nodiscard]] ck_completion_t *release() noexcept { return std::exchange(completion_, nullptr); }

  private:
    ck_completion_t *completion_ = nullptr;
};

/// One event. It is valid until the callback returns, or, of an event from a queue, until it is acknowledged; so is all
/// that is borrowed from it. It cannot be copied: copy what you keep. One from a queue that was acknowledged or moved
/// from tells nothing: it is of no kind, and of revision 0.
class Event {
  public:
    /// An event of the C interface, borrowed; NULL for none.
    explicit Event(const ck_event_t *event) noexcept : event_(event) {}
    Event &operator=(const Event &) = delete;

    /// The revision that brought it about.
    std::uint64_t revision() const noexcept { return event_ != nullptr ? event_->revision : 0; }
    /// When, by the wall clock of the node that proposed it.
    TimePoint timestamp() const noexcept { return detail::time_point(event_ != nullptr ? event_->timestamp_ms : 0); }
    /// What happened. A later library may have kinds that are none of EventKind.
    EventKind kind() const noexcept { return static_cast<EventKind>(event_ != nullptr ? event_->kind : 0); }
    /// Number of the call for this event, from 1: a failed copy is tried again.
    std::uint32_t attempt() const noexcept { return event_ != nullptr ? event_->attempt : 0; }

    /// What an EventKind::PartitionChange tells.
    std::optional<PartitionChange> partition_change() const noexcept { return PartitionChange::of(event_); }
    /// What an EventKind::NodeJoin tells.
    std::optional<NodeJoin> node_join() const noexcept { return NodeJoin::of(event_); }
    /// What an EventKind::NodeRejoin tells.
    std::optional<NodeRejoin> node_rejoin() const noexcept { return NodeRejoin::of(event_); }
    /// What an EventKind::NodeLeave tells.
    std::optional<NodeLeave> node_leave() const noexcept { return NodeLeave::of(event_); }
    /// What an EventKind::RebalanceStart or RebalanceComplete tells.
    std::optional<Rebalance> rebalance() const noexcept { return Rebalance::of(event_); }
    /// What an EventKind::ClusterHealthChange tells.
    std::optional<ClusterHealth> cluster_health() const noexcept { return ClusterHealth::of(event_); }
    /// What an EventKind::BecomeLeader, LoseLeadership or LeaderChange tells.
    std::optional<Leadership> leadership() const noexcept { return Leadership::of(event_); }
    /// The whole event as a JSON object, the same as over HTTP. Borrowed.
    std::string_view json() const noexcept {
        std::size_t size = 0;
        const char *json = ck_event_json(event_, &size);
        return json != nullptr ? std::string_view(json, size) : std::string_view();
    }

    /// Lets a hook return before its work is done: the call ends when the completion is, on any thread, and what the
    /// hook returns counts no more. Until then what must wait for the call waits, but no thread of the library does.
    /// When the node stops, the call ends without a result.
    ///
    /// Errors: InvalidArgument the second time.
    Result<Completion> defer() const {
        ck_completion_t *completion = nullptr;
        if (ck_error_t *error = ck_event_defer(event_, &completion)) {
            return Error::take(error);
        }
        return Completion(completion);
    }

    /// The event for the C interface, borrowed as this.
    const ck_event_t *get() const noexcept { return event_; }

  protected:
    Event(const Event &) noexcept = default;
    void reset(const ck_event_t *event) noexcept { event_ = event; }

  private:
    const ck_event_t *event_;
};

namespace detail {

/// Tells the library why a call is about to fail.
inline void tell_failure(const ck_event_t *event, std::string_view words) noexcept {
    if (words.empty()) {
        return;
    }
    ck_error_t *error = ck_event_set_failure(event, words.data(), words.size());
    if (error == nullptr) {
        return;
    }
    ck_error_free(error);
    // It is no UTF-8, as an exception's words need not be: what can be read of it is told.
    guarded([&] {
        std::string readable(words);
        for (char &byte : readable) {
            byte = static_cast<unsigned char>(byte) < 0x80 ? byte : '?';
        }
        ck_error_free(ck_event_set_failure(event, readable.data(), readable.size()));
    });
}

/// What a hook returns: a HookResult, a Result, or nothing, which is a success.
template <class Hook, class... Told>
HookResult call(Hook &hook, const Told &...told) {
    if constexpr (std::is_void_v<std::invoke_result_t<Hook &, const Told &...>>) {
        std::invoke(hook, told...);
        return HookResult();
    } else {
        return std::invoke(hook, told...);
    }
}

template <class Returned>
inline constexpr bool is_answer = std::is_void_v<Returned> || std::is_convertible_v<Returned, HookResult>;

template <class Enabled, class Hook, class... Told>
struct IsHook : std::false_type {};
template <class Hook, class... Told>
struct IsHook<std::enable_if_t<is_answer<std::invoke_result_t<Hook &, const Told &...>>>, Hook, Told...>
    : std::true_type {};
/// True for what can be called with this, and returns what a hook may return.
template <class Hook, class... Told>
inline constexpr bool is_hook = IsHook<void, Hook, Told...>::value;

/// Calls a hook for C: no exception gets out of it.
template <class Hook>
std::int32_t call_hook(const ck_event_t *event, void *hook) noexcept {
    std::int32_t returned = 0;
    const auto failed = [&](std::string_view words) {
        returned = 1;
        tell_failure(event, words);
    };
    const Received<Hook> received(hook);
    guarded(
        [&] {
            const HookResult result = call(*received, Event(event));
            if (!result.is_ok()) {
                failed(result.words());
            }
        },
        failed);
    return returned;
}

/// A hook for one kind of event: it is called with what that tells, and with the event too where it wants it.
template <class Told, class Hook>
struct TypedHook {
    Hook hook;

    HookResult operator()(const Event &event) {
        const std::optional<Told> told = Told::of(event.get());
        if (!told) {
            return HookResult();
        }
        if constexpr (is_hook<Hook, Told, Event>) {
            return call(hook, *told, event);
        } else {
            return call(hook, *told);
        }
    }
};

} // namespace detail

} // namespace clusterkit

// Part of include/clusterkit.hpp: The hooks, queues of events and log callback of a node.
#pragma once

#include "queue.hpp"

namespace clusterkit {

// ---- Being told.

/// What a node tells, and to whom: the calls of a ClusterRef that have to do with hooks, queues of events and messages
/// for people.
class HookCalls {
  public:
    // -- Hooks.
    //
    // hook: any callable, which the node owns then. It takes what its function says, and returns a HookResult, a
    // Result, or nothing, which is a success; an exception is a failure. It runs on threads of the library, for
    // partition changes on several at once, and may block. docs/hooks.md tells of order and concurrency. Register
    // before start(), and nothing is missed. A hook that needs its own node takes a ClusterRef: a share would keep
    // alive what keeps it alive. Errors of all: InvalidArgument, also for a std::function that is empty; Stopped.

    /// Adds a hook for every event of these kinds, in the order in which they happened: hook(const Event &).
    template <class Hook>
    Result<HookId> on(EventMask events, Hook &&hook) const {
        static_assert(detail::is_hook<std::decay_t<Hook>, Event>,
                      "a hook is called with a const Event &, and returns a HookResult, a Result or nothing");
        return add<std::decay_t<Hook>>(std::forward<Hook>(hook),
                                       [&](ck_hook_fn call, void *data, ck_destroy_fn destroy, std::uint64_t *id) {
                                           return ck_hook_add(cluster_, events.bits(), call, data, destroy, id);
                                       });
    }
    /// Adds a hook that observes every event from now on, one after the other, in order: hook(const Event &). Nothing
    /// waits for it, however long it takes: what it returns confirms no copy.
    template <class Hook>
    Result<HookId> observe(Hook &&hook) const {
        static_assert(detail::is_hook<std::decay_t<Hook>, Event>,
                      "a hook is called with a const Event &, and returns a HookResult, a Result or nothing");
        return add<std::decay_t<Hook>>(std::forward<Hook>(hook),
                                       [&](ck_hook_fn call, void *data, ck_destroy_fn destroy, std::uint64_t *id) {
                                           return ck_observer_add(cluster_, call, data, destroy, id);
                                       });
    }

    /// A node gained or lost a partition, or a role in it: hook(const PartitionChange &), or with a const Event & after
    /// it. Where this node gains a copy: copy the data from one of copy_from(), and return success when it is there;
    /// only then does the cluster count on it.
    template <class Hook>
    Result<HookId> on_partition_change(Hook &&hook) const {
        return on_kind<PartitionChange>(EventKind::PartitionChange, std::forward<Hook>(hook));
    }
    /// A node that was never a member has joined: hook(const NodeJoin &), or with a const Event & after it.
    template <class Hook>
    Result<HookId> on_node_join(Hook &&hook) const {
        return on_kind<NodeJoin>(EventKind::NodeJoin, std::forward<Hook>(hook));
    }
    /// A member is back, or has restarted: hook(const NodeRejoin &), or with a const Event & after it.
    template <class Hook>
    Result<HookId> on_node_rejoin(Hook &&hook) const {
        return on_kind<NodeRejoin>(EventKind::NodeRejoin, std::forward<Hook>(hook));
    }
    /// A member stopped, failed, or was removed: hook(const NodeLeave &), or with a const Event & after it.
    template <class Hook>
    Result<HookId> on_node_leave(Hook &&hook) const {
        return on_kind<NodeLeave>(EventKind::NodeLeave, std::forward<Hook>(hook));
    }
    /// Partitions begin to move: hook(const Rebalance &), or with a const Event & after it.
    template <class Hook>
    Result<HookId> on_rebalance_start(Hook &&hook) const {
        return on_kind<Rebalance>(EventKind::RebalanceStart, std::forward<Hook>(hook));
    }
    /// Every partition is where it should be: hook(const Rebalance &), or with a const Event & after it.
    template <class Hook>
    Result<HookId> on_rebalance_complete(Hook &&hook) const {
        return on_kind<Rebalance>(EventKind::RebalanceComplete, std::forward<Hook>(hook));
    }
    /// The cluster's health changed: hook(const ClusterHealth &), or with a const Event & after it.
    template <class Hook>
    Result<HookId> on_cluster_health_change(Hook &&hook) const {
        return on_kind<ClusterHealth>(EventKind::ClusterHealthChange, std::forward<Hook>(hook));
    }
    /// This node leads now: hook(const Leadership &), or with a const Event & after it.
    template <class Hook>
    Result<HookId> on_become_leader(Hook &&hook) const {
        return on_kind<Leadership>(EventKind::BecomeLeader, std::forward<Hook>(hook));
    }
    /// This node leads no longer: hook(const Leadership &), or with a const Event & after it.
    template <class Hook>
    Result<HookId> on_lose_leadership(Hook &&hook) const {
        return on_kind<Leadership>(EventKind::LoseLeadership, std::forward<Hook>(hook));
    }
    /// Another node leads now: hook(const Leadership &), or with a const Event & after it.
    template <class Hook>
    Result<HookId> on_leader_change(Hook &&hook) const {
        return on_kind<Leadership>(EventKind::LeaderChange, std::forward<Hook>(hook));
    }

    /// Removes a hook, also one that observes. When it returns success, no call of the hook runs or will, and it is
    /// destroyed, unless this was called inside a hook of this node: then both are true when the call under way
    /// returns. A call that was deferred goes on to its end, and counts. Blocks until a call of the hook that is under
    /// way returns, for at most timeout. A hook may call it, for itself too, and is not waited for.
    ///
    /// Errors: NotFound when there is no such hook (any more); Timeout when a call has not returned: the hook is
    /// removed all the same, and destroyed when that returns.
    Result<void> remove_hook(HookId id, Duration timeout) const {
        return detail::outcome(ck_hook_remove(cluster_, static_cast<std::uint64_t>(id), timeout.count()));
    }

    /// Opens a queue of events of these kinds, for whoever reads instead of being called.
    ///
    /// Errors: InvalidArgument, Stopped.
    Result<Events> open_events(EventMask events, EventsMode mode = EventsMode::Confirm) const {
        ck_events_t *queue = nullptr;
        if (ck_error_t *error = ck_events_open(cluster_, events.bits(), static_cast<std::uint32_t>(mode), &queue)) {
            return Error::take(error);
        }
        return Events(queue);
    }

    // -- Messages for people.

    /// Sets where messages of this node go, those that the option log_level lets through: log(const LogRecord &). It
    /// replaces an earlier callback, and is told what waited for that. It is called one message after the other, on a
    /// thread that does nothing else; nothing in the node waits for it, and it may block. What does not fit into 1024
    /// messages or 1 MiB meanwhile is dropped, and a message says how many were. An exception that leaves it is
    /// dropped, and nobody is told. It may call everything, and end its own node.
    ///
    /// Errors: InvalidArgument.
    template <class Log>
    Result<void> set_log(Log &&log) const {
        using Callable = std::decay_t<Log>;
        static_assert(std::is_invocable_v<Callable &, const LogRecord &>,
                      "a log callback is called with a const LogRecord &");
        if (detail::is_empty(log)) {
            return set_log(nullptr);
        }
        return detail::hand_over<Callable>(std::forward<Log>(log), [&](void *data) {
            return ck_cluster_set_log(cluster_, &detail::call_log<Callable>, data, &detail::destroy<Callable>);
        });
    }
    /// Messages go nowhere from now on, as in the beginning.
    Result<void> set_log(std::nullptr_t) const {
        return detail::outcome(ck_cluster_set_log(cluster_, nullptr, nullptr, nullptr));
    }

  protected:
    HookCalls() noexcept = default;
    explicit HookCalls(ck_cluster_t *cluster) noexcept : cluster_(cluster) {}

    ck_cluster_t *cluster_ = nullptr;

  private:
    /// Gives a hook to C, which owns it then: add(call, data, destroy, id) is a call of C's.
    template <class Hook, class Given, class Add>
    static Result<HookId> add(Given &&hook, Add add) {
        if (detail::is_empty(hook)) {
            return Error(ErrorCode::InvalidArgument, "the hook is an empty function");
        }
        std::uint64_t id = 0;
        const Result<void> added = detail::hand_over<Hook>(std::forward<Given>(hook), [&](void *data) {
            return add(&detail::call_hook<Hook>, data, &detail::destroy<Hook>, &id);
        });
        return added.map([&] { return HookId{id}; });
    }

    template <class Told, class Hook>
    Result<HookId> on_kind(EventKind kind, Hook &&hook) const {
        using Callable = std::decay_t<Hook>;
        static_assert(detail::is_hook<Callable, Told> || detail::is_hook<Callable, Told, Event>,
                      "a hook is called with what the event tells, and the event where it takes that too, and returns "
                      "a HookResult, a Result or nothing");
        if (detail::is_empty(hook)) {
            return Error(ErrorCode::InvalidArgument, "the hook is an empty function");
        }
        return on(kind, detail::TypedHook<Told, Callable>{std::forward<Hook>(hook)});
    }
};

} // namespace clusterkit

// Part of include/clusterkit.hpp: Members, partitions, and where keys belong.
#pragma once

#include "values.hpp"
#include "names.hpp"

namespace clusterkit {

// ---- Members.
// ---------------------------------------------------------------------------------------------------------

/// A name and a value.
struct Pair {
    std::string_view name;
    std::string_view value;

    Pair() noexcept = default;
    /// A pair of the C interface.
    explicit Pair(const ck_pair_t *pair) noexcept : name(detail::text(pair->name)), value(detail::text(pair->value)) {}
};

/// A member of the cluster, borrowed from the view, the event or the range that it came from: valid as long as that. A
/// pointer in size, to be passed by value.
class Node {
  public:
    /// A node of the C interface, not NULL: borrowed.
    explicit Node(const ck_node_t *node) noexcept : node_(node) {}

    /// The name that the application gave it.
    std::string_view id() const noexcept { return detail::text(node_->id); }
    /// A name for people.
    std::string_view name() const noexcept { return detail::text(node_->name); }
    /// The "host:port" at which others reach it.
    std::string_view ip() const noexcept { return detail::text(node_->ip); }
    /// The port in ip().
    std::uint16_t port() const noexcept { return node_->port; }
    /// The failure zone, where the operator named one.
    std::optional<std::string_view> zone() const noexcept { return detail::optional_text(node_->zone); }
    /// The application's own endpoints: name to ":port" (the node's own host) or "host:port", sorted by name.
    Range<detail::Pointers<ck_pair_t, Pair>> services() const noexcept {
        return {{node_->services}, node_->service_count};
    }
    /// The endpoint of this name.
    std::optional<std::string_view> service(std::string_view name) const noexcept { return find(services(), name); }
    /// Free-form labels, sorted by name.
    Range<detail::Pointers<ck_pair_t, Pair>> labels() const noexcept { return {{node_->labels}, node_->label_count}; }
    /// The label of this name.
    std::optional<std::string_view> label(std::string_view name) const noexcept { return find(labels(), name); }
    /// Grows with every start of the node's process: the revision at which the process was admitted.
    std::uint64_t incarnation() const noexcept { return node_->incarnation; }
    /// When the cluster last recorded contact with it.
    TimePoint last_seen() const noexcept { return detail::time_point(node_->last_seen_ms); }
    /// When it first joined.
    TimePoint joined_at() const noexcept { return detail::time_point(node_->joined_at_ms); }
    /// Where it is in its life.
    NodeStatus status() const noexcept { return static_cast<NodeStatus>(node_->status); }
    /// What its application last said of itself.
    Health health() const noexcept { return static_cast<Health>(node_->health); }
    /// Why, when it is not healthy; else empty.
    std::string_view health_reason() const noexcept { return detail::text(node_->health_reason); }
    /// Its share of the partitions relative to other nodes: 100 is usual, 0 takes no new ones.
    std::uint32_t weight() const noexcept { return node_->weight; }
    /// True when it votes in elections.
    bool is_voter() const noexcept { return node_->voter; }

    /// The node of the C interface, borrowed as this.
    const ck_node_t *get() const noexcept { return node_; }

  private:
    static std::optional<std::string_view> find(Range<detail::Pointers<ck_pair_t, Pair>> pairs,
                                                std::string_view name) noexcept {
        for (const Pair pair : pairs) {
            if (pair.name == name) {
                return pair.value;
            }
        }
        return std::nullopt;
    }

    const ck_node_t *node_;
};

namespace detail {

/// A node of C's that may be missing.
inline std::optional<Node> optional_node(const ck_node_t *node) noexcept {
    return node != nullptr ? std::optional<Node>(node) : std::nullopt;
}

inline std::optional<std::uint32_t> optional_partition(std::uint32_t partition) noexcept {
    return partition != CK_NO_PARTITION ? std::optional<std::uint32_t>(partition) : std::nullopt;
}

/// How many keys are handed to C at once: 2 KiB of the stack.
inline constexpr std::size_t key_batch = 128;

/// Asks C about many keys, batch by batch, without allocating: ask(keys, count, out) is a call of C's.
template <class Keys, class Ask>
Result<void> ask_many(const Keys &keys, Span<std::uint32_t> out, Ask ask) {
    using Key = decltype(*std::begin(keys));
    static_assert(std::is_reference_v<Key> || std::is_same_v<std::decay_t<Key>, std::string_view>,
                  "keys must not be made while they are read: give std::string_view, or what is stored somewhere");
    static_assert(std::is_convertible_v<Key, std::string_view>, "keys are what converts to std::string_view");
    if (out.size() < std::size(keys)) {
        return Error(ErrorCode::InvalidArgument, "out has room for " + std::to_string(out.size()) +
                                                     " numbers, and there are " + std::to_string(std::size(keys)) +
                                                     " keys");
    }
    std::array<ck_bytes_t, key_batch> batch;
    std::size_t filled = 0;
    std::uint32_t *next = out.data();
    for (auto &&key : keys) {
        const std::string_view bytes = key;
        batch[filled++] = ck_bytes_t{bytes.data(), bytes.size()};
        if (filled == batch.size()) {
            if (ck_error_t *error = ask(batch.data(), filled, next)) {
                return Error::take(error);
            }
            next += filled;
            filled = 0;
        }
    }
    // Also where there is no key at all: it may have to fail.
    std::uint32_t nothing = 0;
    return outcome(ask(batch.data(), filled, filled > 0 ? next : &nothing));
}

} // namespace detail

/// The number in the public name of a partition, such as "partition-5"; none when it is no such name.
inline std::optional<std::uint32_t> partition_number(std::string_view name) noexcept {
    return detail::optional_partition(ck_partition_number(name.data(), name.size()));
}

/// The partition that a key belongs to among partition_count: the published mapping, for programs that are no member. 0
/// for a count of 0. Allocates nothing, works in a forked child.
inline std::uint32_t partition_for(std::string_view key, std::uint32_t partition_count) noexcept {
    return ck_partition_for(key.data(), key.size(), partition_count);
}

/// partition_for of many keys: any range of what converts to std::string_view, which has a size. out: filled on
/// success, as many as there are keys. Allocates nothing where it succeeds.
///
/// Errors: InvalidArgument where out is too short.
template <class Keys>
Result<void> partitions_for(const Keys &keys, std::uint32_t partition_count, Span<std::uint32_t> out) {
    return detail::ask_many(keys, out,
                            [partition_count](const ck_bytes_t *batch, std::size_t count, std::uint32_t *numbers) {
                                return ck_partitions_for(batch, count, partition_count, numbers);
                            });
}

/// Where a key belongs.
class KeyRoute {
  public:
    /// Nowhere.
    KeyRoute() noexcept : route_() { route_.primary_index = UINT32_MAX; }

    /// The revision of the cluster that the answer was taken from.
    std::uint64_t revision() const noexcept { return route_.revision; }
    /// Grows whenever the primary changes: the fencing token for the application's storage.
    std::uint64_t epoch() const noexcept { return route_.epoch; }
    /// The partition's number, from 0.
    std::uint32_t partition() const noexcept { return route_.partition; }
    /// What this node is to the partition.
    Role role() const noexcept { return static_cast<Role>(route_.role); }
    /// True when this node takes the writes.
    bool is_primary() const noexcept { return route_.role == CK_ROLE_PRIMARY; }
    /// How many other nodes hold the data.
    std::uint32_t replica_count() const noexcept { return route_.replica_count; }
    /// The node that takes the writes, valid as long as its view. None while there is none, and where no view was asked
    /// for.
    std::optional<Node> primary() const noexcept { return detail::optional_node(route_.primary); }
    /// The index of the primary in its view. None while there is none.
    std::optional<std::uint32_t> primary_index() const noexcept {
        return route_.primary_index != UINT32_MAX ? std::optional<std::uint32_t>(route_.primary_index) : std::nullopt;
    }

    /// The answer of the C interface.
    const ck_key_route_t &get() const noexcept { return route_; }

  private:
    friend class View;
    friend class ClusterRef;

    ck_key_route_t route_;
};

/// A partition in a view: valid as long as that. A number that is no partition's has no holder, epoch 0 and an unknown
/// state.
class Partition {
    struct Replicas {
        using value_type = Node;
        const ck_view_t *view;
        std::uint32_t partition;
        Node get(std::size_t index) const noexcept { return Node(ck_view_replica(view, partition, index)); }
    };
    struct Pending {
        using value_type = Node;
        const ck_view_t *view;
        std::uint32_t partition;
        Node get(std::size_t index) const noexcept { return Node(ck_view_pending(view, partition, index)); }
    };
    struct Holders {
        using value_type = Node;
        const ck_view_t *view;
        const ck_node_t *primary;
        std::uint32_t partition;
        Node get(std::size_t index) const noexcept {
            if (primary == nullptr) {
                return Node(ck_view_replica(view, partition, index));
            }
            return Node(index == 0 ? primary : ck_view_replica(view, partition, index - 1));
        }
    };

  public:
    /// A partition of a view of the C interface, borrowed.
    Partition(const ck_view_t *view, std::uint32_t number) noexcept : view_(view), number_(number) {}

    /// Its number, from 0.
    std::uint32_t number() const noexcept { return number_; }
    /// Its public name, such as "partition-5".
    std::string id() const { return "partition-" + std::to_string(number_); }
    /// Grows whenever its primary changes: the fencing token for the application's storage.
    std::uint64_t epoch() const noexcept { return ck_view_epoch(view_, number_); }
    /// What this node is to it by this view. Whether its lease lets it act on that is not known here: ask
    /// ClusterRef::role.
    Role role() const noexcept { return static_cast<Role>(ck_view_role(view_, number_)); }
    /// Its condition.
    PartitionState state() const noexcept {
        return static_cast<PartitionState>(ck_view_partition_state(view_, number_));
    }
    /// The node that takes its writes, while there is one.
    std::optional<Node> primary() const noexcept { return detail::optional_node(ck_view_primary(view_, number_)); }
    /// The nodes besides the primary that hold its data, by id.
    Range<Replicas> replicas() const noexcept {
        return {Replicas{view_, number_}, ck_view_replica_count(view_, number_)};
    }
    /// The nodes that are still copying its data and hold no role yet, by id.
    Range<Pending> pending() const noexcept { return {Pending{view_, number_}, ck_view_pending_count(view_, number_)}; }
    /// The nodes that hold its data: the primary first, where there is one, then the replicas.
    Range<Holders> nodes() const noexcept {
        const ck_node_t *primary = ck_view_primary(view_, number_);
        const std::size_t others = ck_view_replica_count(view_, number_);
        return {Holders{view_, primary, number_}, others + (primary != nullptr ? 1U : 0U)};
    }

  private:
    const ck_view_t *view_;
    std::uint32_t number_;
};

} // namespace clusterkit

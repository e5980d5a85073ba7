// Part of include/clusterkit.hpp: Views.
#pragma once

#include "node.hpp"

namespace clusterkit {

// ---- Views.
// -----------------------------------------------------------------------------------------------------------

/// Whether partitions may move.
enum class Maintenance : std::uint8_t {
    /// There is no maintenance.
    None,
    /// Somebody asked for it: no partitions are moved, and primaries still fail over.
    Requested,
    /// The cluster began it by itself, because more than half of its members had failed.
    Automatic,
};

/// The partitions that a member holds, by number.
struct NodePartitions {
    /// Those that it takes the writes of.
    Numbers primary;
    /// Those that it holds another copy of.
    Numbers replica;
};

/// The cluster at one revision. It never changes: all answers taken from one view agree with each other. Any number of
/// threads may use it at once, and it outlives the cluster that it came from. A copy is another share of the same view,
/// and costs a few nanoseconds; what is borrowed from a view is valid as long as any share of it.
class View {
    struct Nodes {
        using value_type = Node;
        const ck_view_t *view;
        Node get(std::size_t index) const noexcept { return Node(ck_view_node(view, index)); }
    };
    struct Partitions {
        using value_type = Partition;
        const ck_view_t *view;
        Partition get(std::size_t index) const noexcept { return {view, static_cast<std::uint32_t>(index)}; }
    };

  public:
    /// No view: one of nothing, for ClusterRef::refresh and ClusterRef::lookup to fill.
    View() noexcept = default;
    /// Owns a share of the C interface. view: consumed.
    explicit View(ck_view_t *view) noexcept : view_(view) {}
    View(const View &other) noexcept : view_(ck_view_ref(other.view_)) {}
    View(View &&other) noexcept : view_(std::exchange(other.view_, nullptr)) {}
    View &operator=(View other) noexcept {
        std::swap(view_, other.view_);
        return *this;
    }
    ~View() { ck_view_release(view_); }

    /// True when there is a view.
    explicit operator bool() const noexcept { return view_ != nullptr; }

    /// The revision that the view shows.
    std::uint64_t revision() const noexcept { return ck_view_revision(view_); }

    /// The members, by id.
    Range<Nodes> nodes() const & noexcept { return {Nodes{view_}, ck_view_node_count(view_)}; }
    Range<Nodes> nodes() const && = delete;
    /// The member at an index; none where there is none.
    std::optional<Node> node(std::size_t index) const & noexcept {
        return detail::optional_node(ck_view_node(view_, index));
    }
    std::optional<Node> node(std::size_t index) const && = delete;
    /// The member with an id; none where there is none.
    std::optional<Node> find_node(std::string_view id) const & noexcept {
        return detail::optional_node(ck_view_find_node(view_, id.data(), id.size()));
    }
    std::optional<Node> find_node(std::string_view id) const && = delete;
    /// This node, when it is a member.
    std::optional<Node> my_node() const & noexcept { return detail::optional_node(ck_view_my_node(view_)); }
    std::optional<Node> my_node() const && = delete;
    /// The member whose leadership was recorded last. Whether it leads at this moment is a matter of leases, which a
    /// view does not know: ask ClusterRef::leader.
    std::optional<Node> leader() const & noexcept { return detail::optional_node(ck_view_leader(view_)); }
    std::optional<Node> leader() const && = delete;
    /// The leader epoch of that leadership, a fencing token: it only grows. 0 before there was a leader.
    std::uint64_t leader_epoch() const noexcept { return ck_view_leader_epoch(view_); }
    /// The Raft term of that leadership; no fencing token.
    std::uint64_t leader_term() const noexcept { return ck_view_leader_term(view_); }
    /// When that leadership began, by the leader's wall clock. None before there was a leader.
    std::optional<TimePoint> leader_elected_at() const noexcept {
        return detail::optional_time_point(ck_view_leader_elected_at_ms(view_));
    }
    /// The number of copies that each partition should have. 0 before there is a cluster.
    std::uint32_t replication_factor() const noexcept { return ck_view_replication_factor(view_); }
    /// How long a lease lasts in this cluster.
    std::chrono::milliseconds lease_ttl() const noexcept { return detail::milliseconds(ck_view_lease_ttl_ms(view_)); }
    /// Whether there is maintenance.
    Maintenance maintenance() const noexcept {
        bool automatic = false;
        if (!ck_view_maintenance(view_, &automatic)) {
            return Maintenance::None;
        }
        return automatic ? Maintenance::Automatic : Maintenance::Requested;
    }
    /// The whole cluster as a JSON object, the same as "cluster" in the answer of GET /cluster, without custom data.
    /// Takes time in proportion to members and partitions.
    ///
    /// Errors: InvalidArgument.
    Result<Text> json() const {
        ck_text_t *text = nullptr;
        if (ck_error_t *error = ck_view_json(view_, &text)) {
            return Error::take(error);
        }
        return Text(text);
    }

    /// How many partitions there are; 0 before they exist.
    std::uint32_t partition_count() const noexcept { return ck_view_partition_count(view_); }
    /// The partitions, by number.
    Range<Partitions> partitions() const & noexcept { return {Partitions{view_}, partition_count()}; }
    Range<Partitions> partitions() const && = delete;
    /// The partition with a number, which may be none.
    Partition partition(std::uint32_t number) const & noexcept { return {view_, number}; }
    Partition partition(std::uint32_t number) const && = delete;
    /// The partitions that a member holds. Takes time in proportion to the partitions.
    ///
    /// Errors: InvalidArgument; NotFound when there is no such member.
    Result<NodePartitions> partitions_of(std::string_view id) const {
        ck_numbers_t *primary = nullptr;
        ck_numbers_t *replica = nullptr;
        if (ck_error_t *error = ck_view_partitions_of(view_, id.data(), id.size(), &primary, &replica)) {
            return Error::take(error);
        }
        return NodePartitions{Numbers(primary), Numbers(replica)};
    }
    /// How many partitions the member at an index takes the writes of. Takes time in proportion to the partitions.
    std::size_t primaries_of(std::size_t index) const noexcept { return ck_view_primaries_of(view_, index); }
    /// How many partitions have lost their data: no node that is up holds it. Takes time in proportion to the
    /// partitions.
    std::size_t lost_count() const noexcept { return ck_view_lost_count(view_); }
    /// The number of one of the partitions that have lost their data, in ascending order. Takes time in proportion to
    /// the partitions.
    std::optional<std::uint32_t> lost(std::size_t index) const noexcept {
        return detail::optional_partition(ck_view_lost(view_, index));
    }

    /// The partition that a key belongs to; none before partitions exist. Allocates nothing.
    std::optional<std::uint32_t> partition_for_key(std::string_view key) const noexcept {
        return detail::optional_partition(ck_view_partition_for_key(view_, key.data(), key.size()));
    }
    /// What this node is to a key by this view. Whether its lease lets it act on that is not known here: ask
    /// ClusterRef::role_for_key. Allocates nothing.
    Role role_for_key(std::string_view key) const noexcept {
        return static_cast<Role>(ck_view_role_for_key(view_, key.data(), key.size()));
    }
    /// The node that takes the writes of a key, while there is one.
    std::optional<Node> primary_for_key(std::string_view key) const & noexcept {
        return detail::optional_node(ck_view_primary_for_key(view_, key.data(), key.size()));
    }
    std::optional<Node> primary_for_key(std::string_view key) const && = delete;
    /// The nodes that hold a key: the one that takes its writes first, where there is one, then the others by id. The
    /// nodes are borrowed as all others. (Partition::nodes tells the same without a vector.)
    std::vector<Node> nodes_for_key(std::string_view key) const & {
        std::vector<const ck_node_t *> found(4);
        std::size_t count = ck_view_nodes_for_key(view_, key.data(), key.size(), found.data(), found.size());
        if (count > found.size()) {
            found.resize(count);
            count = ck_view_nodes_for_key(view_, key.data(), key.size(), found.data(), found.size());
        }
        return std::vector<Node>(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count));
    }
    std::vector<Node> nodes_for_key(std::string_view key) const && = delete;
    /// Where a key belongs by this view. The role does not regard the lease: ask ClusterRef::lookup for that. Allocates
    /// nothing where it succeeds, but what all views of the same members share.
    ///
    /// Errors: InvalidArgument; NotFound before there are partitions.
    Result<KeyRoute> route(std::string_view key) const & {
        KeyRoute route;
        if (ck_error_t *error = ck_view_route_key(view_, key.data(), key.size(), &route.route_, sizeof route.route_)) {
            return Error::take(error);
        }
        return route;
    }
    Result<KeyRoute> route(std::string_view key) const && = delete;
    /// The partitions that many keys belong to: less than a quarter of the time per key, where the processor can. keys:
    /// any range of what converts to std::string_view, which has a size. out: filled on success, as many as there are
    /// keys. Allocates nothing where it succeeds.
    ///
    /// Errors: InvalidArgument, also where out is too short; NotFound before there are partitions.
    template <class Keys>
    Result<void> route_many(const Keys &keys, Span<std::uint32_t> out) const {
        return detail::ask_many(keys, out, [this](const ck_bytes_t *batch, std::size_t count, std::uint32_t *numbers) {
            return ck_view_route_many(view_, batch, count, numbers);
        });
    }
    /// The same, as numbers in the order of the keys.
    template <class Keys>
    Result<std::vector<std::uint32_t>> route_many(const Keys &keys) const {
        std::vector<std::uint32_t> numbers(std::size(keys));
        if (Result<void> routed = route_many(keys, Span<std::uint32_t>(numbers)); !routed) {
            return std::move(routed).error();
        }
        return numbers;
    }

    /// The view for the C interface, borrowed: valid as long as this.
    const ck_view_t *get() const noexcept { return view_; }
    /// Gives the share away: release it with ck_view_release.
    [[nodiscard]] ck_view_t *release() noexcept { return std::exchange(view_, nullptr); }

  private:
    friend class Client;
    friend class ClusterRef;

    ck_view_t *view_ = nullptr;
};

} // namespace clusterkit

// Views of one node and of three: ranges without copies, lookups, and that all of it agrees with what C says.
#include "check.hpp"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <set>
#include <type_traits>

using clusterkit::Cluster;
using clusterkit::ErrorCode;
using clusterkit::KeyRoute;
using clusterkit::Node;
using clusterkit::Partition;
using clusterkit::Role;
using clusterkit::View;

static_assert(std::is_trivially_copyable_v<Node> && sizeof(Node) == sizeof(void *), "a node is a pointer");
static_assert(std::is_trivially_copyable_v<Partition> && std::is_trivially_copyable_v<KeyRoute>, "values are cheap");
static_assert(std::is_trivially_copyable_v<clusterkit::ClusterRef>, "so are references");
static_assert(!std::is_copy_constructible_v<Cluster> && std::is_copy_constructible_v<View>, "a view is shared");

using Nodes = decltype(std::declval<const View &>().nodes());
using Services = decltype(std::declval<const Node &>().services());
static_assert(std::is_same_v<std::iterator_traits<Nodes::iterator>::iterator_category, std::random_access_iterator_tag>,
              "ranges are random access");
#if defined(__cpp_lib_ranges)
static_assert(std::ranges::random_access_range<Nodes> && std::ranges::sized_range<Nodes> && std::ranges::view<Nodes>);
static_assert(std::ranges::borrowed_range<Nodes> && std::ranges::common_range<Nodes>);
static_assert(std::ranges::random_access_range<Services> && std::ranges::borrowed_range<Services>);
static_assert(std::ranges::random_access_range<clusterkit::Strings> && !std::ranges::view<clusterkit::Strings>);
static_assert(std::ranges::contiguous_range<clusterkit::Numbers>);
static_assert(std::ranges::contiguous_range<clusterkit::Span<const int>> && std::ranges::view<clusterkit::Span<int>>);
#endif

// The iterator does what a random access iterator does.
static void iterators(Nodes nodes) {
    Nodes::iterator it = nodes.begin();
    CHECK(it == nodes.begin() && it != nodes.end() && it < nodes.end() && nodes.end() > it && it <= it && it >= it);
    CHECK(nodes.end() - it == static_cast<std::ptrdiff_t>(nodes.size()) && it - nodes.end() < 0);
    CHECK((*it).id() == nodes.front().id() && it->id() == nodes[0].id() && it[0].id() == "node-1");
    CHECK((it + 1) - it == 1 && (1 + it) - 1 == it && it++ == nodes.begin() && it-- == nodes.begin() + 1);
    CHECK(++it == nodes.begin() + 1 && --it == nodes.begin());
    it += 1;
    it -= 1;
    CHECK(it == nodes.begin() && nodes.back().id() == (nodes.end() - 1)->id());
    CHECK(std::is_sorted(nodes.begin(), nodes.end(), [](Node a, Node b) { return a.id() < b.id(); }));
    const auto found = std::lower_bound(nodes.begin(), nodes.end(), "node-1",
                                        [](Node node, std::string_view id) { return node.id() < id; });
    CHECK(found == nodes.begin() && Nodes().empty() && Nodes().begin() == Nodes().end());
#if defined(__cpp_lib_ranges)
    std::vector<std::string_view> ids;
    for (const std::string_view id : nodes | std::views::reverse | std::views::transform(&Node::id)) {
        ids.push_back(id);
    }
    CHECK(ids.size() == nodes.size() && ids.back() == "node-1");
    CHECK(std::ranges::find(nodes, std::string_view("node-1"), &Node::id) == nodes.begin());
#endif
}

static void members(const View &view, std::size_t size, const Cluster &cluster) {
    CHECK(view.nodes().size() == size && view.revision() > 0);
    iterators(view.nodes());
    std::size_t index = 0, primaries = 0, voters = 0;
    for (const Node node : view.nodes()) {
        CHECK(node.get() == view.node(index)->get() && node.get() == view.find_node(node.id())->get());
        CHECK(node.status() == clusterkit::NodeStatus::Active && node.health() == clusterkit::Health::Healthy);
        CHECK(node.incarnation() > 0 && node.weight() == 100 && node.port() > 0 && node.health_reason().empty());
        CHECK(node.ip() == "127.0.0.1:" + std::to_string(node.port()) && !node.name().empty());
        CHECK(node.joined_at().time_since_epoch() > 0ms && node.last_seen() >= node.joined_at());
        CHECK(node.zone() == "z");
        CHECK(node.services().size() == 2 && node.services()[0].name == "grpc" && node.services()[1].value == ":8080");
        CHECK(node.service("grpc") == ":9090" && !node.service("ftp"));
        for (const auto &[name, value] : node.labels()) {
            CHECK(name == "id" && value == node.id());
        }
        CHECK(node.label("id") == node.id() && !node.label("rack"));
        const clusterkit::NodePartitions held = OK(view.partitions_of(node.id()));
        CHECK(held.primary.size() == view.primaries_of(index) &&
              held.primary.size() + held.replica.size() == PARTITIONS);
        for (const std::uint32_t number : held.primary) {
            CHECK(view.partition(number).primary()->id() == node.id());
        }
        CHECK(std::is_sorted(held.replica.begin(), held.replica.end()));
        primaries += held.primary.size();
        voters += node.is_voter();
        index++;
    }
    CHECK(primaries == PARTITIONS && voters >= 1 && !view.node(size) && !view.find_node("nobody"));
    FAILS(ErrorCode::NotFound, view.partitions_of("nobody"));
    CHECK(view.my_node()->id() == cluster.my_node_id() && view.leader() && view.leader_epoch() > 0);
    CHECK(view.leader_term() > 0 && view.leader_elected_at() && view.replication_factor() == 3);
    CHECK(view.lease_ttl() > 0ms && view.maintenance() == clusterkit::Maintenance::None);
    CHECK(view.lost_count() == 0 && !view.lost(0));
    CHECK(OK(view.json()).str().find("\"node-1\"") != std::string::npos);
    CHECK(OK(cluster.json()).str().find("custom_data") != std::string::npos);
}

static void partitions(const View &view, std::size_t size) {
    CHECK(view.partitions().size() == PARTITIONS && view.partition_count() == PARTITIONS);
    std::uint32_t number = 0;
    for (const Partition partition : view.partitions()) {
        CHECK(partition.number() == number && partition.id() == "partition-" + std::to_string(number));
        CHECK(partition.epoch() > 0 && partition.state() != clusterkit::PartitionState::Unknown);
        CHECK(partition.replicas().size() == size - 1 && partition.pending().empty());
        CHECK(partition.nodes().size() == size && partition.nodes()[0].get() == partition.primary()->get());
        std::set<std::string_view> holders;
        for (const Node node : partition.nodes()) {
            holders.insert(node.id());
        }
        CHECK(holders.size() == size);
        for (const Node node : partition.replicas()) {
            CHECK(node.id() != partition.primary()->id());
        }
        CHECK((partition.role() == Role::Primary) == (partition.primary()->id() == view.my_node()->id()));
        number++;
    }
    const Partition none = view.partition(PARTITIONS);
    CHECK(!none.primary() && none.nodes().empty() && none.epoch() == 0 && none.role() == Role::None);
    CHECK(none.state() == clusterkit::PartitionState::Unknown && none.replicas().empty() && none.pending().empty());
}

static void keys(const View &view, const Cluster &cluster, std::size_t size) {
    std::vector<std::string> many;
    for (int i = 0; i < 300; i++) {
        many.push_back(std::string("\xff\0key", 5) + std::to_string(i));
    }
    const std::vector<std::uint32_t> routed = OK(view.route_many(many));
    View seen;
    for (std::size_t i = 0; i < many.size(); i++) {
        const std::string &key = many[i];
        const KeyRoute route = OK(view.route(key));
        CHECK(route.partition() == routed[i] && view.partition_for_key(key) == routed[i]);
        CHECK(cluster.partition_for_key(key) == routed[i] && clusterkit::partition_for(key, PARTITIONS) == routed[i]);
        CHECK(route.revision() == view.revision() && route.epoch() == view.partition(routed[i]).epoch());
        CHECK(route.replica_count() == size - 1 && route.role() == view.role_for_key(key));
        CHECK(route.primary()->get() == view.primary_for_key(key)->get());
        CHECK(view.node(*route.primary_index())->get() == route.primary()->get());
        const std::vector<Node> holders = view.nodes_for_key(key);
        const auto lazily = view.partition(routed[i]).nodes();
        CHECK(std::equal(holders.begin(), holders.end(), lazily.begin(), lazily.end(),
                         [](Node a, Node b) { return a.get() == b.get(); }));
        const KeyRoute looked_up = OK(cluster.lookup(key));
        CHECK(looked_up.partition() == routed[i] && !looked_up.primary() && looked_up.get().primary == nullptr);
        const KeyRoute with_view = OK(cluster.lookup(key, seen));
        CHECK(with_view.partition() == routed[i] && seen && seen.revision() == with_view.revision());
        CHECK(!with_view.primary() || seen.node(*with_view.primary_index())->get() == with_view.primary()->get());
    }
    std::uint32_t few[2];
    FAILS(ErrorCode::InvalidArgument, view.route_many(many, few));
    const char *const two[] = {"a", "b"};
    OK(view.route_many(two, few));
    CHECK(few[0] == view.partition_for_key("a") && OK(view.route_many(std::vector<std::string_view>())).empty());
    CHECK(KeyRoute().role() == Role::None && !KeyRoute().primary() && !KeyRoute().primary_index());
}

// What each node answers at this moment. A role may be between two nodes.
static void roles(const std::vector<Cluster> &nodes) {
    for (std::uint32_t partition = 0; partition < PARTITIONS; partition++) {
        UNTIL(std::count_if(nodes.begin(), nodes.end(),
                            [&](const Cluster &node) { return node.is_primary(partition); }) == 1);
    }
    UNTIL(std::any_of(nodes.begin(), nodes.end(), [](const Cluster &node) { return node.is_primary_for_key("k"); }));
    for (const Cluster &node : nodes) {
        CHECK(OK(node.lookup("k")).is_primary() == (node.role_for_key("k") == Role::Primary));
        UNTIL(node.is_leased());
        const std::uint32_t partition = *node.partition_for_key("k");
        if (node.role(partition) == Role::Primary) {
            CHECK(OK(node.primary_epoch(partition)) == OK(node.lookup("k")).epoch());
        } else {
            FAILS(ErrorCode::Conflict, node.primary_epoch(partition));
        }
        FAILS(ErrorCode::NotFound, node.primary_epoch(PARTITIONS));
    }
}

static void records(const std::vector<Cluster> &nodes) {
    const Cluster &first = nodes.front();
    const clusterkit::LeaderInfo leader = OK(first.wait_for_leader(TIMEOUT));
    CHECK(leader.epoch > 0 && leader.term > 0 && !leader.leader_id.empty() && !leader.leader_ip.empty());
    UNTIL(OK(first.leader()) && OK(first.leader())->leader_id == OK(first.wait_for_leader(TIMEOUT)).leader_id);
    for (const Cluster &node : nodes) {
        const clusterkit::ConsensusStats stats = OK(node.consensus_stats());
        CHECK(!stats.state.empty() && stats.term > 0 && stats.commit_index > 0 && stats.num_peers == nodes.size() - 1);
        const clusterkit::Metrics metrics = OK(node.metrics());
        CHECK(metrics.node_count == nodes.size() && metrics.partition_count == PARTITIONS && metrics.last_sync);
        const clusterkit::HealthStatus health = OK(node.health_check());
        CHECK(health.node_id == node.my_node_id() && health.election_stretch >= 1 && !health.uptime.empty());
        CHECK(OK(node.node_health("node-1")).node_id == "node-1");
        FAILS(ErrorCode::NotFound, node.node_health("nobody"));
        CHECK(OK(node.rebalance_status(TIMEOUT)).away.empty());
        UNTIL(!OK(node.waiting_for()));
        OK(node.report_health(clusterkit::Health::Degraded, "a test"));
        UNTIL([&] {
            const View view = OK(first.view());
            const Node known = *view.find_node(node.my_node_id());
            return known.health() == clusterkit::Health::Degraded && known.health_reason() == "a test";
        }());
        FAILS(ErrorCode::InvalidArgument, node.report_health(static_cast<clusterkit::Health>(77)));
    }
    const auto began = OK(first.begin_maintenance("a test", TIMEOUT));
    OK(first.wait_for_revision(began, TIMEOUT));
    CHECK(OK(first.view()).maintenance() == clusterkit::Maintenance::Requested);
    CHECK(OK(first.rebalance_status(TIMEOUT)).maintenance == "a test");
    static_cast<void>(OK(first.end_maintenance(TIMEOUT)));
    CHECK(OK(first.create_partitions(TIMEOUT)).partitions == PARTITIONS && OK(first.rebalance(TIMEOUT)).revision > 0);
}

static void store(const Cluster &cluster) {
    const std::uint64_t first = OK(cluster.set_custom_data("a/1", {}, TIMEOUT, clusterkit::Expect::absent()));
    FAILS(ErrorCode::Conflict, cluster.set_custom_data("a/1", "v", TIMEOUT, clusterkit::Expect::absent()));
    const std::string bytes("v\0w", 3);
    const std::uint64_t last = OK(cluster.set_custom_data("a/1", bytes, TIMEOUT, clusterkit::Expect::revision(first)));
    OK(cluster.wait_for_revision(last, TIMEOUT));
    const clusterkit::Data data = OK(cluster.custom_data("a/1"));
    CHECK(data.bytes() == bytes && data.str() == bytes && data.revision() == last);
    FAILS(ErrorCode::NotFound, cluster.custom_data("b"));
    FAILS(ErrorCode::InvalidArgument, cluster.set_custom_data({}, "v", TIMEOUT));
    FAILS(ErrorCode::InvalidArgument, cluster.set_custom_data("\xff", "v", TIMEOUT));
    FAILS(ErrorCode::TooLarge, cluster.set_custom_data("k", std::string(2 << 20, 'x'), TIMEOUT));
    static_cast<void>(OK(cluster.set_custom_data("a/2", "w", TIMEOUT)));
    static_cast<void>(OK(cluster.set_custom_data("b", "x", TIMEOUT)));
    CHECK(OK(cluster.read_barrier(TIMEOUT)) > last);
    const clusterkit::Strings keys = OK(cluster.custom_data_keys("a/", {}, 10));
    CHECK(keys.size() == 2 && keys[0] == "a/1" && std::distance(keys.begin(), keys.end()) == 2 && keys[2].empty());
    CHECK(OK(cluster.custom_data_keys({}, "a/1", 1))[0] == "a/2");
    CHECK(OK(cluster.delete_custom_data("a/1", TIMEOUT)).existed &&
          !OK(cluster.delete_custom_data("a/1", TIMEOUT)).existed);
    FAILS(ErrorCode::Conflict, cluster.delete_custom_data("b", TIMEOUT, clusterkit::Expect::revision(1)));
}

// A view of nothing yet, one that is refreshed, and one that outlives its cluster.
static void lives(std::size_t size) {
    Cluster cluster = make_node("node-1");
    View view = OK(cluster.view());
    CHECK(view.nodes().empty() && !view.partition_for_key("k") && !view.my_node() && !view.leader());
    CHECK(!view.primary_for_key("k") && view.nodes_for_key("k").empty() && view.role_for_key("k") == Role::None);
    FAILS(ErrorCode::NotFound, view.route("k"));
    FAILS(ErrorCode::NotFound, view.route_many(std::vector<std::string>()));
    OK(cluster.start());
    const View before = view;
    UNTIL([&] {
        OK(cluster.refresh(view));
        return view.partition_count() == PARTITIONS && view.partition(0).primary();
    }());
    CHECK(before.nodes().empty() && before.get() != view.get());
    cluster = Cluster();
    CHECK(view.nodes().size() == size && view.nodes()[0].id() == "node-1");
    FAILS(ErrorCode::InvalidArgument, cluster.refresh(view));
    CHECK(view.nodes().size() == size);
}

int main() {
    for (const std::size_t size : {std::size_t{1}, std::size_t{3}}) {
        std::vector<Cluster> nodes;
        std::string address;
        for (std::size_t i = 0; i < size; i++) {
            const std::string id = "node-" + std::to_string(i + 1);
            clusterkit::Options options = make_options(id, address);
            OK(options.load_json(R"({"services": {"http": ":8080", "grpc": ":9090"}, "zone": "z"})"));
            OK(options.set("labels.id", id));
            nodes.push_back(OK(Cluster::create(options)));
            OK(nodes.back().start());
            address = OK(nodes.front().http_addr());
        }
        for (const Cluster &node : nodes) {
            spread(node, size);
        }
        for (const Cluster &node : nodes) {
            // A moment at which everything has its place may not last.
            const View view = spread(node, size);
            members(view, size, node);
            partitions(view, size);
            keys(view, node, size);
        }
        roles(nodes);
        records(nodes);
        store(nodes.back());
    }
    lives(1);
    return 0;
}
